"""Text that somebody else has chosen, made safe to show to a model or in a terminal."""

from __future__ import annotations

import json
import os
import re

# Escape sequences of terminals: CSI, the strings OSC, DCS, SOS, PM and APC, and those of two characters.
SEQUENCE = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-~]"
# Control characters, those that turn the direction of text or break lines, and those that cannot be seen at all, tags
# (U+E0000) among them, in which instructions to models are smuggled past people.
HIDDEN = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)

SPECIAL = re.compile(f"(?P<sequence>{SEQUENCE})|(?P<newline>\\r\\n?)|(?P<hidden>{HIDDEN})")
_LINE = re.compile(f"[\\t\\n]|{HIDDEN}")
_PLAIN = re.compile(r"[\w.+@~=/-]+")


def harmless(text: str) -> str:
    """Return the text without terminal sequences; control characters and invisible ones are shown as escapes."""
    return SPECIAL.sub(show_special, text)


def show_special(match: re.Match[str]) -> str:
    """Return what is shown for a match: nothing for a terminal sequence, a line end, or an escape."""
    if match["newline"]:
        return "\n"
    return "" if match["sequence"] else escape(match[0])


def escape(character: str) -> str:
    r"""Return a character as an escape: ``\x1b``, ``\u2028``; a byte of a name that is not UTF-8 is ``\xff``."""
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def one_line(text: str) -> str:
    r"""Return the text in one line without anything that acts on its reader: ``a\nb`` is shown in four characters."""
    return _LINE.sub(lambda match: {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0]) or escape(match[0]), text)


def file_name(name: str | os.PathLike[str]) -> str:
    r"""Return a file's name for a list of names: in quotes where it holds more than letters, digits and ``._+@~=/-``.

    No name can then end the list, or look like words of whoever shows it.
    """
    shown = one_line(os.fspath(name))
    if _PLAIN.fullmatch(shown):
        return shown
    quoted = shown.replace('"', '\\"')
    return f'"{quoted}"'


def lenient_json(body: bytes | bytearray, *, names: str | None = None) -> object:
    """Read JSON that a strict reader refuses: half a character becomes ``?``, and NaN None.

    Args:
        body: the JSON.
        names: the field of the whole that holds names of files. Bytes of them that are not UTF-8 are as ``os.fsdecode``
            has them.

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    given = json.loads(body.decode("utf-8", "surrogateescape"), parse_constant=_nothing)
    encodable = json.dumps(given, ensure_ascii=False).encode("utf-8", "replace")
    found = json.loads(encodable, parse_constant=_nothing)  # a number of 400 digits before its point is infinite
    if names is not None and isinstance(given, dict) and names in given:
        found[names] = given[names]
    return found


def _nothing(_: str) -> None:
    return None


def json_text(data: bytes) -> str:
    """Return JSON in which characters that act on a terminal are escaped, too; its meaning stays the same."""
    return re.sub(HIDDEN, _json_escape, data.decode("utf-8", "replace"))


def _json_escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
