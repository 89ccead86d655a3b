"""Languages whose programs are compiled first: ``interpreter-tools setup gcc go`` makes their images.

Compilers write into a directory of their own outside of the workspace, so that nothing of theirs is among the files
that a run has made.
"""

from interpreter_tools._languages import compilers
from interpreter_tools._languages.config import CompileStep, LanguageConfig, Opening
from interpreter_tools._languages.installers import SYSTEM

_GCC = "interpreter-tools/gcc:1"
_PROGRAM = "{directory}/program"
_INCLUDE = r'#\s*include\s*"'


def _script(script: str, *further: str) -> tuple[str, ...]:
    """Return the command of a script of ``compilers``."""
    return ("sh", "-c", script, "sh", "{file}", "{directory}", *further)


C = LanguageConfig(
    language="c",
    default_image=_GCC,
    code_filename="main.c",
    interpreters=("tcc", "c"),
    compile=CompileStep(
        command=_script(compilers.GCC, "c", "gcc", "-std=gnu17", "-O1", "-Wall", "-pthread"),
        others=_INCLUDE,
    ),
    run_command=(_PROGRAM,),
    dependencies=SYSTEM,
)

CPP = LanguageConfig(
    language="cpp",
    default_image=_GCC,
    code_filename="main.cpp",
    compile=CompileStep(
        command=_script(compilers.GCC, "cpp|cc|cxx|c", "g++", "-std=gnu++23", "-O1", "-Wall", "-pthread"),
        others=_INCLUDE,
    ),
    run_command=(_PROGRAM,),
    aliases=("c++", "cxx"),
    dependencies=SYSTEM,
)

FORTRAN = LanguageConfig(
    language="fortran",
    default_image=_GCC,
    code_filename="main.f90",
    compile=CompileStep(
        command=_script(compilers.GCC, "f|for|F|[fF](90|95|03|08|18)", "gfortran", "-O1", "-g", "-J", "{directory}"),
        others=r"(?im)^\s*include\b",
    ),
    run_command=(_PROGRAM,),
    aliases=("f90",),
    dependencies=SYSTEM,
)

PASCAL = LanguageConfig(
    language="pascal",
    default_image=_GCC,
    code_filename="main.pas",
    interpreters=("instantfpc", "fpc"),
    compile=CompileStep(command=_script(compilers.PASCAL), others=r"(?i)\{\$(?:i|include)\s"),
    run_command=(_PROGRAM,),
    aliases=("pas",),
)

GO = LanguageConfig(
    language="go",
    default_image="interpreter-tools/go:1",
    code_filename="main.go",
    interpreters=("go", "gorun", "yaegi"),
    opening=Opening(text="package main; ", when=r"(?!(?s:.*)(?m:^)\s*package\s)"),
    compile=CompileStep(
        command=_script(compilers.GO),
        # The image holds Go's library compiled, which the setting has Go use.
        environment={
            "GODEBUG": "installgoroot=all",
            "GOCACHE": "{directory}/cache",
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
        },
        others=r"(?m)^//go:embed\b",
    ),
    run_command=(_PROGRAM,),
    aliases=("golang",),
)

RUST = LanguageConfig(
    language="rust",
    default_image="interpreter-tools/rust:1",
    code_filename="main.rs",
    interpreters=("cargo", "rust-script", "rustc"),
    compile=CompileStep(
        command=_script(compilers.RUST, "rustc", "-C", "opt-level=1", "-C", "debug-assertions=on"),
        others=r"\bmod\s+\w+\s*;|\binclude(?:_str|_bytes)?!",
    ),
    run_command=(_PROGRAM,),
    aliases=("rs",),
)

JAVA = LanguageConfig(
    language="java",
    default_image="interpreter-tools/java:1",
    code_filename="Main.java",
    interpreters=("java", "jbang"),
    compile=CompileStep(command=_script(compilers.JAVA)),
    run_command=("sh", "-c", compilers.RUN_JAVA, "sh", "{directory}"),
)

