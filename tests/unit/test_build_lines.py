"""The lines of a build's output, of which the Docker engine sends pieces."""

from __future__ import annotations

from interpreter_tools._docker.build import STDERR, Lines


def test_pieces_are_joined_to_lines() -> None:
    """A line that a program writes piece by piece is one line, and streams do not mix."""
    told: list[str] = []
    lines = Lines(told.append)
    red = [f"{STDERR}{text}\x1b[0m" for text in ("E:", " ", "Unable", "\n")]
    for piece in ("Reading...", " Done\n", *red, "x", "y"):
        lines.take(piece)
    lines.end()
    assert [line.replace(STDERR, "!").replace("\x1b[0m", "") for line in told] == [
        "Reading... Done",
        "!E:! !Unable!",
        "xy",
    ]
