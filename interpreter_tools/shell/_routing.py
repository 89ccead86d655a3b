"""The route of an input: a command of the shell, code in a language, or words for the model."""

from __future__ import annotations

import codeop
import re
import shlex
import warnings
from typing import Literal

import msgspec

from interpreter_tools._exceptions import UnknownLanguage
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.shell._guess import is_program, is_shell_command
from interpreter_tools.tool._texts import unfence

SHELL = "bash"
"""The language of ``!`` and of commands."""

_COMMAND = re.compile(r"/([a-z?]+)(?:\s+(.*))?", re.DOTALL)
_PREFIX = re.compile(r"([A-Za-z][\w+#.-]*):[ \t]*\n?")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`]*)$")
_STRINGS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL
)  # and comments
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_SCRIPTS = frozenset({"javascript", "typescript"})


class Route(msgspec.Struct, frozen=True):
    """The meaning of an input.

    Attributes:
        kind: ``"nothing"``; ``"command"``: one of the shell's own; ``"run"``: code; ``"ask"``: words for the model.
        text: the command's arguments, the code, or the words.
        name: the command's name, or the language.
        marked: True when the user chose it by a prefix or a fence; False when it was guessed.
    """

    kind: Literal["nothing", "command", "run", "ask"]
    text: str = ""
    name: str = ""
    marked: bool = False


def route(given: str, *, language: str, asks: bool) -> Route:
    """Return the meaning of an input.

    Args:
        given: the text that was typed.
        language: the language of code without a mark.
        asks: True when there is a model.

    Raises:
        UnknownLanguage: a fence names a language that is not registered.
    """
    text = given.strip()
    if not text:
        return Route("nothing")
    if command := _COMMAND.fullmatch(text):
        return Route("command", (command[2] or "").strip(), command[1], marked=True)
    marked = _marked(text, language)
    if marked is not None:
        return marked if marked.text.strip() else Route("nothing")
    if is_shell_command(text):
        return Route("run", text, SHELL)
    if asks and not is_program(text, language):
        return Route("ask", text)
    return Route("run", given.strip("\n"), language)


def _marked(text: str, language: str) -> Route | None:
    """Return the route that a prefix or a fence chooses; None without such a mark."""
    if text.startswith("!"):
        return Route("run", text[1:].strip(), SHELL, marked=True)
    fence, code = unfence(text)
    if code is not text:
        return Route("run", code, LanguageRegistry.get(fence).language if fence else language, marked=True)
    prefix = _PREFIX.match(text)
    known = None if prefix is None else _known(prefix[1])
    if prefix is None or known is None:
        return None
    return Route("run", text[prefix.end() :], known, marked=True)


def _known(name: str) -> str | None:
    try:
        return LanguageRegistry.get(name).language
    except UnknownLanguage:
        return None


def needs_more(given: str, *, language: str, asks: bool) -> bool:
    """Return True when an input goes on: an open fence, block, bracket or quote, or a backslash at its end.

    Args:
        given: the text that was typed so far.
        language: the language of code without a mark.
        asks: True when there is a model.
    """
    if _in_fence(given):
        return True
    if given.endswith(("\n", "\\")):
        return given.endswith("\\")  # an empty line ends an open input
    prefix = _PREFIX.fullmatch(given.strip())
    if prefix is not None:
        return _known(prefix[1]) is not None
    try:
        found = route(given, language=language, asks=asks)
    except UnknownLanguage:
        return False
    if found.kind == "run":
        return _goes_on(found.text, found.name)
    return found.kind == "ask" and language == "python" and _opens_block(given)


def indent_after(given: str) -> str:
    """Return the indentation of the next line: deeper than this one after a colon that opens a block."""
    last = given.rpartition("\n")[2].rstrip()
    prefix = _PREFIX.fullmatch(given.strip())
    is_prefix = prefix is not None and _known(prefix[1]) is not None
    return "    " if last.endswith(":") and not is_prefix else ""


def _goes_on(code: str, language: str) -> bool:
    if language == "python":
        return _python_goes_on(code)
    if language in _SCRIPTS:
        return _open_brackets(code)
    return language in {SHELL, "shell"} and _open_quote(code)


def _in_fence(given: str) -> bool:
    opened = ""
    for line in given.split("\n"):
        match = _FENCE.match(line)
        if match is None:
            continue
        if not opened:
            opened = match[1]
        elif match[1].startswith(opened) and not match[2].strip():
            opened = ""
    return bool(opened)


def _opens_block(given: str) -> bool:
    """Return True for a first line such as ``def f(x):``, which is no sentence."""
    return re.match(r"(?:async |class |def |for |while |if |with |try\b|match |@).*:\s*$", given) is not None


def _python_goes_on(code: str) -> bool:
    last = code.rpartition("\n")[2]
    if "\n" in code and last[:1] in {" ", "\t"} and last.strip():
        return True  # within a block, until an empty line or one that is not indented
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return codeop.compile_command(code, symbol="exec") is None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False


def _open_brackets(code: str) -> bool:
    """Return True when a bracket, a template or a comment is open."""
    plain = _STRINGS.sub("", code)
    if "`" in plain or "/*" in plain:
        return True
    depth: list[str] = []
    for letter in re.findall(r"[()\[\]{}]", plain):
        if letter not in _BRACKETS:
            depth.append(letter)
        elif depth and depth[-1] == _BRACKETS[letter]:
            depth.pop()
        else:
            return False
    return bool(depth)


def _open_quote(code: str) -> bool:
    try:
        shlex.split(code, comments=True)
    except ValueError:
        return True
    return False
