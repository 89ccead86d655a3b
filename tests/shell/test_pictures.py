"""Pictures in the shell: drawn by terminals that say that they can, else kept as files."""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path

import pytest

from interpreter_tools.shell._pictures import PictureFiles, as_drawn, find_drawing
from tests.cli.command import call

from .terminal import SMALL

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
PROGRAM = """
from IPython.display import display
class Shown:
    def _repr_png_(self): return b"\\x89PNG\\r\\n\\x1a\\nrest"
print("before")
display(Shown())
print("between")
display({"a": 1})
"""


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=inline=1;size=10248:"),
        ({"TERM_PROGRAM": "WezTerm"}, "\x1b]1337;"),
        ({"LC_TERMINAL": "iTerm2"}, "\x1b]1337;"),
        ({"TERM": "xterm-kitty"}, "\x1b_Ga=T,f=100,q=2,m=1;"),
        ({"KITTY_WINDOW_ID": "1"}, "\x1b_Ga=T"),
        ({"TERM_PROGRAM": "ghostty"}, "\x1b_Ga=T"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x"}, None),
        ({"TERM": "xterm-kitty", "STY": "1"}, None),
        ({}, None),
    ],
)
def test_terminal_says_whether_it_draws(variables: dict[str, str], start: str | None) -> None:
    """A multiplexer between passes nothing on."""
    drawn = as_drawn("image/png", PNG, find_drawing(variables))
    assert drawn is None if start is None else drawn is not None and drawn.startswith(start)


@pytest.mark.parametrize("variables", [{"TERM_PROGRAM": "iTerm.app"}, {"TERM": "xterm-kitty"}])
def test_picture_cannot_end_its_sequence(variables: dict[str, str]) -> None:
    """Whatever is in it, the terminal reads base64, and gets the whole of it."""
    data = PNG + b"\x07\x1b\\\x1b]0;title\x07"
    drawn = as_drawn("image/png", data, find_drawing(variables))
    assert drawn is not None
    inside = re.findall(r"\x1b(?:\]1337;[^:]*:([A-Za-z0-9+/=]*)\x07|_G[^;]*;([A-Za-z0-9+/=]*)\x1b\\)", drawn)
    assert base64.b64decode("".join(one + other for one, other in inside)) == data
    assert drawn.count("\x07") + drawn.count("\x1b\\") == len(inside)


@pytest.mark.parametrize(("mime", "data"), [("image/png", b"GIF89a"), ("image/svg+xml", b"<svg/>"), ("image/png", b"")])
def test_what_is_no_picture_goes_to_no_terminal(mime: str, data: bytes) -> None:
    """Its first bytes decide, together with its kind."""
    assert as_drawn(mime, data, find_drawing({"TERM_PROGRAM": "iTerm.app"})) is None
    jpeg = b"\xff\xd8\xff" + bytes(9)
    assert as_drawn("image/jpeg", jpeg, find_drawing({"TERM": "xterm-kitty"})) is None


def test_files_are_numbered_by_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one directory of their own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = PictureFiles()
    paths = [files.save("image/png", b"1"), files.save("image/svg+xml", b"2"), files.save("image/jpeg", b"3")]
    assert [path.name for path in paths] == ["1.png", "2.svg", "3.jpeg"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]
    assert paths[0].parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.docker
def test_displays_stand_in_their_place(tmp_path: Path) -> None:
    """A picture as a file that a note names, all else as text."""
    text = f"```python\n{PROGRAM}```\n"
    done = call("shell", stdin=text.encode(), environment={**SMALL, "TMPDIR": str(tmp_path)})
    assert done.stdout == b"before\nbetween\n{'a': 1}\n"
    path = re.search(r"picture: (\S+?\.png)", done.stderr.decode().replace("\n", ""))
    assert path is not None
    assert Path(path[1]).read_bytes() == b"\x89PNG\r\n\x1a\nrest"