# The classes that the compiler itself consists of are an archive of the image, and it does not live long enough to be
# worth more than a first translation: both together take it from 7 to 3 seconds of processor time. Its heap leaves room
# for the rest of it within 512 MB.
_KOTLIN = "/usr/local/lib/kotlin"
_KOTLIN_JARS = (
    "kotlin-stdlib",
    "kotlin-reflect",
    "kotlin-test",
    "kotlinx-coroutines-core-jvm",
    "kotlin-script-runtime",
)
_KOTLIN_LIBRARIES = ":".join(f"{_KOTLIN}/lib/{name}.jar" for name in _KOTLIN_JARS)
KOTLIN = LanguageConfig(
    language="kotlin",
    default_image="interpreter-tools/kotlin:1",
    code_filename="main.kt",
    interpreters=("kotlin", "kotlinc", "kscript"),
    compile=CompileStep(
        command=_script(compilers.KOTLIN, _KOTLIN_LIBRARIES, f"{_KOTLIN}/lib/kotlin-compiler.jar"),
        environment={
            "JAVA_OPTS": "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
            f"-XX:SharedArchiveFile={_KOTLIN}/compiler.jsa"
        },
    ),
    run_command=(
        *("sh", "-c", f'd=$1; shift; exec java -cp "$d/program.jar:{_KOTLIN_LIBRARIES}" "$(cat "$d/main")" "$@"'),
        *("sh", "{directory}"),
    ),
    aliases=("kt",),
)

_DOTNET = "/usr/local/lib/dotnet"
_DOTNET_RUN = ("dotnet", "exec", "--runtimeconfig", f"{_DOTNET}/program.runtimeconfig.json")
CSHARP = LanguageConfig(
    language="csharp",
    default_image="interpreter-tools/dotnet:1",
    code_filename="main.cs",
    compile=CompileStep(command=(*_DOTNET_RUN, f"{_DOTNET}/compiler/compiler.dll", "{file}", "{directory}")),
    run_command=(*_DOTNET_RUN, f"{_PROGRAM}.dll"),
    interpreters=("dotnet", "dotnet-script", "csharp"),
    aliases=("c#", "cs"),
    # Programs are short: what makes long ones faster, and sockets for debuggers, would only make their start slower.
    environment={"DOTNET_TieredPGO": "0", "DOTNET_EnableWriteXorExecute": "0", "DOTNET_EnableDiagnostics": "0"},
)

_HASKELL = "Control|Data|Debug|Foreign|GHC|Numeric|Prelude|System|Text"  # what its own modules begin with

HASKELL = LanguageConfig(
    language="haskell",
    default_image="interpreter-tools/haskell:1",
    code_filename="main.hs",
    interpreters=("runghc", "runhaskell", "stack", "cabal"),
    compile=CompileStep(
        command=_script(compilers.HASKELL),
        others=rf"(?m)^import\s+(?!(?:safe\s+)?(?:qualified\s+)?(?:{_HASKELL}))",
    ),
    run_command=(_PROGRAM,),
    aliases=("hs",),
)

OCAML = LanguageConfig(
    language="ocaml",
    default_image="interpreter-tools/ocaml:1",
    code_filename="main.ml",
    interpreters=("ocaml", "ocamlfind", "ocamlrun", "ocamlscript"),
    compile=CompileStep(command=_script(compilers.OCAML)),
    run_command=(_PROGRAM,),
    aliases=("ml",),
    # Programs tell where an exception was raised. A recursion without end overflows a stack of 32 M words, 256 MB,
    # before it takes all memory; OCaml's own limit is 1 GB.
    environment={"OCAMLRUNPARAM": "b,l=32M"},
)

COMPILED = (C, CPP, FORTRAN, PASCAL, GO, RUST, JAVA, KOTLIN, CSHARP, HASKELL, OCAML)
