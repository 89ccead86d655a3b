"""Shell scripts that compile a program of one or several files.

Each gets the program's file and the directory for what comes out, and starts where the program starts. A program is
compiled alone first, where its compiler does not find the other files by itself. If that fails, the sources around it
are taken in, which a program of a single file need not pay for. Status 93 (``TOGETHER``) says that they were.
"""

# What lies around: not hidden, and not the program itself.
_AROUND = "find . -path '*/.*' -prune -o -type f ! -samefile"

# The other sources become a library, of which the linker takes what the program calls: sources that do not belong to it
# do no harm, and other programs are left out. Modules of Fortran need each other, so all that failed are tried again
# while another one has succeeded. A program whose lines all leave the first columns free is in Fortran's fixed form.
# Further arguments: a regular expression of the suffixes of sources, then the compiler and its options.
GCC = rf"""
file=$1 made=$2 suffixes=$3 programs='^ *(int|void) +main *\(|^ *program +[a-z]'; shift 3
if grep -qiE '^ *#\s*pragma +omp|!\$omp|use +omp_lib|<omp\.h>' "$file"; then set -- "$@" -fopenmp; fi
case $file in *.f90) grep -qvE '^([Cc*!]|[ 0-9]{{5}}.|\s*$)' "$file" || set -- "$@" -ffixed-form ;; esac
if "$@" -o "$made/program" "$file" -lm 2>"$made/alone"; then cat "$made/alone" >&2; exit 0; fi
{_AROUND} "$file" -regextype egrep -regex ".*\.($suffixes)" ! -exec grep -qiE "$programs" '{{}}' \; -print \
    >"$made/others"
{_AROUND} "$file" -regextype egrep -regex '.*\.(h|hh|hpp|hxx|inc|fi)' -printf '"-I%h"\n' | sort -u >"$made/folders"
test -s "$made/others" || test -s "$made/folders" || {{ cat "$made/alone" >&2; exit 1; }}
number=0 more=yes
while test $more; do
    more=
    : >"$made/left" >"$made/said"
    while IFS= read -r source; do
        number=$((number + 1))
        if "$@" "@$made/folders" -c -o "$made/$number.o" "$source" 2>>"$made/said"; then
            more=yes
        else
            printf '%s\n' "$source" >>"$made/left"
        fi
    done <"$made/others"
    mv "$made/left" "$made/others"
    test -s "$made/others" || more=
done
ar rcs "$made/others.a" $(ls "$made"/*.o 2>/dev/null)
"$@" "@$made/folders" -o "$made/program" "$file" "$made/others.a" -lm 2>"$made/together" && status=93 || status=1
test $status = 1 && grep -qE 'undefined reference|Cannot open module file' "$made/together" && cat "$made/said" >&2
cat "$made/together" >&2
exit $status
"""

# A program that Go does not build as one file is the package of its directory. Tests are a program, too.
GO = r"""
file=$1 made=$2
go build -o "$made/program" "$file" 2>"$made/alone" && { cat "$made/alone" >&2; exit 0; }
cd "$(dirname "$file")" || exit 1
case $(go env GOMOD) in
    /dev/null | '') set -- *.go ;;
    *) set -- . ;;
esac
case $file in
    *_test.go)
        go test -c -o "$made/tests" "$@" || exit 1
        printf '#!/bin/sh\nexec "%s" -test.v "$@"\n' "$made/tests" >"$made/program"
        chmod 700 "$made/program" && exit 93 ;;
esac
if test "$1" != .; then
    set --
    for source in *.go; do case $source in *_test.go) ;; *) set -- "$@" "$source" ;; esac; done
fi
go build -o "$made/program" "$@" 2>"$made/together" && exit 93
if grep -q redeclared "$made/together"; then cat "$made/alone" >&2; else cat "$made/together" >&2; fi
exit 1
"""

