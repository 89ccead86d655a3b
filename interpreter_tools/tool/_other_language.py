"""The language that a program is written in, where it failed to be one of the language that it was called as."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from interpreter_tools._languages.imports import parses

if TYPE_CHECKING:
    from interpreter_tools._languages.imports import Grammar

_MARKS = {  # a line that no program of another language has
    "python": re.compile(
        r"^(?:import \w[\w.]*(?: as \w+)?$|from [\w.]+ import [\w*(]|def \w+\([^{}]*\)[^{}]*:|class \w+(?:\([^{}]*\))?:"
        r"|(?:if|for|while|with) [^{}]*:$|print\(f?[\"'][^`]*\)$)",
        re.MULTILINE,
    ),
    "javascript": re.compile(
        r"^\s*(?:const|let|var) [\w{[]|\bconsole\.\w+\(|\brequire\([\"']|=> ?[{(\w]|^\s*(?:async )?function\b"
        r"|^import [^\n]* from [\"']",
        re.MULTILINE,
    ),
    "shell": re.compile(
        r"^\s*(?:echo|ls|cd|mkdir|cat|grep|curl|wget|export|chmod|apt(?:-get)?|sudo|cp|mv|rm|touch|git|npm|pip3?|python3?)"
        r"(?: +[\"'$~./\w>|&=*-][^(=\n]*)?$|^\s*(?:fi|done|esac)\b",
        re.MULTILINE,
    ),
}
_FAILED = {  # in what an interpreter says of a text that is no program of its language
    "python": re.compile(r"^(?:SyntaxError|IndentationError|TabError)\b", re.MULTILINE),
    "javascript": re.compile(r"^SyntaxError\b|Transform failed with", re.MULTILINE),
    "shell": re.compile(
        r"syntax error|(?:import|from|const|let|var|function|print|console\.log[^:]*|def): (?:command )?not found"
    ),
}
_GRAMMARS: dict[str, Grammar] = {"python": "python", "javascript": "javascript", "typescript": "typescript"}
_WITH_TYPES: tuple[Grammar, ...] = ("javascript", "typescript")
_FAMILIES = {"typescript": "javascript", "bash": "shell"}
_MOST = 100_000  # characters of a program that is looked at


def family_of(language: str) -> str:
    """Return the language in whose words a program's errors are: JavaScript for TypeScript, a shell for bash."""
    return _FAMILIES.get(language, language)


def language_meant(code: str, language: str, said: str) -> str | None:
    """Return the language that a failed program is in; None where that is its own, or not plain.

    Args:
        code: the program.
        language: the one that it was called as.
        said: what its interpreter has said.
    """
    family = family_of(language)
    if family not in _FAILED or len(code) > _MOST or not _FAILED[family].search(said):
        return None
    data = code.encode("utf-8", "replace")
    own: Grammar | None = _GRAMMARS.get(language)
    if own is not None and parses(data, own):
        return None
    if family != "python" and _MARKS["python"].search(code) and parses(data, "python"):
        return "python"
    if family != "javascript" or language == "javascript":
        for other in _WITH_TYPES:
            if other != language and _MARKS["javascript"].search(code) and parses(data, other):
                return other
    if family != "shell" and _MARKS["shell"].search(code.partition("\n")[0]):
        return "bash"
    return None
