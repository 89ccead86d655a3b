"""Contexts of shells: one bash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context
    from tests.docker.workplace import Workplace

pytestmark = pytest.mark.docker

_STATE = """
x=1; list=(a "b c"); declare -A map=([k]=v); export e=2; readonly r=3
f() { echo "f $1"; }
alias said='echo said'
shopt -s nullglob; set -o pipefail
trap 'echo trapped' USR1
exec 5>/tmp/five
mkdir -p d; cd d
"""
_CHECK = """echo $x "${list[1]}" ${map[k]} $(printenv e) $r $(pwd) $-; f 1; said 2
shopt nullglob; set -o | grep pipefail; kill -USR1 $$; echo five >&5; cat /tmp/five; echo ${#large}
"""
_ENDS = {
    "exit": ("exit 3", 3),
    "exit in a function": ("g() { exit 4; }; g", 4),
    "set -e": ("set -e; false; echo never", 1),
    "set -u": ("set -u; echo $nothing; echo never", 1),
    "a variable that must be set": ("echo ${nothing:?}; echo never", 1),
    "return": ("return 5; echo never", 5),
    "a syntax error": ("echo never; if then", 2),
    "an open quote": ("echo 'never", 2),
    "a command that is missing": ("no-such-command", 127),
    "a pipe": ("set -o pipefail; exit 6 | cat", 6),
    "success": ("exit 0; echo never", 0),
    "its input closed": ('for i in {3..199}; do eval "exec $i>&-"; done; (exit 0)', 0),
    "a function called like a builtin": ("trap() { :; }; set -e; false; echo never", 1),
    "exit in a directory that is gone": ("mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; exit 9", 9),
    "posix": ("set -o posix; exit 10", 10),
    "a trap of a signal": ("trap 'exit 11' TERM; kill $$; echo never", 11),
}
_INTERRUPTED = (
    "while :; do :; done",
    "sleep 100",
    "for i in 1 2 3; do sleep 100; done",
    "for i in {1..99999}; do x=$(echo $i); done",
    "for i in {1..99999}; do echo $i | cat >/dev/null; done",
    "until false; do sleep 0.001; done",
    "sleep 100 | cat",
    "sleep 100 | cat | cat",
    "yes | tr y n >/dev/null",
    "yes | xargs -n1 true",
    "while :; do echo y; done | cat >/dev/null",
    "sleep 100 | while read line; do echo $line; done",
    "{ sleep 100; echo never; } | cat",
    "cat <(sleep 100)",
    "x=$(sleep 100; echo never)",
    "x=$(sleep 100 | cat)",
    "(sleep 100; echo never)",
    "( (sleep 100; echo never); echo never)",
    "(while :; do :; done; echo never)",
    "g() { sleep 100; echo never; }; g",
    "g() ( sleep 100; echo never ); g",
    "eval 'sleep 100; echo never'",
    "bash -c 'sleep 100; echo never'",
    "sh -c 'sleep 100; echo never'",
    "read line",
    "sleep 100 & wait",
    "timeout 100 sleep 200",
    "timeout 100 sleep 200 | cat",
    "x=$(timeout 100 sleep 200)",
    "setsid -w sleep 100",
    "set -m; sleep 100",
    "set -m; sleep 100 | cat",
    "set +m; sleep 100",
)


@pytest.fixture
async def context(workplace: Workplace) -> AsyncGenerator[Context]:
    """A context of the shell."""
    async with workplace.context("shell", timeout=30) as context:
        yield context


async def test_state_stays(context: Context) -> None:
    """Variables, functions, aliases, options, traps, descriptors and the directory; after `exit`, too."""
    (await context.run(f"{_STATE}\nlarge=$(head -c 1000000 /dev/zero | tr '\\0' x)")).check()
    first = (await context.run(_CHECK)).check().stdout
    assert first.startswith("1 b c v 2 3 /workspace/d ")
    rest = ["f 1", "said 2", "nullglob       \ton", "pipefail       \ton", "trapped", "five", "1000000", ""]
    assert first.split("\n")[1:] == rest
    assert (await context.run("exit 9")).exit_code == 9
    assert (await context.run(_CHECK)).stdout == first.replace("five\n", "five\nfive\n")


@pytest.mark.parametrize("name", _ENDS)
async def test_what_ends_a_cell_keeps_the_context(context: Context, name: str) -> None:
    """With the exit status that a script would have."""
    code, status = _ENDS[name]
    await context.run("kept=7")
    result = await context.run(code)
    assert (result.exit_code, result.outcome) == (status, "ok" if status == 0 else "error")
    assert "never" not in result.stdout
    assert (await context.run("echo $? $kept")).stdout == f"{status} 7\n"


async def test_background_jobs_go_on(context: Context) -> None:
    """From cell to cell, with the shell's own table of them."""
    await context.run("sleep 100 & job=$!")
    assert "Running" in (await context.run("jobs")).stdout
    result = await context.run("kill $job; wait $job; echo $?; (sleep 0.05; exit 3) & wait $!; echo $?")
    assert (result.stdout, result.stderr) == ("143\n3\n", "")


async def test_an_interrupt_ends_all_that_bash_waits_for(context: Context) -> None:
    """At any moment, the rest of the cell too; the variables stay, and so do the jobs of earlier cells."""
    await context.run("kept=7; set -m; sleep 1000 & in_group=$!; set +m; timeout 1000 sleep 1000 & alone=$!")
    for code in _INTERRUPTED:
        for moment in (0, 0.05):
            async with context.stream(f"echo begun; {code}; echo never", timeout=30) as cell:
                await anext(aiter(cell))
                await asyncio.sleep(moment)
                await context.interrupt()
                result = await cell.result()
            assert (result.outcome, result.exit_code, result.stdout) == ("error", 130, "begun\n"), (code, result)
    assert (await context.run("echo $kept; kill $in_group $alone && echo both")).stdout == "7\nboth\n"


async def test_traps_of_a_cell_are_its_own(context: Context) -> None:
    """An EXIT trap runs when a cell ends the shell, which stays; those of errors see no command of ours."""
    result = await context.run("x=1; trap 'echo left $?; x=2' EXIT; exit 3")
    assert (result.stdout, result.exit_code) == ("left 3\n", 3)
    assert (await context.run("echo $x; trap -p")).stdout == "1\n"
    result = await context.run(
        "set -Eeuo pipefail; trap 'echo failed at $LINENO: $?' ERR; trap 'rm -f t; exit 9' EXIT\nfalse"
    )
    assert (result.stdout, result.exit_code) == ("failed at 2: 1\n", 9)
    assert (await context.run("set +eE; trap -- 'echo got' USR1; kill -USR1 $$; false; :")).stdout == (
        "got\nfailed at 1: 1\n"
    )
    assert (await context.run('saved=$(trap -p USR1); trap - USR1 ERR; eval "$saved"; trap')).stdout == (
        "trap -- 'echo got' SIGUSR1\n"
    )
    assert (await context.run("trap 'echo command' DEBUG")).stdout == ""
    assert (await context.run("trap - DEBUG; (trap 'echo sub' EXIT)")).stdout == "sub\n"
    assert (await context.run("trap 'kill 0' EXIT; sleep 100 & exit 4")).exit_code != 0
    assert (await context.run("echo $x")).stdout == "1\n"


async def test_exit_keeps_more_than_variables(context: Context) -> None:
    """Arguments, the stack of directories, completions, a redirected stderr, and functions with extended patterns."""
    await context.run(
        "set -- a 'b c'; pushd /tmp; complete -W 'x y' some; exec 2>/workspace/err\n"
        "shopt -s extglob\nf() { echo @(w*); }"
    )
    for _ in range(2):
        assert (await context.run("exit 3")).exit_code == 3
        result = await context.run(
            "echo $# $2; dirs; complete -p; cd /; f; cd /tmp; echo seen >&2; tail -1 /workspace/err"
        )
        assert result.stdout == "2 b c\n/tmp /workspace\ncomplete -W 'x y' some\nworkspace\nseen\n"


async def test_input_is_of_its_cell(context: Context) -> None:
    """Each cell has an input of its own, which ends; what one leaves is not the next one's."""
    assert (await context.run("read a; read b; echo $b-$a", stdin=b"1\n2\n3\n")).stdout == "2-1\n"
    assert (await context.run("cat", stdin="é\n".encode() * 20_000)).stdout == "é\n" * 20_000
    assert (await context.run("head -1", stdin=b"x\n" * 5000)).stdout == "x\n"
    assert (await context.run("read a; echo $?; cat")).stdout == "1\n"


async def test_files_of_a_cell(context: Context) -> None:
    """What a cell changes is told, and nothing that another one did."""
    assert (await context.run("mkdir -p d; echo > 'd/a b'")).generated_files == ("d/a b",)
    assert (await context.run("cat 'd/a b'")).generated_files == ()


async def test_options_that_trace_show_the_cell_only(context: Context) -> None:
    """What drives the shell is not seen: not in a trace, not in the history, not among the descriptors of programs."""
    assert (await context.run("set -x; echo 1")).stderr == "++ echo 1\n"
    assert (await context.run("echo 2; set +x")).stderr == "++ echo 2\n++ set +x\n"
    result = await context.run("history; ls /proc/self/fd | wc -l")
    assert (result.stdout, result.stderr) == ("4\n", "")


async def test_completion_and_inspection(context: Context) -> None:
    """Of commands, variables and files."""
    await context.run("answer=42; echo > some-file")
    assert (await context.complete("ech")).matches == ("echo",)
    assert (await context.complete("cat some")).matches == ("some-file",)
    assert "answer" in (await context.complete("echo $ans")).matches
    assert 'answer="42"' in ((await context.inspect("answer")).text or "")


async def test_a_shell_that_is_replaced_is_told(context: Context) -> None:
    """`exec` takes the shell away: the cell has the status of what came in its place."""
    result = await context.run("exec sh -c 'exit 5'")
    assert (result.exit_code, result.outcome) == (5, "error")
    assert any("variables of the context are gone" in note for note in result.notes)