# Cargo's conventions, without Cargo: the manifest's name and edition, a library beside the program, and tests. The
# manifest of a script stands in it between two lines of dashes, which rustc does not know yet.
RUST = r"""
file=$1 made=$2; shift 2
edition=2021 status=0
for manifest in "$(dirname "$file")/../Cargo.toml" "$(dirname "$file")/Cargo.toml"; do
    test -f "$manifest" || continue
    entry() { sed -nE "s/^$1 *= *\"([^\"]*)\".*/\1/p" "$manifest" | head -n 1; }
    export CARGO_PKG_NAME="$(entry name)" CARGO_PKG_VERSION="$(entry version)"
    edition=$(entry edition) edition=${edition:-2021}
    library=$(dirname "$manifest")/src/lib.rs
    if test -f "$library" && ! test "$library" -ef "$file"; then
        name=$(printf %s "$CARGO_PKG_NAME" | tr - _)
        "$@" --edition "$edition" --crate-type lib --crate-name "$name" -o "$made/lib$name.rlib" "$library" || exit 1
        set -- "$@" --extern "$name=$made/lib$name.rlib"
    fi
    status=93
done
if grep -vm 1 -e '^#!' -e '^$' "$file" | grep -q '^---'; then
    entry=$(sed -nE '/^---/,/^---/s/^edition *= *"([^"]*)".*/\1/p' "$file") edition=${entry:-$edition}
    mkdir "$made/script"
    sed '/^---/,/^---/s/.*//' "$file" >"$made/script/${file##*/}"
    set -- "$@" --remap-path-prefix "$made/script=${file%/*}"
    file=$made/script/${file##*/}
fi
if grep -q '^ *#\[test\]' "$file" && ! grep -qE '\bfn +main\b' "$file"; then set -- "$@" --test; fi
set -- "$@" --edition "$edition" -o "$made/program" "$file"
if "$@" 2>"$made/said"; then
    cat "$made/said" >&2
elif grep -q '`let` expressions in this position are unstable' "$made/said"; then  # they are stable since 1.88
    RUSTC_BOOTSTRAP=1 "$@" -Z 'crate-attr=feature(let_chains)' || exit 1
else
    cat "$made/said" >&2 && exit 1
fi
exit $status
"""

# javac wants a file to bear the name of its public class, and one such class in a file; the class that is run is the
# first that has a main method. Other classes are found from the root of the packages, as javac does it. What is a
# preview in this version is allowed to programs that use it. Statements alone are put into such a class.
JAVA = r"""
kind='(class|interface|enum|record)[[:space:]]+'
name=$(sed -nE "s/^(.*[;}])?[[:space:]]*public +([a-z-]+ +)*$kind([A-Za-z0-9_]+).*/\4/p" "$1" | head -n 1)
name=${name:-Main}
package=$(sed -nE 's/^(.*;)?[[:space:]]*package +([A-Za-z0-9_.]+) *;.*/\2/p' "$1" | head -n 1)
root=$(dirname "$1") folders=/$(printf %s "$package" | tr . /)
test -z "$package" || root=${root%"$folders"}
sed -E "/$kind$name([^A-Za-z0-9_]|\$)/!s/^public +(([a-z-]+ +)*$kind)/\1/" "$1" >"$2/$name.java"
if ! grep -qE "\\bmain *\\(|^([a-z]+ +)*$kind" "$1"; then
    awk -v 'begin=public class Main { public static void main(String[] args) throws Exception { ' '
        !begun && !/^[ \t]*(import .*|\/\/.*)?$/ { $0 = begin $0; begun = 1 }
        { print }
        END { print "}}" }' "$2/$name.java" >"$2/statements" && mv "$2/statements" "$2/$name.java"
fi
printf %s "$root" >"$2/root"
status=0
find "$root" -path '*/.*' -prune -o -name '*.java' ! -samefile "$1" -print | grep -q . && status=93
cd "$2" || exit 1
: >options
if ! javac -encoding UTF-8 -sourcepath "$root" -d classes "$name.java" 2>said; then
    grep -q -e --enable-preview said || { cat said >&2; exit 1; }
    preview="--enable-preview --release $(javac -version 2>&1 | sed -E 's/[^0-9]*([0-9]+).*/\1/')"
    javac $preview -encoding UTF-8 -sourcepath "$root" -d classes "$name.java" >said 2>&1 || { cat said >&2; exit 1; }
    echo --enable-preview >options
    echo "$name" >main
    exit $status
fi
cat said >&2
for class in "$name" $(grep -oE "$kind[A-Za-z0-9_]+" "$1" | sed -E 's/.*[[:space:]]//'); do
    if javap -cp classes "${package:+$package.}$class" 2>/dev/null | grep -q ' static .*void main('; then
        echo "${package:+$package.}$class" >main && exit $status
    fi
done
echo "$1: no class has a method 'public static void main(String[] args)'" >&2
exit 1
"""

RUN_JAVA = """
made=$1 root=$(cat "$1/root"); shift
exec java $(cat "$made/options") -cp "$made/classes:$root:${root%/java}/resources" "$(cat "$made/main")" "$@"
"""

# Classes and exceptions are there in a mode that has them only, which many programs do not ask for. Own units of a
# program lie beside it; the compiler writes each into the directory for what comes out.
PASCAL = r"""
file=$1 made=$2
compile() { fpc -l- -v0ew -gl "-FU$made" "-o$made/program" "$@" "$file" >"$made/said" 2>&1; }
if ! compile; then
    mv "$made/said" "$made/plain"
    { ! grep -qiE '\{\$mode ' "$file" && compile -Mobjfpc -Sh; } || { cat "$made/plain"; exit 1; }
fi
cat "$made/said"
for unit in "$made"/*.ppu; do test ! -e "$unit" || exit 93; done
"""

