"""The repair of programs that were damaged on their way from a model.

A program is repaired only when it cannot be meant as it stands: a Python program must fail to parse before the repair,
and parse after it.
"""

from __future__ import annotations

import ast
import html
import re
import warnings

_MOST = 200_000  # characters that are looked at: parsing takes a millisecond for a few thousand
_BLOCK = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)\n(?P<body>.*?)^[ \t]*(?P=fence)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_PROSE = re.compile(r"#+ .*|[A-Z*].*[:.!…]|\s*")  # a line of words around a block
_PROMPT = re.compile(r"^(?:>>>|In \[\d+\]:)(?: |$)")
_CONTINUED = re.compile(r"^(?:\.\.\.|   \.\.\.:)(?: |$)")
_QUOTES = str.maketrans(dict.fromkeys("\u2018\u2019\u2032", "'") | dict.fromkeys("\u201c\u201d\u201e\u2033", '"'))
_BLANK = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
_NOTHING = "\u200b\ufeff"
_BLANKS = str.maketrans(dict.fromkeys(_BLANK, " ") | dict.fromkeys(_NOTHING))
_INDENT = re.compile(rf"^[ \t{_BLANK}{_NOTHING}]+", re.MULTILINE)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#39|apos|nbsp);")
_ESCAPES = re.compile(r"\\(n|t|r|\"|'|\\)")
_MEANINGS = {"n": "\n", "t": "\t", "r": "\r"}
_NOTEBOOK = re.compile(  # lines that set a notebook up, or install packages for it
    r"^[ \t]*(?:%(?:matplotlib|config|load_ext|reload_ext|autoreload)\b"
    r"|[%!][ \t]*(?:(?:\{sys\.executable\}|python3?)[ \t]+-m[ \t]+)?(?:uv[ \t]+)?pip3?[ \t]+install\b).*$",
    re.MULTILINE,
)
_PYTHON = "python"
_SHELLS = frozenset({"shell", "bash"})


def block_in_prose(text: str) -> tuple[str, str] | None:
    """Return the only fenced block of a text with words around it, as its language (perhaps empty) and its code.

    A program may hold a fence itself, in a text: the lines before the block must look like sentences.
    """
    blocks = list(_BLOCK.finditer(text[:_MOST]))
    if len(blocks) != 1:
        return None
    (block,) = blocks
    before = text[: block.start()]
    if not all(_PROSE.fullmatch(line.strip()) for line in before.splitlines()):
        return None
    word = block["info"].strip().split(" ")[0].strip("{}.").lower()
    return word, block["body"]


def repair(code: str, language: str) -> tuple[str, str]:
    """Return the program that was meant, and a sentence about the repair; an empty text for an unchanged program.

    Args:
        code: the program as it came.
        language: the name of its language.
    """
    if len(code) > _MOST:
        return code, ""
    if (plain := _without_prompts(code, language)) is not None:
        return plain, "The prompts were left out of the program."
    steps = (
        (_without_blanks, "non-breaking and invisible blanks were read as plain ones"),
        (_with_plain_quotes, "typographic quotes were read as plain ones"),
        (_without_entities, "HTML entities were read as the characters they stand for"),
        (_with_line_breaks, "the characters \\n were read as line breaks"),
    )
    if all(step(code, language) == code for step, _ in steps) or _parses(code, language):
        return code, ""
    fixed, said = code, list[str]()
    for step, words in steps:
        changed = step(fixed, language)
        if changed == fixed:
            continue
        fixed = changed
        said.append(words)
        if _parses(fixed, language):
            break
    if not said or (language == _PYTHON and not _parses(fixed, language)):
        return code, ""
    text = " and ".join(said)
    return fixed, f"{text[0].upper()}{text[1:]}."


def without_notebook_lines(code: str, language: str) -> str | None:
    """Return a Python program with nothing in place of the lines that are for notebooks; None for any other code.

    Without them it must be a program. Lines keep their numbers.
    """
    if language != _PYTHON or not _NOTEBOOK.search(code[:_MOST]) or len(code) > _MOST or _parses(code, language):
        return None
    plain = _NOTEBOOK.sub("", code)
    return plain if _parses(plain, language) else None


def _parses(code: str, language: str) -> bool:
    """Return True for a Python program that parses; False for other languages, which are not parsed."""
    if language != _PYTHON:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _without_prompts(code: str, language: str) -> str | None:
    """Return the input of a transcript of an interactive session; None for other code."""
    lines = code.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if language in _SHELLS and re.match(r"\$ \S", first):
        return "".join(f"{line[2:]}\n" for line in lines if re.match(r"[$>] ", line))
    if language != _PYTHON or not _PROMPT.match(first):
        return None
    found = [match for line in lines if (match := _PROMPT.match(line) or _CONTINUED.match(line))]
    return "".join(f"{match.string[match.end() :]}\n" for match in found)


def _without_blanks(code: str, language: str) -> str:
    if language == _PYTHON:
        return code.translate(_BLANKS)
    return _INDENT.sub(lambda match: match[0].translate(_BLANKS), code)


def _with_plain_quotes(code: str, language: str) -> str:
    if language != _PYTHON and re.search("[\"']", code):
        return code  # the others may stand inside of these
    return code.translate(_QUOTES)


def _without_entities(code: str, language: str) -> str:
    if not _ENTITY.search(code) or (language != _PYTHON and re.search("[<>]", code)):
        return code
    return html.unescape(code)


def _with_line_breaks(code: str, language: str) -> str:
    """Undo one escape too many: a program in one line, with the two characters of a line break outside of texts."""
    if "\n" in code.strip() or "\\n" not in code:
        return code
    if language != _PYTHON and not _has_break_outside_texts(code):
        return code
    whole = _ESCAPES.sub(lambda match: _MEANINGS.get(match[1], match[1]), code)
    if language != _PYTHON or _parses(whole, language):
        return whole
    return code.replace("\\n", "\n")


def _has_break_outside_texts(code: str) -> bool:
    quote, skip = "", False
    for place, letter in enumerate(code):
        if skip:
            skip = False
        elif letter == "\\":
            if not quote and code[place + 1 : place + 2] == "n":
                return True
            skip = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'`":
            quote = letter
    return False
