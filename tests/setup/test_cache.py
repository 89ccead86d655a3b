"""The directory where builds happen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from interpreter_tools.setup import SetupFailed
from interpreter_tools.setup.cache import BuildCache, default_cache

HOLDER = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def unexpected() -> None:
    """Called when a lock is waited for that nobody holds."""
    pytest.fail("waited")


def names(directory: Path) -> set[str]:
    """What is in a directory."""
    return {path.name for path in directory.iterdir()}


async def test_second_set_up_waits_for_the_first(tmp_path: Path):
    """It says so once, and goes on when the other ends, however that ends."""
    waits: list[str] = []
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    async with await anyio.open_process(command, stderr=None) as holder:
        assert holder.stdout is not None
        await holder.stdout.receive()
        with anyio.move_on_after(0.7):
            async with BuildCache(tmp_path).locked(on_wait=lambda: waits.append("waited")):
                pytest.fail("two at once")
        assert waits == ["waited"]
        holder.kill()
        await holder.wait()
        async with BuildCache(tmp_path).locked(on_wait=unexpected):
            pass


async def test_what_killed_builds_left_is_removed(tmp_path: Path):
    """Finished base systems stay."""
    (tmp_path / "work-old" / "root").mkdir(parents=True)
    (tmp_path / "base-x.tar").write_bytes(b"x")
    async with BuildCache(tmp_path).locked(on_wait=unexpected):
        assert names(tmp_path) == {"lock", "base-x.tar"}


async def test_work_tree_is_gone_after_a_cancelled_build(tmp_path: Path):
    """Though the cancellation would interrupt the clean-up."""
    with anyio.CancelScope() as scope:
        async with BuildCache(tmp_path).work_tree() as work:
            (work / "file").write_text("x")
            scope.cancel()
            await anyio.sleep(1)
    assert not names(tmp_path)


async def test_only_its_owner_can_enter(tmp_path: Path):
    """Trees hold set-uid programs that are not up to date for ever."""
    async with BuildCache(tmp_path / "cache").locked(on_wait=unexpected):
        assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


async def test_unusable_directory_is_named(tmp_path: Path):
    """With what to do about it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupFailed, match="XDG_CACHE_HOME"):
        async with BuildCache(tmp_path / "file" / "cache").locked(on_wait=unexpected):
            pass


def test_cache_is_where_the_desktop_standard_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Relative paths in the variable are to be ignored."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "interpreter-tools"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache() == Path.home() / ".cache" / "interpreter-tools"


def test_locks_die_with_their_process(tmp_path: Path):
    """Nothing has to be cleaned up after a kill -9."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    for _ in range(2):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            holder.kill()
