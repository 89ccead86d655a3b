"""What a terminal is given of what programs write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools.shell._terminal import TerminalText


def shown(*pieces: str, colours: bool = True) -> str:
    """What is shown of a stream."""
    stream = TerminalText(colours=colours)
    return "".join([*map(stream.feed, pieces), stream.finish()])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ä 日本 👩‍🚀\tx\n", "plain ä 日本 👩‍🚀\tx\n"),
        ("\x1b]0;title\x07a", "a"),
        ("\x1b]52;c;ZXZpbA==\x1b\\a", "a"),
        ("\x1bP+q544e\x1b\\a", "a"),
        ("\x1b[2J\x1b[1;1H\x1b[6n\x1b[?1049h\x1b[3~a", "a"),
        ("\x1bc\x1b(0\x1b7a", "a"),
        ("\x07\x08\x00\x7f", "\\x07\\x08\\x00\\x7f"),
        ("\x9b31m\x9d0;t\x9c", "\\x9b31m\\x9d0;t\\x9c"),
        ("\u202eevil\u200b\U000e0041", "\\u202eevil\\u200b\\U000e0041"),
        ("10%\r20%\r\n", "10%\r20%\r\n"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;38;5;8mx\x1b[m", "\x1b[1;38;5;8mx\x1b[m\x1b[0m"),
        ("\x1b[38;2;1;2;3mx", "\x1b[38;2;1;2;3mx\x1b[0m"),
        ("\x1b[8mhidden\x1b[5mblinks", "hiddenblinks"),
        ("\x1b[1;8mx", "x"),
        ("\x1b[>4;2mx\x1b[?25lx\x1b[31 qx", "xxx"),
        ("\x1b]0;\x1b[31mx", "0;\x1b[31mx\x1b[0m"),
        ("\x1b", "\\x1b"),
        ("a\x1b[31", "a31"),
    ],
)
def test_only_colours_pass(text: str, seen: str):
    """In one piece or many."""
    assert shown(text) == seen
    assert shown(*text) == seen


def test_colours_stay_away_where_they_are_not_wanted():
    """As in NO_COLOR."""
    assert shown("\x1b[31mred\x1b[0m", colours=False) == "red"


def test_sequence_that_never_ends_hides_nothing_for_ever():
    """After 4,096 characters it is text."""
    stream = TerminalText(colours=True)
    assert stream.feed("\x1b]0;") == ""
    seen = "".join(stream.feed("x" * 1000) for _ in range(10))
    assert seen.count("x") > 5000
    assert "\x1b" not in seen


@given(st.lists(st.text(st.sampled_from("\x1b[]0;13mPX\\\x07\x9b\x9c\r\na\u202e?"), max_size=12), max_size=6))
def test_nothing_else_ever_passes(pieces: list[str]):
    """However it is cut."""
    seen = shown(*pieces)
    while "\x1b[" in seen:
        before, _, after = seen.partition("\x1b[")
        colour, end, after = after.partition("m")
        assert end
        assert set(colour) <= set("0123456789;:"), seen
        seen = before + after
    assert not set(seen) & set("\x1b\x07\x9b\x9c\u202e")
