"""Files that wait on this side: which of them can lie beside each other."""

from __future__ import annotations

import errno

import pytest

from interpreter_tools._exceptions import FileRefused
from interpreter_tools._session.staging import Staged, Staging


async def staging(*paths: bytes) -> Staging:
    """Files at those paths."""
    files = Staging()
    for path in paths:
        files.check(path)
        files.put(path, await Staged.take(b""))
    return files


@pytest.mark.parametrize(
    ("there", "path", "number"),
    [
        (b"a", b"a/b", errno.ENOTDIR),
        (b"a/b", b"a/b/c/d", errno.ENOTDIR),
        (b"a/b", b"a", errno.EISDIR),
        (b"a/b/c/d", b"a/b", errno.EISDIR),
        (b"\xff", b"\xff/a", errno.ENOTDIR),
    ],
)
async def test_a_file_that_would_have_to_be_a_directory_is_refused(there: bytes, path: bytes, number: int) -> None:
    """And both are named."""
    files = await staging(b"x", there)
    with pytest.raises(FileRefused) as refused:
        files.check(path)
    assert refused.value.errno == number
    assert refused.value.path == path.decode("utf-8", "surrogateescape")
    assert repr(there.decode("utf-8", "surrogateescape")) in str(refused.value)


async def test_names_that_only_begin_alike_are_no_reason() -> None:
    """Neither is a file that is written again."""
    files = await staging(b"a", b"ab/c", b"a.b", b"ab/cd", b"ab/c")
    assert {path for path, _ in files.items()} == {b"a", b"ab/c", b"a.b", b"ab/cd"}


async def test_a_file_that_is_forgotten_makes_room() -> None:
    """Once nothing is left of its directory."""
    files = await staging(b"a/b", b"a/c", b"a/b")
    files.discard(b"a/b")
    with pytest.raises(FileRefused):
        files.check(b"a")
    files.clear()
    files.check(b"a")
