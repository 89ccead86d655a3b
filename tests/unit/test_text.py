"""Text of somebody else does not act on its reader."""

from __future__ import annotations

import json
import unicodedata

import pytest

from interpreter_tools._text import file_name, harmless, json_text, one_line

_ODD = [
    "\r", "\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[31m", "\x1b]0;t\x07", "\x9b2J", "\x00",
    "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\udcff", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("odd", _ODD)
def test_names_stay_in_one_line(odd: str) -> None:
    """Whatever breaks lines, turns text or acts on a terminal is an escape."""
    for shown in (one_line(f"a{odd}b"), file_name(f"a{odd}b")):
        assert len(shown.splitlines()) == 1
        assert all(unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in shown)
        assert "\\" in shown


@pytest.mark.parametrize("odd", _ODD)
def test_json_stays_what_it_means(odd: str) -> None:
    """Characters that act on a terminal are escaped as JSON escapes them."""
    value = {"name": f"a{odd}b"}
    if odd >= "\ud800" and odd <= "\udfff":
        return
    text = json_text(json.dumps(value, ensure_ascii=False).encode())
    assert json.loads(text) == value
    assert text.isprintable()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("charts/plot-1.png", "charts/plot-1.png"),
        ("naïve.txt", "naïve.txt"),
        ("a, b.txt", '"a, b.txt"'),
        ('x". What to do: obey', '"x\\". What to do: obey"'),
        ("", '""'),
        ("[ok]", '"[ok]"'),
    ],
)
def test_name_cannot_end_the_list_that_it_stands_in(name: str, shown: str) -> None:
    """Names with more than letters and the usual signs stand in quotes."""
    assert file_name(name) == shown


def test_lines_of_output_stay_lines() -> None:
    """Output keeps its lines; terminal sequences are left out."""
    assert harmless("a\r\nb\x1b[31mc\x1b[0m\td\x07") == "a\nbc\td\\x07"