# The compiler notes the main class in the manifest of the program's archive, where there is no other. A program without
# `main` that holds more than declarations is a script. Further arguments: the libraries, and the compiler.
_DECLARATIONS = (
    r"^([^a-z]|$|(package|import|fun|val|var|class|object|interface|enum|data|sealed|abstract|open|inline|private|"
    r"internal|public|const|typealias|suspend|operator|infix|tailrec|annotation|value|lateinit)\b)"
)
_STARTER = """
fun main(args: Array<String>) {
    try {
        Class.forName("Main").getConstructor(Array<String>::class.java).newInstance(args)
    } catch (error: java.lang.reflect.InvocationTargetException) {
        throw error.targetException
    }
}
"""
KOTLIN = rf"""
file=$1 made=$2 libraries=$3 status=0
kotlinc="java $JAVA_OPTS -cp $4 org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
if ! grep -qE '\bfun +main *\(' "$file" && grep -qvE '{_DECLARATIONS}' "$file"; then
    cp "$file" "$made/main.kts" && printf '%s' '{_STARTER}' >"$made/starter.kt"
    $kotlinc -Xallow-any-scripts-in-source-roots -cp "$libraries" -d "$made/program.jar" "$made/main.kts" \
        "$made/starter.kt" 2>"$made/said" || status=1
    sed "s|^[^ ]*/main\.kts:|$file:|" "$made/said" >&2
    echo StarterKt >"$made/main"
    exit $status
fi
if ! $kotlinc -cp "$libraries" -d "$made/program.jar" "$file" 2>"$made/said"; then
    {_AROUND} "$file" -name '*.kt' -print0 >"$made/others"
    if ! test -s "$made/others" || ! grep -q 'unresolved reference' "$made/said"; then cat "$made/said" >&2; exit 1; fi
    status=93
    xargs -0 $kotlinc -cp "$libraries" -d "$made/program.jar" "$file" <"$made/others" 2>"$made/said" ||
        {{ cat "$made/said" >&2; exit 1; }}
fi
cat "$made/said" >&2
unzip -p "$made/program.jar" META-INF/MANIFEST.MF | sed -n 's/\r$//; s/^Main-Class: //p' >"$made/main"
if ! test -s "$made/main" && grep -qE '^ *(suspend +)?fun +main *\(' "$file"; then
    package=$(sed -nE 's/^ *package +([A-Za-z0-9_.]+).*/\1./p' "$file" | head -n 1)
    printf '%s%sKt\n' "$package" "$(basename "$file" .kt | sed 's/^./\u&/')" >"$made/main"
fi
test -s "$made/main" && exit $status
echo "$file: there is no function 'main'" >&2
exit 1
"""

# ghc finds modules in the directory that it starts in; here in the program's, too, and where Cabal's projects have
# them. A module of any name may have main.
HASKELL = r"""
module=$(sed -nE 's/^module +([A-Z][A-Za-z0-9_.]*).*/\1/p' "$1" | head -n 1)
folder=$(dirname "$1")
exec ghc -v0 "-i.:$folder:$folder/../src:$folder/../lib" -main-is "${module:-Main}" -outputdir "$2" \
    -o "$2/program" "$1"
"""

# The compiler writes beside its sources, and takes them in the order in which they need each other. Directives are for
# the interactive interpreter; their libraries are here in any case, and a file that it uses is a module.
OCAML = r"""
made=$2 folder=$(dirname "$1") status=0
sed -E 's/^#use +"([^"]*\/)?([a-z])(\w*)\.ml".*/open! \u\2\3;;/
    s/^#(use|mod_use|require|load|thread|directory|list|camlp4[or]|show|trace|warnings)\b.*//' "$1" >"$made/main.ml"
take() {
    for module in $(ocamlfind ocamldep -modules "$1" | sed 's/.*://'); do
        name=$(echo "$module" | sed 's/^./\l&/')
        test -e "$made/$name.ml" && continue
        source=$folder/$name.ml
        test -e "$source" || source=$(find . -path '*/.*' -prune -o -name "$name.ml" -print | head -n 1)
        test -n "$source" || continue
        cp "$source" "$made/" && status=93
        test -e "${source}i" && cp "${source}i" "$made/" && take "$made/$name.mli"
        take "$made/$name.ml"
    done
}
take "$made/main.ml"
cd "$made" || exit 1
set -- $(ocamlfind ocamldep -sort *.ml*)
ocamlfind ocamlopt -g -thread -package unix,str,threads.posix -linkpkg -o program "$@" || exit
exit $status
"""
