"""Shell scripts that compile a program of one or several files.

Each gets the program's file and the directory for what comes out, and starts where the program starts. A program is
compiled alone first, where its compiler does not find the other files by itself. If that fails, the sources around it
are taken in, which a program of a single file need not pay for. Status 93 (``TOGETHER``) says that they were.
"""

# What lies around: not hidden, and not the program itself.
_AROUND = "find . -path '*/.*' -prune -o -type f ! -samefile"

# Prints the compiler's options for the folders of headers that the distribution's packages name.
_FOLDERS = r"""
if (/^(\w+)\s*=\s*(.*)/) { $value{$1} = $2 }
next unless s/^Cflags:\s*//;
1 while s/\$\{(\w+)\}/$value{$1}/;
print "-isystem$1\n" while m{-I(/usr/\S+/\S+)}g;
"""

_NOT_LINKED = "c_malloc_debug|mcheck|memusage|pcprofile|[a-z]*san|gcov"  # what they have stands in for other functions

# Libraries of the distribution's packages need no options: the linker takes what the program calls from all that are
# there. Then the other sources become a library: sources that do not belong to the program do no harm, and other
# programs are left out. Modules of Fortran need each other, so all that failed are tried again while another one has
# succeeded. A program whose lines all leave the first columns free is in Fortran's fixed form.
# Further arguments: a regular expression of the suffixes of sources, then the compiler and its options.
GCC = rf"""
file=$1 made=$2 suffixes=$3 libraries=-lm programs='^ *(int|void) +main *\(|^ *program +[a-z]'; shift 3
if grep -qiE '^ *#\s*pragma +omp|!\$omp|use +omp_lib|<omp\.h>' "$file"; then set -- "$@" -fopenmp; fi
case $file in *.f90) grep -qvE '^([Cc*!]|[ 0-9]{{5}}.|\s*$)' "$file" || set -- "$@" -ffixed-form ;; esac
if "$@" -o "$made/program" "$file" -lm 2>"$made/alone"; then cat "$made/alone" >&2; exit 0; fi
if grep -qE 'undefined reference|fatal error: .*: No such file' "$made/alone"; then
    system=/usr/lib/$(gcc -print-multiarch)
    set -- "$@" $(cat "$system/pkgconfig/"*.pc /usr/share/pkgconfig/*.pc 2>/dev/null | perl -ne '{_FOLDERS}' | sort -u)
    libraries="-Wl,--as-needed -Wl,--start-group
        $(ls "$system" "$(dirname "$(gcc -print-libgcc-file-name)")" |
            sed -nE '/^lib({_NOT_LINKED})\./d; s/^lib(.*)\.(so|a)$/-l\1/p' | sort -u) -Wl,--end-group -lm"
    if "$@" -o "$made/program" "$file" $libraries 2>"$made/alone"; then cat "$made/alone" >&2; exit 0; fi
fi
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
"$@" "@$made/folders" -o "$made/program" "$file" "$made/others.a" $libraries 2>"$made/together" && status=93 || status=1
test $status = 1 && grep -qE 'undefined reference|Cannot open module file' "$made/together" && cat "$made/said" >&2
cat "$made/together" >&2
exit $status
"""

