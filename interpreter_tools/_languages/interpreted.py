"""Further languages whose programs are run as they are: ``interpreter-tools setup perl r`` makes their images."""

from interpreter_tools._languages.config import LanguageConfig, Opening
from interpreter_tools._languages.installers import SYSTEM

_SCRIPTS = "interpreter-tools/scripts:1"
_SHELL = "interpreter-tools/shell:1"
_HOME = "/tmp/home"  # noqa: S108 - inside the sandbox

AWK = LanguageConfig(
    language="awk",
    default_image=_SHELL,
    code_filename="main.awk",
    run_command=("gawk", "-f", "{file}"),
    aliases=("gawk",),
    dependencies=SYSTEM,
)

BUN = LanguageConfig(
    language="bun",
    default_image="interpreter-tools/bun:1",
    code_filename="main.ts",
    run_command=("bun", "run", "--no-install", "{file}"),
    environment={"DO_NOT_TRACK": "1", "BUN_RUNTIME_TRANSPILER_CACHE_PATH": "0"},
)

DENO = LanguageConfig(
    language="deno",
    default_image="interpreter-tools/deno:1",
    code_filename="main.ts",
    # The container is what allows or forbids; Deno's own questions would find nobody to answer them. Programs that were
    # written for Node.js call `require`, and leave the suffixes of modules out.
    run_command=(
        *("deno", "run", "--allow-all", "--quiet", "--no-lock", "--unstable-detect-cjs", "--unstable-sloppy-imports"),
        "{file}",
    ),
    environment={"NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": f"{_HOME}/.deno"},
)

ELIXIR = LanguageConfig(
    language="elixir",
    default_image="interpreter-tools/elixir:1",
    code_filename="main.exs",
    interpreters=("elixir",),
    run_command=("elixir", "{file}"),
    aliases=("ex", "exs"),
    environment={"ELIXIR_ERL_OPTIONS": "+fnu"},
)

# escript skips the first line of a file, whatever it is. So a program that does not begin with `#!` is run as a copy
# with such a line before it, whose places are told as those of the program. Nothing may stand before `-module`, which
# escript does without. A module without `main/1` begins with `main/0`, or with the first function that it exports and
# that takes nothing. Other modules of the program's directory are compiled first.
_ESCRIPT = r"""
copy=/tmp/.main.erl modules=/tmp/.modules
{ printf '#!\n-file("%s", 0).\n' "$1" && sed 's/^[[:space:]]*-module([^)]*)[[:space:]]*\.//' "$1"; } >$copy || exit 1
if ! grep -qE '^main\([^)]' "$1"; then
    exported=$(sed -nE 's/^-export\(\[(.*[^a-z0-9_])?([a-z][A-Za-z0-9_]*)\/0.*/\2/p' "$1" | head -n 1)
    grep -q '^main()' "$1" && exported=main
    test -z "$exported" || printf '\nmain(_) -> %s().\n' "$exported" >>$copy
fi
for module in "${1%/*}"/*.erl; do
    test "$module" = "$1" || ! test -f "$module" || { mkdir -p $modules && erlc -o $modules "$module" >&2; }
done
test ! -d $modules || export ERL_FLAGS="-pa $modules $ERL_FLAGS"
shift
exec escript $copy "$@"
"""

ERLANG = LanguageConfig(
    language="erlang",
    default_image="interpreter-tools/elixir:1",
    code_filename="main.erl",
    run_command=("sh", "-c", _ESCRIPT, "sh", "{file}"),
    interpreters=(),  # a first line that names escript has it run as it is
    aliases=("erl", "escript"),
)

JULIA = LanguageConfig(
    language="julia",
    default_image="interpreter-tools/julia:1",
    code_filename="main.jl",
    interpreters=("julia",),
    run_command=("julia", "--startup-file=no", "{file}"),
    aliases=("jl",),
)

LISP = LanguageConfig(
    language="lisp",
    default_image="interpreter-tools/lisp:1",
    code_filename="main.lisp",
    interpreters=("sbcl", "clisp", "ecl"),
    run_command=("sbcl", "--script", "{file}"),
    aliases=("common-lisp", "sbcl"),
)

LUA = LanguageConfig(
    language="lua",
    default_image=_SCRIPTS,
    code_filename="main.lua",
    interpreters=("lua", "lua5.*", "luajit"),
    run_command=("lua5.4", "{file}"),
)

OCTAVE = LanguageConfig(
    language="octave",
    default_image="interpreter-tools/octave:1",
    code_filename="main.m",
    interpreters=("octave*", "matlab"),
    # A file that begins with a function would be that function, not a program.
    opening=Opening(text="1; ", when=r"(?:\s|[#%].*\n)*function\b"),
    run_command=("octave-cli", "--quiet", "--no-init-file", "--no-history", "{file}"),
    aliases=("matlab",),
)

PERL = LanguageConfig(
    language="perl",
    default_image=_SCRIPTS,
    code_filename="main.pl",
    interpreters=("perl", "perl5*"),
    run_command=("perl", "{file}"),
    aliases=("pl",),
)

PHP = LanguageConfig(
    language="php",
    default_image=_SCRIPTS,
    code_filename="main.php",
    interpreters=("php", "php[0-9]*"),
    opening=Opening(text="<?php ", when=r"(?!(?s:.*)<\?)"),
    # Without a file of settings PHP tells each error twice: to its output and to its log.
    run_command=("php", "-d", "display_errors=stderr", "-d", "log_errors=0", "{file}"),
)

R = LanguageConfig(
    language="r",
    default_image="interpreter-tools/r:1",
    code_filename="main.r",
    interpreters=("Rscript", "r", "littler"),
    run_command=("Rscript", "--no-init-file", "{file}"),
    aliases=("rscript",),
)

SQL = LanguageConfig(
    language="sql",
    default_image=_SHELL,
    code_filename="main.sql",
    interpreters=("sqlite3",),
    run_command=("sqlite3", "-batch", "-bail", "-init", "/dev/null", ":memory:", ".read {file}"),
    aliases=("sqlite",),
)

INTERPRETED = (AWK, BUN, DENO, ELIXIR, ERLANG, JULIA, LISP, LUA, OCTAVE, PERL, PHP, R, SQL)
