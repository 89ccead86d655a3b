"""The numbers of ``protocol.h`` and ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import interpreter_tools
from interpreter_tools._protocol import constants
from interpreter_tools._protocol.constants import BootMode, Box, Ended, Flag, Frame, Verdict, Why

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import IntEnum

_HEADER = Path(interpreter_tools.__file__).with_name("supervisor") / "protocol.h"
_PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
_DEFINE = re.compile(r"#define IT_(\w+) (0x[0-9a-f]+|\d+)u?\s*(?:/\*.*)?")


def defined() -> dict[str, int]:
    """What the header defines, without ``IT_``."""
    numbers = (line for line in _HEADER.read_text().splitlines() if not line.endswith('"'))
    lines = [line for line in numbers if line.startswith("#define IT_")]
    matches = [(line, _DEFINE.fullmatch(line)) for line in lines]
    assert [line for line, match in matches if match is None] == []
    values = {match[1]: int(match[2], 0) for _, match in matches if match}
    assert len(values) == len(lines)
    return values


def prefixed(prefix: str, members: Iterable[IntEnum | Flag]) -> dict[str, int]:
    """Members by the names that the header gives them."""
    return {f"{prefix}{member.name}": int(member) for member in members}


def test_header_and_python_hold_the_same_numbers() -> None:
    """None is missing on either side."""
    enums = {"": Frame, "FLAG_": Flag, "BOOT_": BootMode, "WHY_": Why, "CLEAN_": Verdict, "BOX_": Box}
    ours = {name: value for name, value in vars(constants).items() if isinstance(value, int)}
    ours |= prefixed("", Ended)
    for prefix, members in enums.items():
        ours |= prefixed(prefix, members)
    assert ours.pop("FILES_PARTIAL") == 1  # a sentence in the header, beside IT_FILES
    assert ours == defined()


def test_every_enumeration_is_compared() -> None:
    """A new one has to be added above."""
    found = {
        name
        for name, value in vars(constants).items()
        if isinstance(value, type) and value.__module__ == constants.__name__
    }
    assert found == {"Frame", "Flag", "BootMode", "Box", "Ended", "Why", "Verdict"}


def test_page_and_header_hold_the_same_numbers() -> None:
    """Each has a row of its own, and the frames are in the table of their sender."""
    page = _PAGE.read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(0x[0-9a-f]+|\d+)` \|", page, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    assert {name: int(number, 0) for name, number in rows} == defined()
    _, client, supervisor = re.split(r"^## From the (?:client|supervisor)$", page, flags=re.MULTILINE)
    for frame in Frame:
        assert f"| `{frame.name}` | `0x{frame:02x}` |" in (supervisor if frame >= 0x80 else client)


def test_only_the_supervisor_speaks_with_the_high_bit() -> None:
    """The two directions share no type."""
    names = [frame.name for frame in Frame if frame >= 0x80]
    assert names == [
        *("HELLO", "READY", "REFUSED", "STORED", "STDOUT", "STDERR"),
        *("CREDIT", "FILES", "EXIT", "CLEAN", "CONTENT", "FATAL", "MESSAGE", "TOLD", "FALLEN"),
        "DELAYED",
    ]
