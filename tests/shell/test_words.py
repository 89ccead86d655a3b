"""What may come next at the prompt, and what a text is taken for."""

from __future__ import annotations

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from interpreter_tools.shell._commands import COMMANDS
from interpreter_tools.shell._guess import is_prose
from interpreter_tools.shell._input import asks_for_input
from interpreter_tools.shell._words import Words


@pytest.mark.parametrize(
    ("text", "next_words"),
    [
        ("/he", ["/help"]),
        ("/get ", ["a.txt", "'b c/d.txt'"]),
        ("/get b", ["'b c/d.txt'"]),
        ("/lang javas", ["javascript"]),
        ("/reset ", []),
        ("/nothing ", []),
        ("!cat a", ["a.txt"]),
        ("open('a", ["a.txt"]),
        ("py", ["python:"]),
        ("print(py", []),
        ("", []),
    ],
)
def test_what_fits_is_offered(text: str, next_words: list[str]):
    """Commands and what they take, prefixes, files; no name that a terminal would obey."""
    words = Words(
        {name: command.takes for name, command in COMMANDS.items()}, lambda: ["a.txt", "b c/d.txt", "a\x1b[2J"]
    )
    found = words.get_completions(Document(text, len(text)), CompleteEvent())
    assert [completion.text for completion in found] == next_words


def test_prose_is_told_from_programs():
    """As far as that is certain."""
    assert is_prose("list the files please", "python")
    assert is_prose("what's in here, then?", "python")
    assert not is_prose("x is not y", "python")
    assert not is_prose("import the", "python")
    assert not is_prose("list the files please", "ruby")


@pytest.mark.parametrize("code", ["input()", "import sys\nsys.stdin.read()", "read -r x", "echo; read x", "x = gets"])
def test_program_that_asks_is_known(code: str):
    """Only such a one gets what is typed."""
    assert asks_for_input(code)


@pytest.mark.parametrize("code", ["print(1)", "open('f').read()", "inputs = 3", "cat README"])
def test_program_that_does_not_ask_is_known(code: str):
    """What is typed meanwhile is the next input."""
    assert not asks_for_input(code)
