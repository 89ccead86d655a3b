"""Models are told what a terminal would show at the end."""

from __future__ import annotations

import re
import time

import msgspec
import pyte
import pytest
from hypothesis import given, strategies

from interpreter_tools import ExecutionResult
from interpreter_tools.tool._advice import Circumstances
from interpreter_tools.tool._render import render_result
from interpreter_tools.tool._screen import at_the_end

OK = ExecutionResult(
    stdout="", stderr="", exit_code=0, signal=None, outcome="ok", execution_time=0.1, cpu_time=0.1, peak_memory=1
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ntext\n", "plain\ntext\n"),
        ("lines of Windows\r\nend\r\n", "lines of Windows\r\nend\r\n"),
        ("".join(f"\r{number:4}%|###  |" for number in range(1000)) + "\ndone\n", " 999%|###  |\ndone\n"),
        ("a long line\rshort\x1b[K\n", "short\n"),
        ("a long line\rshort\n", "shortg line\n"),
        ("gone\x1b[2K\rnew", "new"),
        ("abc\x08\x08X\n", "aXc\n"),
        ("one\ntwo\n\x1b[2A\x1b[2K1\n\x1b[2K2\n", "1\n2\n"),
        ("\x1b[32mone\x1b[0m\n\x1b[1A\x1b[J", ""),
        ("a\x1b[3Gb", "a b"),
        ("it ends here\r", "it ends here\r"),
    ],
)
def test_repaints_are_what_they_came_to(text: str, shown: str) -> None:
    """And a text without repaints stays as it is."""
    assert at_the_end(text) == shown


@given(strategies.text(alphabet="ab\r\n\x08", max_size=60), strategies.integers(1, 3))
def test_it_shows_what_a_terminal_shows(text: str, up: int) -> None:
    """As far as `pyte` is one, with carriage returns, backspaces, erasing and moving up."""
    text = f"{text}\x1b[{up}Ax\x1b[K"
    screen = pyte.Screen(120, 50)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    expected = "\n".join(line.rstrip() for line in screen.display).rstrip()
    assert "\n".join(line.rstrip() for line in at_the_end(text).split("\n")).rstrip() == expected


@pytest.mark.parametrize(
    "text", ["x" * (8 << 20) + "\rx" * (4 << 20), "\r" * (16 << 20), "\x1b[A\n" * (3 << 20), "ab\rc" * (100 << 10)]
)
def test_much_is_little_work(text: str) -> None:
    """A program may write 16 MiB of repaints: the event loop is not held for long."""
    before = time.process_time()
    at_the_end(text)
    assert time.process_time() - before < 2


@given(strategies.text(alphabet="ab\r\n\x08\x1b[;0123456789ABCDEFGJKm "))
def test_any_sequence_is_survived(text: str) -> None:
    """Whatever a program writes."""
    at_the_end(text)


def test_models_read_a_progress_bar_once() -> None:
    """And the result itself keeps all that was written."""
    bar = "".join(f"\r{number:3}%|" + "#" * (number // 10) for number in range(101)) + "\n"
    result = msgspec.structs.replace(OK, stderr=bar, stdout="42\n")
    told = render_result(result, Circumstances(language="python"), max_tokens=4000)
    assert told == "[ok, exit code 0]\nstdout:\n42\nstderr:\n100%|##########"
    assert len(re.findall("%", result.stderr)) == 101