# A program that Go does not build as one file is the package of its directory. Tests are a program, too, and Go takes
# them from files of a certain name: the file gets it by an overlay. So does a program in a package of another name.
# Packages of the distribution lie in a folder, as before modules.
GO = r"""
file=$1 made=$2 overlay=$2/overlay.json
tests='^func (Test|Benchmark|Example|Fuzz)[A-Z_(]'
make_tests() {
    go test -vet=off -c -o "$made/tests" "$@" || return
    printf '#!/bin/sh\nexec "%s" -test.v "$@"\n' "$made/tests" >"$made/program"
    chmod 700 "$made/program"
}
if grep -q '^ *import "C"' "$file"; then
    echo "$file: 'import \"C\"' needs a compiler of C, which is not here" >&2
    exit 1
fi
if ! grep -q '^package  *main\b' "$file" && grep -q '^func main()' "$file"; then
    sed 's/^package .*/package main/' "$file" >"$made/main.go"
    printf '{"Replace": {"%s": "%s"}}' "$file" "$made/main.go" >"$overlay"
fi
if ! grep -q '^func main()' "$file" && grep -qE "$tests" "$file"; then
    case $file in
        *_test.go) ;;
        *)
            printf '{"Replace": {"%s": "%s"}}' "${file%.go}_test.go" "$file" >"$overlay"
            make_tests -overlay "$overlay" "${file%.go}_test.go" 2>"$made/alone" && exit 0 ;;
    esac
elif test -e "$overlay"; then
    go build -overlay "$overlay" -o "$made/program" "$file" 2>"$made/alone"
else
    go build -o "$made/program" "$file" 2>"$made/alone"
fi && test -x "$made/program" && { cat "$made/alone" >&2; exit 0; }
if test -d /usr/share/gocode/src && grep -q 'no required module provides' "$made/alone"; then
    export GO111MODULE=off GOPATH=/usr/share/gocode
    go build -o "$made/program" "$file" 2>"$made/alone" && { cat "$made/alone" >&2; exit 0; }
fi
cd "$(dirname "$file")" || exit 1
case $(go env GOMOD) in
    /dev/null | '') set -- *.go ;;
    *) set -- . ;;
esac
case $file in *_test.go) make_tests "$@" && exit 93; exit 1 ;; esac
if test "$1" != .; then
    set --
    for source in *.go; do case $source in *_test.go) ;; *) set -- "$@" "$source" ;; esac; done
fi
if go build -o "$made/program" "$@" 2>"$made/together" && test -x "$made/program"; then exit 93; fi
if grep -q redeclared "$made/together" || ! test -s "$made/together"; then set -- alone; else set -- together; fi
cat "$made/$1" >&2
test -s "$made/$1" || echo "$file: its package is not 'main', and it has neither a function 'main' nor tests" >&2
exit 1
"""

