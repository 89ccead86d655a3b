"""The directory where builds happen, for one set-up at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from interpreter_tools.setup.errors import SetupFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

_LOCK_INTERVAL = 0.2
_WORK_PREFIX = "work-"


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/interpreter-tools``, or its place when that is not set (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "interpreter-tools"


class BuildCache:
    """Holds base systems between builds, and the trees of builds that are under way.

    Args:
        root: its directory; made when it is not there, for its owner alone, as trees hold set-uid programs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"<BuildCache {self.root}>"

    @contextlib.asynccontextmanager
    async def locked(self, *, on_wait: Callable[[], None]) -> AsyncGenerator[None]:
        """Own the directory, against other processes too; what killed builds left in it is removed first.

        Args:
            on_wait: called once when another set-up is at work and has to be waited for.

        Raises:
            SetupFailed: the directory cannot be used.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupFailed(
                f"the build directory {self.root} cannot be used: {error.strerror}",
                hint="set XDG_CACHE_HOME to a directory that can be written",
            ) from error
        try:
            # The lock ends with the process, however that ends; waiting for it must not keep a thread from ending.
            while not _try_lock(lock):
                on_wait()
                on_wait = _nothing
                await anyio.sleep(_LOCK_INTERVAL)
            await anyio.to_thread.run_sync(self._remove_leftovers)
            yield
        finally:
            os.close(lock)

    @contextlib.asynccontextmanager
    async def work_tree(self) -> AsyncGenerator[Path]:
        """Yield a new directory, removed at the end of the block."""
        work = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=self.root))
        try:
            yield work
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(work, ignore_errors=True))

    def _remove_leftovers(self) -> None:
        for path in self.root.glob(f"{_WORK_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def _nothing() -> None:
    return None
