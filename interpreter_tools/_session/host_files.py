"""Files and directories of this machine, on their way into a workspace or out of one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from interpreter_tools._config.paths import shown_path
from interpreter_tools._exceptions import ConfigurationError, FileRefused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence


class Progress(Protocol):
    """Is told how far a copy has come."""

    def __call__(self, done: int, total: int | None, /) -> None:
        """``done`` of ``total`` bytes; None where the total is not known."""


class Meter:
    """Adds up what several files report."""

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


class HostFile:
    """A file of this machine, as a source of another in the workspace."""

    def __init__(self, path: Path, descriptor: int, status: os.stat_result, report: Callable[[int], None]) -> None:
        self.path = path
        self.size = status.st_size
        self.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        self._descriptor = descriptor
        self._report = report

    @classmethod
    def open(cls, path: Path, *, report: Callable[[int], None]) -> HostFile:
        """Open a regular file. The method blocks, so call it off the event loop.

        Raises:
            ConfigurationError: it is not there, cannot be read, or is no regular file.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not make us wait
        except OSError as error:
            raise ConfigurationError("source", str(path), f"cannot be read: {error.strerror}") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise ConfigurationError(
                "source", str(path), "is not a file", hint="copy_directory_into_workspace copies trees"
            )
        return cls(path, descriptor, status, report)

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """Read on; read from the disk in another thread."""
        try:
            count = os.preadv(self._descriptor, spaces, offset, os.RWF_NOWAIT)
        except OSError:  # it would have to wait, or the file system cannot tell
            count = await anyio.to_thread.run_sync(os.preadv, self._descriptor, spaces, offset)
        self._report(count)
        return count

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def host_path(path: str | os.PathLike[str], *, field: str) -> Path:
    """Return a path of this machine that is to be written.

    Raises:
        ConfigurationError: it is empty, or holds a NUL.
    """
    text = os.fspath(path)
    if not text:
        raise ConfigurationError(field, text, "is empty", hint='"." is the current directory')
    if "\0" in text:
        raise ConfigurationError(field, text, "holds a NUL, which no path can")
    return Path(text)


def host_file(path: str | os.PathLike[str], *, field: str) -> Path:
    """Return the path of a file on this machine.

    Raises:
        ConfigurationError: it cannot be the path of one.
    """
    found = host_path(path, field=field)
    if found.name in {"", ".."}:
        raise ConfigurationError(field, os.fspath(path), "is a directory", hint="name the file that is to be written")
    return found


@contextlib.asynccontextmanager
async def arriving(target: Path) -> AsyncGenerator[anyio.AsyncFile[bytes]]:
    """Yield a file that takes its name, and the place of what has it, once it is whole; else nothing of it is left.

    Until then it lies beside the target under a name that nobody can foresee: a program chooses the names of the files
    that are copied, and must not meet it.
    """
    partial = anyio.Path(target.with_name(f".{secrets.token_hex(8)}.part"))
    try:
        async with await anyio.open_file(partial, "xb") as file:
            yield file
        await partial.replace(target)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await partial.unlink(missing_ok=True)
        raise


def below(path: bytes) -> str:
    """Return a path for this machine. It comes from the container, so it is made sure that it leads nowhere else."""
    if b"\0" in path or not set(path.split(b"/")).isdisjoint({b"", b".", b".."}):
        raise FileRefused(shown_path(path), errno.EINVAL, "it is no path beneath a directory")
    return os.fsdecode(path)


def size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None  # to open it tells why


def walk(root: Path) -> list[tuple[Path, int]]:
    """Return the regular files beneath a directory, with their sizes."""
    if not root.is_dir():
        raise ConfigurationError("source", str(root), "is not a directory")
    found: list[tuple[Path, int]] = []
    for directory, _, names in os.walk(root):  # does not follow links to directories
        for name in sorted(names):
            file = Path(directory, name)
            status = file.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((file, status.st_size))
    return found


def data_directory(session_id: str) -> Path:
    """Return the path of a new directory for the files of a session, in the user's data directory (XDG)."""
    base = Path(os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser())
    return base / "interpreter-tools" / f"{session_id}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
