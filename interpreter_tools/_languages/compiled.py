"""Languages whose programs are compiled first: ``interpreter-tools setup gcc go`` makes their images.

Compilers write into a directory of their own outside of the workspace, so that nothing of theirs is among the files
that a run has made.
"""

from interpreter_tools._languages.config import CompileStep, LanguageConfig
from interpreter_tools._languages.installers import SYSTEM

_GCC = "interpreter-tools/gcc:1"
_PROGRAM = "{directory}/program"
_INCLUDE = r'#\s*include\s*"'

C = LanguageConfig(
    language="c",
    default_image=_GCC,
    code_filename="main.c",
    compile=CompileStep(
        command=("gcc", "-std=gnu17", "-O1", "-Wall", "-pthread", "-o", _PROGRAM, "{file}", "-lm"), others=_INCLUDE
    ),
    run_command=(_PROGRAM,),
    dependencies=SYSTEM,
)

CPP = LanguageConfig(
    language="cpp",
    default_image=_GCC,
    code_filename="main.cpp",
    compile=CompileStep(
        command=("g++", "-std=gnu++20", "-O1", "-Wall", "-pthread", "-o", _PROGRAM, "{file}"), others=_INCLUDE
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
        command=("gfortran", "-O1", "-J", "{directory}", "-o", _PROGRAM, "{file}"), others=r"(?im)^\s*include\b"
    ),
    run_command=(_PROGRAM,),
    aliases=("f90",),
    dependencies=SYSTEM,
)

PASCAL = LanguageConfig(
    language="pascal",
    default_image=_GCC,
    code_filename="main.pas",
    compile=CompileStep(
        command=("fpc", "-l-", "-v0ew", "-FU{directory}", f"-o{_PROGRAM}", "{file}"), others=r"(?i)\{\$(?:i|include)\s"
    ),
    run_command=(_PROGRAM,),
    aliases=("pas",),
)

GO = LanguageConfig(
    language="go",
    default_image="interpreter-tools/go:1",
    code_filename="main.go",
    compile=CompileStep(
        command=("go", "build", "-o", _PROGRAM, "{file}"),
        # The image holds Go's library compiled, which the setting has Go use.
        environment={"GODEBUG": "installgoroot=all", "GOCACHE": "{directory}/cache", "CGO_ENABLED": "0"},
        others=r"(?m)^//go:embed\b",
    ),
    run_command=(_PROGRAM,),
    aliases=("golang",),
)

RUST = LanguageConfig(
    language="rust",
    default_image="interpreter-tools/rust:1",
    code_filename="main.rs",
    compile=CompileStep(
        command=("rustc", "--edition", "2021", "-C", "opt-level=1", "-o", _PROGRAM, "{file}"),
        others=r"\bmod\s+\w+\s*;|\binclude(?:_str|_bytes)?!",
    ),
    run_command=(_PROGRAM,),
    aliases=("rs",),
)

# javac wants a file to bear the name of its public class; the class that is run is the first that has a main method.
_JAVAC = """
kind='(class|interface|enum|record)[[:space:]]+'
name=$(sed -nE "s/^(.*[;}])?[[:space:]]*public +([a-z-]+ +)*$kind([A-Za-z0-9_]+).*/\\\\4/p" "$1" | head -n 1)
name=${name:-Main}
cp "$1" "$2/$name.java" && cd "$2" && javac -encoding UTF-8 -d classes "$name.java" || exit 1
package=$(sed -nE 's/^(.*;)?[[:space:]]*package +([A-Za-z0-9_.]+) *;.*/\\2./p' "$1" | head -n 1)
for class in "$name" $(grep -oE "$kind[A-Za-z0-9_]+" "$1" | sed -E 's/.*[[:space:]]//'); do
    if javap -cp classes "$package$class" 2>/dev/null | grep -q ' static .*void main('; then
        echo "$package$class" >main && exit 0
    fi
done
echo "$1: no class has a method 'public static void main(String[] args)'" >&2
exit 1
"""

JAVA = LanguageConfig(
    language="java",
    default_image="interpreter-tools/java:1",
    code_filename="Main.java",
    compile=CompileStep(command=("sh", "-c", _JAVAC, "sh", "{file}", "{directory}")),
    run_command=(
        *("sh", "-c", 'directory=$1; shift; exec java -cp "$directory/classes" "$(cat "$directory/main")" "$@"'),
        *("sh", "{directory}"),
    ),
)

# The compiler notes the main class in the manifest of the program's archive. The classes that it itself consists of are
# an archive of the image, which halves its time. Its heap leaves room for the rest of it within 512 MB.
_KOTLIN = "/usr/local/lib/kotlin"
_KOTLIN_LIBRARIES = ":".join(
    f"{_KOTLIN}/lib/{name}.jar" for name in ("kotlin-stdlib", "kotlin-reflect", "kotlinx-coroutines-core-jvm")
)
_KOTLINC = f"""
kotlinc -cp {_KOTLIN_LIBRARIES} -d "$2/program.jar" "$1" || exit 1
unzip -p "$2/program.jar" META-INF/MANIFEST.MF | sed -n 's/\\r$//; s/^Main-Class: //p' >"$2/main"
test -s "$2/main" && exit 0
echo "$1: there is no function 'main'" >&2
exit 1
"""

KOTLIN = LanguageConfig(
    language="kotlin",
    default_image="interpreter-tools/kotlin:1",
    code_filename="main.kt",
    compile=CompileStep(
        command=("sh", "-c", _KOTLINC, "sh", "{file}", "{directory}"),
        environment={"JAVA_OPTS": f"-Xmx256m -XX:+UseSerialGC -XX:SharedArchiveFile={_KOTLIN}/kotlinc.jsa"},
    ),
    run_command=(
        *("sh", "-c", f'd=$1; shift; exec java -cp "$d/program.jar:{_KOTLIN_LIBRARIES}" "$(cat "$d/main")" "$@"'),
        *("sh", "{directory}"),
    ),
    aliases=("kt",),
)

CSHARP = LanguageConfig(
    language="csharp",
    default_image="interpreter-tools/mono:1",
    code_filename="main.cs",
    compile=CompileStep(command=("mcs", "-langversion:latest", f"-out:{_PROGRAM}", "{file}")),
    run_command=("mono", _PROGRAM),
    aliases=("c#", "cs"),
)

_HASKELL = "Control|Data|Debug|Foreign|GHC|Numeric|Prelude|System|Text"  # what its own modules begin with

HASKELL = LanguageConfig(
    language="haskell",
    default_image="interpreter-tools/haskell:1",
    code_filename="main.hs",
    compile=CompileStep(
        command=("ghc", "-v0", "-outputdir", "{directory}", "-o", _PROGRAM, "{file}"),
        others=rf"(?m)^import\s+(?!(?:safe\s+)?(?:qualified\s+)?(?:{_HASKELL}))",
    ),
    run_command=(_PROGRAM,),
    aliases=("hs",),
)

_OCAML = 'cp "$1" "$2" && cd "$2" && exec ocamlfind ocamlopt -package unix,str -linkpkg -o program main.ml'

OCAML = LanguageConfig(
    language="ocaml",
    default_image="interpreter-tools/ocaml:1",
    code_filename="main.ml",
    compile=CompileStep(  # the compiler writes beside its source
        command=(
            *("sh", "-c", _OCAML),
            *("sh", "{file}", "{directory}"),
        )
    ),
    run_command=(_PROGRAM,),
    aliases=("ml",),
)

COMPILED = (C, CPP, FORTRAN, PASCAL, GO, RUST, JAVA, KOTLIN, CSHARP, HASKELL, OCAML)
