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

# Tests run in the runner of tests only.
_BUN = r"""
if grep -qE "(from|require\(|import) *['\"]bun:test['\"]" "$1"; then exec bun test "$1"; fi
exec bun run --no-install "$@"
"""

BUN = LanguageConfig(
    language="bun",
    default_image="interpreter-tools/bun:1",
    code_filename="main.ts",
    interpreters=("bun",),
    run_command=("sh", "-c", _BUN, "sh", "{file}"),
    environment={"DO_NOT_TRACK": "1", "BUN_RUNTIME_TRANSPILER_CACHE_PATH": "0"},
)

# The container is what allows or forbids; Deno's own questions would find nobody to answer them. Programs that were
# written for Node.js call `require`, and leave the suffixes of modules out. Tests run in the runner of tests only.
_DENO = r"""
command=run
if grep -qE '^ *Deno\.test\(' "$1"; then command='test --no-check'; fi
exec deno $command --allow-all --quiet --no-lock --unstable-detect-cjs --unstable-sloppy-imports "$@"
"""

DENO = LanguageConfig(
    language="deno",
    default_image="interpreter-tools/deno:1",
    code_filename="main.ts",
    interpreters=("deno",),
    run_command=("sh", "-c", _DENO, "sh", "{file}"),
    environment={"NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": f"{_HOME}/.deno"},
)

# The modules of a Mix project lie in its `lib`, where the program may lie, too. They are there before it begins.
_ELIXIR = r"""
case $1 in */lib/*) root=${1%%/lib/*} ;; *) root=${1%/*} ;; esac
if test -f "$root/mix.exs"; then
    file=$1 && shift
    modules="Path.wildcard(\"$root/lib/**/*.ex\") -- [\"$file\"]"
    set -- -e "Kernel.ParallelCompiler.require($modules)" -r "$file" "$@"
fi
exec elixir "$@"
"""

ELIXIR = LanguageConfig(
    language="elixir",
    default_image="interpreter-tools/elixir:1",
    code_filename="main.exs",
    interpreters=("elixir",),
    run_command=("sh", "-c", _ELIXIR, "sh", "{file}"),
    aliases=("ex", "exs"),
    environment={"ELIXIR_ERL_OPTIONS": "+fnu"},
)

# escript skips the first line of a file, whatever it is. So a program that does not begin with `#!` is run as a copy
# with such a line before it, whose places are told as those of the program. Nothing may stand before `-module`, which
# escript does without. A module without `main/1` begins with `main/0`, with the first function that it exports and
# that takes nothing, or with its tests. Text without any function is expressions, as in Erlang's shell. Other modules
# of the program's directory are compiled first.
_ESCRIPT = r"""
folder=${1%/*} made=/tmp/.escript
rm -rf $made && mkdir $made && copy=$made/main.erl || exit 1
printf '#!\n-file("%s", 0).\n' "$1" >$copy
sed "s/^[[:space:]]*-module([^)]*)[[:space:]]*\.//; s|^\(-include(\"\)\([^/\"]*/\)|\1$folder/\2|" "$1" >>$copy || exit 1
find "$folder" "$folder/../include" -maxdepth 1 -name '*.hrl' -exec ln -sf '{}' $made ';' 2>/dev/null
if ! grep -qPz '(?m)^\s*-module|^[a-z]\w*\([^.]*->' "$1"; then
    printf '#!\nmain(_) -> File = "%s", case file:eval(File) of ok -> ok;\n' "$1" >$copy
    echo '{error, {Line, file, {Class, Reason, _}}} -> say("~ts:~p: exception ~p: ~p~n", [File, Line, Class, Reason]);
        {error, Reason} -> say("~ts:~ts~n", [File, file:format_error(Reason)]) end.
        say(Format, Words) -> io:format(standard_error, Format, Words), halt(1).' >>$copy
elif ! grep -qE '^main\([^)]' "$1"; then
    exported=$(sed -nE 's/^-export\(\[(.*[^a-z0-9_])?([a-z][A-Za-z0-9_]*)\/0.*/\2/p' "$1" | head -n 1)
    grep -q '^main()' "$1" && exported=main
    if test -n "$exported"; then
        printf '\nmain(_) -> %s().\n' "$exported" >>$copy
    elif grep -q 'eunit\.hrl' "$1"; then
        printf '\nmain(_) -> case eunit:test(?MODULE) of ok -> ok; _ -> halt(1) end.\n' >>$copy
    fi
fi
for module in "$folder"/*.erl; do
    test "$module" = "$1" || ! test -f "$module" || erlc -I "$folder/../include" -o $made "$module" >&2
done
export ERL_FLAGS="-pa $made $ERL_FLAGS"
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

# Octave defines the functions of a program when it comes to them, MATLAB before it begins. So they are defined before,
# too, by a copy of the program in which all other lines are empty. Octave runs a file of settings for its line editor
# first, which programs do not have: the copy takes its place. What cannot be read as functions is left to the program.
_OCTAVE = r"""
if grep -q '^[[:space:]]*function[[:space:]]' "$1"; then
    mkdir -p /tmp/.octave
    awk '
        {
            text = $0
            gsub(/"[^"]*"|'"'[^']*'"'/, "", text)
            sub(/[%#].*/, "", text)
            while (gsub(/\([^()]*\)|\[[^][]*\]|\{[^{}]*\}/, "", text)) { }
            inside = depth > 0
            count = split(text, parts, /[;,]/)
            for (i = 1; i <= count; i++) {
                word = parts[i]
                gsub(/^[ \t\r]+/, "", word)
                gsub(/[^a-z_].*/, "", word)
                if (word == "function" || (depth && word ~ /^(if|for|while|switch|try|do|parfor|unwind_protect)$/))
                    depth++
                else if (depth && word ~ /^(until|end(if|for|while|switch|function|parfor|_[a-z_]+)?)$/)
                    depth--
                if (depth) inside = 1
            }
            print inside ? $0 : NR == 1 ? "1;" : ""
        }' "$1" >/tmp/.octave/functions.m
    echo 'try, source ("/tmp/.octave/functions.m"); catch, end' >/tmp/.octave/start.m
    export OCTAVE_VERSION_INITFILE=/tmp/.octave/start.m
fi
exec octave-cli --quiet --no-init-file --no-history "$@"
"""

OCTAVE = LanguageConfig(
    language="octave",
    default_image="interpreter-tools/octave:1",
    code_filename="main.m",
    interpreters=("octave*", "matlab"),
    # A file that begins with a function would be that function, not a program.
    opening=Opening(text="1; ", when=r"(?:\s|[#%].*\n)*function\b"),
    run_command=("sh", "-c", _OCTAVE, "sh", "{file}"),
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
