"""Which paths lie beneath the workspace."""

from __future__ import annotations

import os
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._config.paths import WORKSPACE, check_path, shown_path
from interpreter_tools._exceptions import InvalidPath

_PIECES = st.sampled_from(["a", "..", ".", "", "/", "\\", "..cache", "é", "\udcff", "\ud800", "\0", "\n", "x" * 256])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../x", "leads upwards"),
        ("a/../../x", "leads upwards"),
        ("a/../b", "leads upwards"),
        ("a/..", "leads upwards"),
        ("..", "leads upwards"),
        ("/etc/x", "is absolute"),
        ("//x", "is absolute"),
        ("/", "is absolute"),
        ("/workspace", "is absolute"),
        ("/workspace/", "not the path of a file"),
        ("/workspace/../etc/x", "leads upwards"),
        ("/workspaces/x", "is absolute"),
        ("", "is not the path of a file"),
        (".", "is not the path of a file"),
        ("./", "is not the path of a file"),
        ("a/", "is not the path of a file"),
        ("a\0b", "holds a control character"),
        ("a\nb", "holds a control character"),
        ("\x1b[0m", "holds a control character"),
        ("a\x7f", "holds a control character"),
        ("a" * 256, "has a component of more than 255 bytes"),
        ("é" * 128, "has a component of more than 255 bytes"),
        ("a/" * 2100 + "a", "is longer than 4095 bytes"),
        ("\ud800", "holds a lone surrogate"),
        (b"a", "is not a text"),
        (None, "is not a text"),
    ],
)
def test_refused(path: object, words: str) -> None:
    """Before anything is sent; the path is named, and what would do."""
    with pytest.raises(InvalidPath, match=words) as caught:
        check_path(cast("str", path))
    assert caught.value.path is path
    assert repr(path) in str(caught.value)
    assert "data/in.json" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("a", b"a"),
        ("a/b.txt", b"a/b.txt"),
        ("./a//b/./c", b"a/b/c"),
        ("..cache", b"..cache"),
        ("a/...", b"a/..."),
        ("a..", b"a.."),
        ("..\\x", b"..\\x"),
        ("C:\\x", b"C:\\x"),
        ("-rf", b"-rf"),
        (" ", b" "),
        ("~", b"~"),
        ("\u202ex", b"\xe2\x80\xaex"),
        ("\udcff", b"\xff"),
        ("a" * 255, b"a" * 255),
    ],
)
def test_names_like_any_others(path: str, raw: bytes) -> None:
    """Only ``/``, ``.``, ``..`` and control characters mean something."""
    assert check_path(path) == raw


def test_longest_path() -> None:
    """With the workspace before it and a NUL behind it the kernel's 4096 are full."""
    rest = 4095 - len(WORKSPACE) - 1
    longest = "a/" * 2000 + "b" * (rest - 4000)
    assert len(f"{WORKSPACE}/".encode() + check_path(longest)) == 4095
    with pytest.raises(InvalidPath, match="longer than 4095"):
        check_path(longest + "b")


@given(pieces=st.lists(_PIECES | st.text(max_size=5), max_size=6))
def test_what_passes_stays_beneath(pieces: list[str]) -> None:
    """Whatever is given: our error, or a path in its shortest form that leads nowhere else."""
    for path in ("".join(pieces), "/".join(pieces)):
        try:
            raw = check_path(path)
        except InvalidPath:
            continue
        assert os.path.normpath(f"{WORKSPACE}/".encode() + raw) == f"{WORKSPACE}/".encode() + raw
        assert min(raw) >= 32
        assert check_path(shown_path(raw)) == raw


@given(raw=st.binary(max_size=20))
def test_shown_paths_lose_nothing(raw: bytes) -> None:
    """Any name can be given back."""
    assert shown_path(raw).encode("utf-8", "surrogateescape") == raw
