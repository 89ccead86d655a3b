"""Commands and files of one session for sandbox backends: side by side, anywhere in the container.

A session's own runs take turns, and no process that they start outlives them. Backends of agents' frameworks need more:
several commands at once, and servers that go on in the background. So one long run of the session serves the commands,
``server_program``, which the image's own Python 3 runs.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, cast

import msgspec

from interpreter_tools._commands.link import Command, CommandLink, Outcome
from interpreter_tools._config.checks import check_environment, check_seconds, check_text
from interpreter_tools._exceptions import (
    ConfigurationError,
    SessionClosed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._commands.link import ServerSession

MOST_FILE = 256 << 20  # bytes of a file that are read into memory when a framework has no limit of its own
_MOST_ENTRIES = 64 << 20  # bytes of a directory's listing
_REFUSED = 127  # exit code of a file operation whose standard error is the kernel's error number


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end and the output of a command.

    Attributes:
        exit_code: 0 to 255; 128 + signal when a signal ended it, 127 or 126 when the program could not be started.
        stdout: its standard output, up to the limit.
        stderr: its standard error, up to the limit; empty when it was merged into ``stdout``.
        outcome: ``ended`` when it ended by itself; else the limit for which it was killed.
        failure: the kernel's error number when the program could not be started, or 0.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    outcome: Outcome
    failure: int = 0


class Commands:
    """The commands that run side by side in a session, made by ``Session.commands``.

    The session's own runs and file operations have their turn once no command runs, and no process that commands left
    in the background. The session is cleaned up after ``idle_timeout`` seconds without a command, even with processes
    in the background. The commands belong to the event loop of the session's engine.

    Cancelling ``run`` kills its program. Cancelling a file operation stops it: a file that is being written may be left
    incomplete.

    Args:
        session: a session of the strategy ``PER_SESSION``.
        working_dir: the directory that commands start in.
    """

    def __init__(self, session: ServerSession, *, working_dir: str) -> None:
        self._session = session
        self._working_dir = working_dir
        self._link = CommandLink(session)

    @property
    def session_id(self) -> str:
        """The id of the session."""
        return self._session.id

    def working_dir(self) -> str:
        """Return the directory that commands start in, from the session's configuration.

        Raises:
            SessionClosed: the session was cleaned up.
        """
        if not self._session.is_active:
            raise SessionClosed(f"the session {self.session_id!r} is closed")
        return self._working_dir

    async def run(
        self,
        command: Sequence[str],
        *,
        cwd: str | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float | None = None,
        output_limit: int | None = None,
        merge: bool = False,
    ) -> Ended:
        """Run a program to its end. Processes that it leaves in the background, in a session of their own, go on.

        Cancelling kills the program and the processes that it started, except detached ones. So do its limits.

        Args:
            command: the program and its arguments.
            cwd: the directory that it starts in, relative to the working directory; None means the working directory.
            environment: variables beside the session's.
            stdin: its standard input.
            timeout: seconds; None means no limit.
            output_limit: bytes of each output; None means no limit.
            merge: True sends standard error to standard output.

        Raises:
            ConfigurationError: an argument cannot work.
            OSError: the directory cannot be entered.
            ContainerLost: the container is gone.
            SessionClosed: the session was cleaned up, also while the command ran.
        """
        if not command:
            raise ConfigurationError("command", command, "is empty", hint="name a program")
        for word in (*command, cwd or ""):
            check_text(word, field="command")
        check_seconds(timeout, field="timeout")
        directory = os.path.join(self.working_dir(), cwd or "")  # noqa: PTH118 - a path in the container
        request = {
            "command": list(command),
            "cwd": directory,
            "environment": check_environment(dict(environment or {}), field="environment"),
            "merge": merge,
        }
        return await self._call(request, stdin=stdin, timeout=timeout, output_limit=output_limit)

    def make_way(self) -> None:
        """Give the session up once no command runs: another call waits for it."""
        self._link.make_way()

    async def aclose(self) -> None:
        """Clean the session up, with all processes in it; see ``Session.aclose``. Does nothing the second time."""
        await self._session.aclose()

    # -- files, by any absolute path that the session's user can reach

    async def read_file(self, path: str, *, limit: int) -> bytes:
        """Return the bytes of a regular file.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.
            limit: bytes that the file may have.

        Raises:
            OSError: the file cannot be read; the error says why. EFBIG: it is larger than the limit.
        """
        return await self._do("read", path, limit=limit)

    async def write_file(self, path: str, data: bytes) -> None:
        """Write a regular file. Missing directories of its path are made, and links are followed.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.
            data: the contents; what the file held before is gone.

        Raises:
            OSError: the file cannot be written; the error says why.
        """
        await self._do("write", path, stdin=data)

    async def describe(self, path: str) -> tuple[bool, int | None]:
        """Return True for a directory, else False, and the size of a regular file in bytes.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.

        Raises:
            OSError: there is no such file, or it cannot be seen.
        """
        return msgspec.json.decode(await self._do("describe", path), type=tuple[bool, int | None])

    async def list_directory(self, path: str) -> list[tuple[str, bool, int | None]]:
        """Return the entries of a directory by name: name, True for a directory, and a regular file's size in bytes.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.

        Raises:
            OSError: the path is no directory, or cannot be read.
        """
        entries = json.loads(await self._do("list", path, output_limit=_MOST_ENTRIES))
        return cast("list[tuple[str, bool, int | None]]", [tuple(entry) for entry in entries])

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents, unless it exists.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.

        Raises:
            OSError: the directory cannot be made.
        """
        await self._do("make_directory", path)

    async def remove(self, path: str, *, keep: str) -> None:
        """Remove a file or a link, or a directory with its content.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.
            keep: a path that must stay.

        Raises:
            OSError: the path cannot be removed. EBUSY: ``keep`` is that path, or lies beneath it.
        """
        await self._do("remove", path, keep=keep)

    async def real_path(self, path: str) -> str:
        """Return the path that links lead to, as ``os.path.realpath`` does in the container.

        Args:
            path: a path in the container, absolute or relative to ``working_dir``.

        Raises:
            OSError: the path cannot be followed.
        """
        return str(json.loads(await self._do("real_path", path)))

    async def _do(
        self, action: str, path: str, *, stdin: bytes = b"", output_limit: int | None = None, **arguments: str | int
    ) -> bytes:
        check_text(path, field="path")
        request = {"do": action, "path": path, **arguments}
        ended = await self._call(request, stdin=stdin, timeout=None, output_limit=output_limit)
        if ended.exit_code == _REFUSED and ended.stderr.isdigit():
            number = int(ended.stderr)
            raise OSError(number, os.strerror(number), path)
        if ended.outcome == "output_limit":
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        if ended.exit_code:
            raise OSError(errno.EIO, ended.stderr.decode("utf-8", "replace").strip() or "it was interrupted", path)
        return ended.stdout

    async def _call(
        self, request: Mapping[str, object], *, stdin: bytes, timeout: float | None, output_limit: int | None
    ) -> Ended:
        message = json.dumps(request).encode()
        while True:
            command = Command(output_limit)
            end, outcome = await self._link.run(command, message, stdin=stdin, timeout=timeout)
            if end is not None:  # else the command server left at that moment
                break
        stdout, stderr = (bytes(command.output[kind]) for kind in (b"o", b"e"))
        exit_code = end.code
        if end.errno:
            if end.file == request.get("cwd"):
                raise OSError(end.errno, os.strerror(end.errno), end.file)
            exit_code = 127 if end.errno == errno.ENOENT else 126  # as shells do
            stderr = f"{end.file}: {os.strerror(end.errno)}\n".encode("utf-8", "surrogateescape")
        return Ended(exit_code=exit_code, stdout=stdout, stderr=stderr, outcome=outcome, failure=end.errno)