# Cargo's conventions, without Cargo: the manifest's name and edition, a library beside the program, and tests. The
# manifest of a script stands in it between two lines of dashes, which rustc does not know yet. Statements alone are a
# main function.
RUST = r"""
file=$1 made=$2 folder=${1%/*}; shift 2
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
    set -- "$@" --remap-path-prefix "$made/script=$folder"
    file=$made/script/${file##*/}
fi
statements='^(let|for|while|loop|if|match|e?print(ln)?!|assert(_eq|_ne)?!|dbg!)'
if grep -qE "$statements" "$file" && ! grep -qE '\bfn +main\b|^ *#\[test\]' "$file"; then
    mkdir -p "$made/script"
    {
        printf '#[allow(redundant_semicolons)] fn main() -> Result<(), Box<dyn std::error::Error>> { '
        cat "$file"
        printf '\n; Ok(()) }\n'
    } >"$made/statements"
    set -- "$@" --remap-path-prefix "$made/script=$folder"
    file=$made/script/${file##*/}
    mv "$made/statements" "$file"
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

# Statements without a class, as for jshell: they become a main method, and what they declare among them becomes a class
# that it inherits from, so that it is known everywhere. Both files keep the program's lines.
_JAVA_STATEMENTS = r"""
my ($file, $made) = @ARGV;
local $/;
open my $in, "<", $file;
$_ = <$in>;
my ($unit, $depth, @units) = ("", 0);
my $gap = qr{(?:\s|//[^\n]*|/\*.*?\*/)*}s;
while (m{\G(//[^\n]*|/\*.*?\*/|"{3}.*?"{3}|"(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27|\w+|.)}gs) {
    my $token = $1;
    $unit .= $token;
    $depth++ if $token =~ /^[({[]$/;
    $depth-- if $token =~ /^[)}\]]$/;
    next if $depth || $token !~ /^[;}]$/;
    next if $token eq "}" && /\G$gap(?:[][;,.)?:&|+*=-]|(?:else|catch|finally)\b)/;
    next if $unit =~ /^$gap do\b/x && $unit !~ /\bwhile\b[^{}]*$/ && /\G$gap while\b/x;
    push @units, $unit;
    $unit = "";
}
push @units, $unit;
my $words = qr/(?:(?:public|private|protected|static|final|abstract|sealed|non-sealed|synchronized)\s+)*/;
my $type = qr/[\w.]+(?:\s*<[^(){};=]*>)?(?:\s*\[\s*\])*/;
my $flow = qr/(?:return|new|throw|else|assert|yield)\b/;
my $kind = qr/$words(?:class|interface|enum|record|\@interface)\s+\w/;
my $method = qr/(?!$flow)$words(?:<[^(){};=]*>\s*)?$type\s+\w+\s*\([^{};]*\)\s*(?:throws\s[\w.,\s]+)?\{/;
my (@main, @rest, $begun);
my $imports = join "", map { "import java.$_.*; " } qw(io math net nio.file time util util.concurrent util.function
    util.regex util.stream);
for my $unit (@units) {
    my ($before, $text) = $unit =~ /^((?:$gap\@(?!interface)\w+(?:\([^)]*\))?)*$gap)(.*)/s;
    my $empty = $unit =~ s/[^\n]//gr;
    my ($to_main, $to_rest) = ($unit, $empty);
    if ($text =~ /^(?:import|package)\b/) {
        ($to_main, $to_rest) = $begun ? ($empty, $empty) : ($unit, $unit);
        $imports .= $text =~ s/\s+/ /gr if $begun;
    } elsif ($text =~ /^(?:$kind|$method)/) {
        $text =~ s/^(?:(?:public|private|protected|static)\s+)*/static /;
        ($to_main, $to_rest) = ($empty, "$before$text");
    } elsif ($text =~ /\S/ && !$begun++) {
        $to_main = "${before}public class Main extends Declarations { "
            . "public static void main(String[] args) throws Exception { $text";
    }
    push @main, $to_main;
    push @rest, $to_rest;
}
exit 1 if !$begun;
my $shared = join "", @rest;
for my $index (0 .. $#main) {  # variables that methods use are fields
    next if $rest[$index] =~ /\S/ || $main[$index] !~ /^(.*?)(?:final\s+)?($type)\s+(\w+)(\s*=\s*|\s*;)(.*)/s;
    my ($before, $of, $name, $sign, $value) = ($1, $2, $3, $4, $5);
    next if $before !~ /(?:^|\{ |\*\/)$gap$/ || $of =~ /^$flow/ || $shared !~ /\b\Q$name\E\b/;
    $of = $1 if $of eq "var" && $value =~ /^new\s+($type)\s*\(/ && $value !~ /<>/;
    $of = "int" if $of eq "var" && $value =~ /^-?\d+;/;
    $of = "String" if $of eq "var" && $value =~ /^"/;
    next if $of eq "var";
    $value = "new $of$value" if $value =~ /^\{/;
    $main[$index] = $before . ($sign =~ /;/ ? "" : "$name$sign$value");
    $rest[$index] = " static $of $name;$rest[$index]";
}
my $declares = qr/^((?>$gap))(?!import\b|package\b)(?=\S)/;
my ($first) = grep { $rest[$_] =~ $declares } 0 .. $#rest;
push @rest, "class Declarations {" if !defined $first;
$rest[$first] =~ s/$declares/$1class Declarations { / if defined $first;
mkdir "$made/declarations";
for (["Main.java", @main, " }}"], ["declarations/Main.java", @rest, " }"]) {
    my ($name, @text) = @$_;
    $_ = join "", @text;
    s/^((?>$gap)package\b[^;]*;)?/$1$imports/;
    open my $out, ">", "$made/$name";
    print $out $_;
}
"""

# javac wants a file to bear the name of its public class, and one such class in a file; the class that is run is the
# first that has a main method. Other classes are found from the root of the packages, as javac does it. What is a
# preview in this version is allowed to programs that use it. Libraries of the distribution lie in one folder.
JAVA = rf"""
file=$1 made=$2 kind='(class|interface|enum|record)[[:space:]]+' libraries='/usr/share/java/*'
quick='-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xlog:disable'
javac="javac -encoding UTF-8 -d classes $(printf ' -J%s' $quick -XX:SharedArchiveFile=/usr/local/lib/javac.jsa)"
name=$(sed -nE "s/^(.*[;}}])?[[:space:]]*public +([a-z-]+ +)*$kind([A-Za-z0-9_]+).*/\4/p" "$file" | head -n 1)
test -n "$name" && ! grep -qE '^([a-z]+ +)*void +main *\(' "$file" || name=Main
package=$(sed -nE 's/^(.*;)?[[:space:]]*package +([A-Za-z0-9_.]+) *;.*/\2/p' "$file" | head -n 1)
root=$(dirname "$file") folders=/$(printf %s "$package" | tr . /)
test -z "$package" || root=${{root%"$folders"}}
printf %s "$root" >"$made/root"
status=0
find "$root" -path '*/.*' -prune -o -name '*.java' ! -samefile "$file" -print | grep -q . && status=93
cd "$made" || exit 1
if ! grep -qE '\bmain *\(' "$file" && perl -e '{_JAVA_STATEMENTS}' "$file" .; then
    name=Main
    set -- Main.java declarations/Main.java
else
    sed -E "/$kind$name([^A-Za-z0-9_]|\$)/!s/^public +(([a-z-]+ +)*$kind)/\1/" "$file" >"$name.java"
    set -- "$name.java"
fi
say() {{ sed -E "s|^(declarations/)?$name\.java:|$file:|" said >&2; }}
: >options
if ! $javac -cp "$libraries" -sourcepath "$root" "$@" 2>said; then
    grep -q -e --enable-preview said || {{ say; exit 1; }}
    preview="--enable-preview --release $(javac -version 2>&1 | sed -E 's/[^0-9]*([0-9]+).*/\1/')"
    $javac $preview -cp "$libraries" -sourcepath "$root" "$@" >said 2>&1 || {{ say; exit 1; }}
    echo --enable-preview >options
fi
say
test -d declarations && echo Main >main && exit $status
set -- "$name" $(grep -oE "$kind[A-Za-z0-9_]+" "$file" | sed -E 's/.*[[:space:]]//')
test $# -gt 2 || ! grep -qE '^[^/"]*\bstatic .*\bvoid +main *\(' "$file" ||
    {{ echo "${{package:+$package.}}${{2:-Main}}" >main && exit $status; }}
cd classes/$(printf %s "$package" | tr . /) || exit 1
main=$(javap $(printf ' -J%s' $quick) $(printf '%s.class\n' "$@") $(ls | grep '\$') 2>/dev/null | awk '
    match($0, /(class|interface) [^ <{{]+/) {{ class = substr($0, RSTART, RLENGTH); sub(/.* /, "", class) }}
    / void main\((java\.lang\.String(\[\]|\.\.\.))?\)/ {{
        if (!/ static /) {{ if (!other) other = class }} else if (!main) main = class
    }}
    END {{ print main ? main : other }}')
test -n "$main" && echo "$main" >"$made/main" && exit $status
echo "$file: no class has a method 'public static void main(String[] args)'" >&2
exit 1
"""

RUN_JAVA = """
made=$1 root=$(cat "$1/root"); shift
classes=$made/classes:$root:${root%/java}/resources:/usr/share/java/*
exec java $(cat "$made/options") -cp "$classes" "$(cat "$made/main")" "$@"
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
file=$1 made=$2 folder=$(dirname "$1") status=0
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
packages=unix,str,threads.posix
for name in $(sed -nE 's/^#require +"([^"]*)".*/\1/p' "$file" | tr , ' '); do
    ocamlfind query "$name" >"$made/found" 2>&1 && packages=$packages,$name
done
while ! ocamlfind ocamlopt -g -thread -package "$packages" -linkpkg -o program "$@" 2>said; do
    module=$(sed -nE 's/^(.*Unbound module | *)"?([A-Z]\w*)"?( referenced from .*|\.?)$/\l\2/p' said | head -n 1)
    folder=$(find $(ocamlfind printconf path) -name "${module:-/}.cmi" -printf '%h\n' 2>/dev/null | head -n 1)
    test -n "$folder" || { cat said >&2; exit 1; }
    package=$(ocamlfind query -format '%d %p' $(ocamlfind list 2>/dev/null | cut -d' ' -f1) 2>/dev/null |
        sed -n "s|^$folder ||p" | awk '{ print length, $0 }' | sort -n | sed -n '1s/^[0-9]* //p')
    case ,$packages, in *",${package:-unix},"*) cat said >&2; exit 1 ;; esac
    packages=$packages,$package
done
cat said >&2
exit $status
"""
