"""What the shell takes an input for."""

from __future__ import annotations

import pytest

from interpreter_tools import LanguageConfig, LanguageRegistry
from interpreter_tools._exceptions import UnknownLanguage
from interpreter_tools.shell._routing import needs_more, route


def routed(text: str, *, language: str = "python", asks: bool = False) -> tuple[str, str, str]:
    """What is to be done: kind, name, text."""
    found = route(text, language=language, asks=asks)
    return found.kind, found.name, found.text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("nothing", "", "")),
        ("  \n ", ("nothing", "", "")),
        ("!", ("nothing", "", "")),
        ("py:", ("nothing", "", "")),
        ("/help", ("command", "help", "")),
        ("/get  a 'b c' ", ("command", "get", "a 'b c'")),
        ("/bin/ls", ("run", "python", "/bin/ls")),
        ("!ls -l", ("run", "bash", "ls -l")),
        ("! ls", ("run", "bash", "ls")),
        ("py: print(1)", ("run", "python", "print(1)")),
        ("js:console.log(1)", ("run", "javascript", "console.log(1)")),
        ("sh:\nls\npwd", ("run", "shell", "ls\npwd")),
        ("python:\nif 1:\n    x", ("run", "python", "if 1:\n    x")),
        ("x: int = 3", ("run", "python", "x: int = 3")),
        ("```\n1 + 1\n```", ("run", "python", "1 + 1\n")),
        ("```ts\nlet a = 1\n```", ("run", "typescript", "let a = 1\n")),
        ("ls", ("run", "bash", "ls")),
        ("ls -la | wc -l", ("run", "bash", "ls -la | wc -l")),
        ("find . -name x", ("run", "bash", "find . -name x")),
        ("sort data.csv", ("run", "bash", "sort data.csv")),
        ("id = 3", ("run", "python", "id = 3")),
        ("id(x)", ("run", "python", "id(x)")),
        ("file.close()", ("run", "python", "file.close()")),
        ("date += 1", ("run", "python", "date += 1")),
        ("  x = 1", ("run", "python", "  x = 1")),
    ],
)
def test_input_is_told_apart_without_a_model(text: str, found: tuple[str, str, str]):
    """What bears no mark is code, unless it begins as a command."""
    assert routed(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "find the largest file",
        "sort these numbers: 3 1 2",
        "what is 6 * 7?",
        "hello",
        "this is good",
        "water-level",
        "note: this",
        "continue",
        "please plot x = 3",
        "http://example.org says what?",
        "touch nothing",
        "import the data and plot it",
    ],
)
def test_words_are_for_the_model(text: str):
    """Also where Python could read them."""
    assert routed(text, asks=True) == ("ask", "", text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("6 * 7", "python"),
        ("import numpy", "python"),
        ("x = [1, 2]", "python"),
        ("print('hello')", "python"),
        ("for x in y:\n    pass", "python"),
        ("ls", "bash"),
        ("git status", "bash"),
        ("cat a.txt", "bash"),
        ("!make it so", "bash"),
        ("py: what", "python"),
    ],
)
def test_code_is_not_for_the_model(text: str, name: str):
    """It is run as it is."""
    assert routed(text, asks=True) == ("run", name, text.removeprefix("!").removeprefix("py: "))


def test_javascript_is_told_from_words():
    """Where it is the language."""
    for text in ("const a = 1", "console.log(2)", "f(1);", "x => x"):
        assert routed(text, language="javascript", asks=True)[0] == "run"
    for text in ("let me see", "for all of them", "import it"):
        assert routed(text, language="javascript", asks=True)[0] == "ask"


def test_languages_that_are_registered_later_are_known():
    """By prefix and fence."""
    fence = "```toylang\n{ print }\n```"
    with pytest.raises(UnknownLanguage):
        routed(fence)
    awk = LanguageConfig(
        language="toylang", default_image="x", code_filename="main.toy", run_command=("awk", "-f", "{file}")
    )
    LanguageRegistry.register(awk)
    assert routed(fence) == ("run", "toylang", "{ print }\n")
    assert routed("toylang: { print }") == ("run", "toylang", "{ print }")


@pytest.mark.parametrize(
    "text",
    [
        "for x in y:",
        "def f():\n    return 1",
        "if x:\n    y\nelse:",
        "f(1,",
        "a = '''text",
        "py:",
        "js: [1,",
        "js: `text",
        "!echo 'open",
        "x = 1 + \\",
        "```python\nprint(1)",
        "```\n```python",
    ],
)
def test_input_that_is_open_goes_on(text: str):
    """In the next line."""
    assert needs_more(text, language="python", asks=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/help",
        "print(1)",
        "for x in y:\n    print(x)\n",
        "for x in y:\n    print(x)\n    ",
        "def f():\n    return 1\nf()",
        "```python\nprint(1)\n```",
        "```unknown\nx\n```",
        "!ls",
        "js: f(')', /* ( */ `(`) // (",
        "js: )(",
        "x = 'never closed",
        "\0",
    ],
)
def test_input_that_is_whole_or_wrong_is_done(text: str):
    """What is wrong is told by who runs it."""
    assert not needs_more(text, language="python", asks=False)


def test_words_for_the_model_may_end_as_they_like():
    """But a block's beginning is none."""
    assert not needs_more("what's that?", language="python", asks=True)
    assert not needs_more("do this: ", language="python", asks=True)
    assert needs_more("def f(x):", language="python", asks=True)
    assert needs_more("make it like this\n```python\nx", language="python", asks=True)
