"""Plain calls of `run`, which are read without cyclopts, mean what cyclopts takes them for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interpreter_tools.cli._app import app
from interpreter_tools.cli._call import OPTIONS, STDIN, RunCall, RunWords, read_plain
from interpreter_tools.cli._limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEFT = {"--pids", "--port", "-p", "--help", "-h", "--version", "-V"}
"""Options that cyclopts reads: numbers, and what ends the command before it begins."""


def _by_cyclopts(words: Sequence[str]) -> RunCall:
    """The call that cyclopts reads."""
    _, bound, _ = app.parse_args(["run", *words], exit_on_error=False, print_error=False)
    options: RunWords = bound.arguments.get("options") or RunWords()
    call = RunCall(file=bound.arguments.get("file"), args=tuple(bound.arguments.get("args", ())), **vars(options))
    return replace(call, limits=call.limits and Limits(**vars(call.limits)))


def test_every_option_is_read_or_left() -> None:
    """An option that `run` has is read here, or named among those that are left to cyclopts."""
    known = {name for argument in app["run"].assemble_argument_collection() for name in argument.names}
    here = set(OPTIONS)
    assert here | _LEFT >= {name for name in known if name.startswith("-")}
    assert here <= known


_VALUE = st.one_of(st.sampled_from(["a", "print(1)", "x=y", "0", "1e3", "none", "a,b", "[1]", "a b", "é"]), st.text())
_WORD = st.one_of(
    st.sampled_from([*OPTIONS, *_LEFT, "--", "-", "-x", "--no-json", "--code=1", "-cprint"]),
    _VALUE,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_WORD, max_size=8))
@example(["script.py", "--dep", "a", "--json", "x", "--dep", "b", "-o", "out/", "--timeout", "5m", ""])
@example(["-c", "print(1)"])
@example([""])
@example(["-c", ""])
@example(["--file", "", "a"])
def test_plain_call_is_what_cyclopts_reads(words: list[str]) -> None:
    """What is read here is read by cyclopts without an error, and is the same."""
    plain = read_plain(words)
    if plain is not None:
        assert plain == _by_cyclopts(words)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-c", "1", "--tiemout", "3"],
        ["-c", "-1"],
        ["-c", "1", "-c", "2"],
        ["-c"],
        ["x.py", "--", "-v"],
        ["-"],
        ["--code=1"],
        ["--json=true"],
        ["--pids", "3"],
    ],
)
def test_other_calls_are_left(words: list[str]) -> None:
    """Help, errors and unusual forms are cyclopts' own."""
    assert read_plain(words) is None


def test_the_program_comes_from_standard_input_by_its_stand_in() -> None:
    """What stands for `-` is no plain word: cyclopts gets the replacement."""
    assert read_plain(["-l", "bash", "x.sh"]) == RunCall(file=Path("x.sh"), language="bash")
    assert STDIN.startswith("\0")
