"""A session: a sequence of runs that share files, a user and perhaps a container."""

from __future__ import annotations

import base64
import contextlib
import errno
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, Unpack, cast
from weakref import WeakSet

import anyio
import anyio.to_thread

from interpreter_tools._commands.commands import Commands
from interpreter_tools._commands.processes import Processes
from interpreter_tools._config.checks import as_bytes, parse_size
from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._config.paths import WORKSPACE, check_path, shown_path
from interpreter_tools._config.results import SessionInfo
from interpreter_tools._container.files import Streamed
from interpreter_tools._exceptions import ConfigurationError, FileRefused, SessionBusy, SessionClosed
from interpreter_tools._runtime.request import RunRequest
from interpreter_tools._session.beside import ProcessPlace
from interpreter_tools._session.cleanup import Cleanup
from interpreter_tools._session.contexts import SessionContexts
from interpreter_tools._session.host_files import (
    HostFile,
    Meter,
    arriving,
    below,
    host_file,
    host_path,
    size_of,
    walk,
)
from interpreter_tools._session.lease import END_DEADLINE
from interpreter_tools._session.reader import FileReader
from interpreter_tools._session.run import SessionRun, SessionRuns
from interpreter_tools._session.turns import State
from interpreter_tools._session.workspace import Workspace

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Callable
    from types import TracebackType

    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._config.options import ContextOptions, RunOptions
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._context.context import Context
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._runtime.runtime import Runtime
    from interpreter_tools._session.host_files import Progress
    from interpreter_tools._session.turns import Turns

_Turn: TypeAlias = "Callable[[], contextlib.AbstractAsyncContextManager[None]]"

_CLOSE_DEADLINE = 20.0  # seconds for the containers, after those below
_GRACE = 3.0  # seconds that a killed run may take to end, before its caller gets ``SessionClosed``
_PATIENCE = 10.0  # seconds for which a copy of generated files to this machine may go on when the engine closes
_PERMISSIONS = 0o777
_READ_WHOLE = 256 << 20  # bytes that are read into memory at most


class Session:
    """A session, made by ``ExecutionEngine.session`` or ``create_session``.

    Runs and file operations of a session happen one after another, in the order in which they were asked for. Between
    runs, its files are in the container of the last run. ``POOL`` gives that container back, and keeps up to 64 MiB of
    the run's files on this machine. A session belongs to the event loop of its engine: from another thread, use
    ``asyncio.run_coroutine_threadsafe``.

    Cancelling an operation that waits for its turn leaves the session as it was.

    Attributes:
        id: the name of the session.
        config: the configuration that the session was made with.
        kept_in: the directory of this machine that holds the generated files after the clean-up; None when they were
            not kept.
    """

    def __init__(
        self, session_id: str, config: SessionConfig, *, runtime: Runtime, turns: Turns, on_close: Callable[[], None]
    ) -> None:
        self.id = session_id
        self.config = config
        self.created_at = datetime.now(UTC)
        self.kept_in: Path | None = None
        self._runtime = runtime
        self._turns = turns
        self._on_close = on_close
        self._workspace = Workspace(session_id, config, runtime)
        self._runs = SessionRuns(runtime, self._workspace, turns, config)
        self._contexts = SessionContexts(session_id, config, self._runs, close=self.aclose)
        self._readers: WeakSet[FileReader] = WeakSet()
        self._cleanup: Cleanup | None = None
        self._commands: Commands | None = None
        self._processes: Processes | None = None

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.config.strategy.value} [{self._turns.state.name.lower()}]>"

    # -- life

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, keep_generated: str | os.PathLike[str] | None = None) -> list[Path]:
        """End runs and file transfers, and remove the containers and files, within 30 seconds.

        The program that runs is killed. Callers that wait for a container, for packages, for a turn or for data get
        ``SessionClosed``. Does nothing the second time; while another task cleans up, waits for it and returns the
        same. If ``aclose`` is cancelled while it copies files, it gives the copying up and the session stays open;
        otherwise the clean-up goes on in the background.

        Args:
            keep_generated: a directory of this machine into which the generated files are copied first, however long
                that takes; None means that they are removed.

        Returns:
            The paths of the copies, all below ``kept_in``; empty when no files were kept.

        Raises:
            ConfigurationError: ``keep_generated`` is no path; the session stays open.
            ContainerLost: files went away with their container; the session stays open. Clean it up without
                ``keep_generated``.
            FileRefused, OSError: a file could not be copied; the session stays open, and nothing is lost.
            SessionClosed: files were to be kept, but another task cleaned the session up without.
            SessionBusy: files were to be kept, but a file transfer does not end.
        """
        target = None if keep_generated is None else host_path(keep_generated, field="keep_generated")
        while True:
            cleanup = self._cleanup
            if cleanup is None or (cleanup.is_over and self._turns.state is State.OPEN):
                cleanup = self._cleanup = Cleanup(self._close, target)
            elif cleanup.target is None and target is not None:
                raise SessionClosed(f"the session {self.id!r} was cleaned up without keep_generated")
            elif cleanup.target is not None and target is None:
                # if it fails the session is still there
                await cleanup.over(within=_PATIENCE if self._runtime.closed else None)
                if self._turns.state is State.CLOSED:
                    return []
                continue
            return await cleanup.result()

    async def _close(self, cleanup: Cleanup) -> list[Path]:
        self._turns.change(State.CLOSING)
        kept: list[Path] = []
        seized = False
        try:
            seized = await self._seize()
            if cleanup.target is not None:
                kept = await self._keep(cleanup.target, cleanup.copying, seized=seized)
                self.kept_in = cleanup.target
        except BaseException:
            self._turns.change(State.OPEN)
            if seized:
                self._turns.end()
            raise
        self._turns.change(State.CLOSED)
        self._on_close()
        self._contexts.end(SessionClosed(f"the session {self.id!r} was cleaned up"))
        if seized:
            self._turns.end()  # callers that wait for the turn get SessionClosed now
        with anyio.move_on_after(_CLOSE_DEADLINE, shield=True):
            await self._workspace.aclose()
        return kept

    async def _seize(self) -> bool:
        """End the run or file operation of the session, and take the turn; False when it does not end."""
        closed = SessionClosed("the session was cleaned up while the code ran")
        self._turns.interrupt()
        self._runs.kill(closed)
        if await self._turns.seize(within=_GRACE):
            return True
        self._runs.abandon(closed)
        if await self._turns.seize(within=END_DEADLINE + 1):
            return True
        self._runs.cut(closed)
        return await self._turns.seize(within=1)

    async def _keep(self, target: Path, scope: anyio.CancelScope, *, seized: bool) -> list[Path]:
        if not seized:
            raise SessionBusy(
                f"a file transfer of the session {self.id!r} does not end", hint="end it, or keep no files"
            )
        with scope:
            generated = self._workspace.generated
            found = await self._workspace.sizes()
            sizes = {path: size for path, size in found.items() if shown_path(path) in generated}
            return await self._copy_all(sizes, b"", target, None, turn=contextlib.nullcontext)  # this task has the turn
        self._runtime.check()
        raise SessionBusy(f"to keep the files of the session {self.id!r} was given up", hint="clean it up again")

    def info(self) -> SessionInfo:
        """Return the state of the session, and the containers that it has had."""
        generated = frozenset(self._workspace.generated)
        history = self._workspace.containers.history()
        current = self._workspace.containers.current
        return SessionInfo(
            session_id=self.id,
            config=self.config,
            current_container=None if current is None else current.facts.meta(self.id, generated),
            container_history=tuple(facts.meta(self.id, generated) for facts in history),
            created_at=self.created_at,
            last_executed_at=self._runs.last_executed_at,
            is_active=self.is_active,
            contexts=self._contexts.infos(),
        )

    @property
    def is_active(self) -> bool:
        """False once clean-up has begun."""
        return self._turns.state is State.OPEN

    @property
    def busy(self) -> bool:
        """True while a run or a file operation has the turn."""
        return self._turns.busy

    # -- running

    def pause(self) -> None:
        """Have all programs of the session stand still, with their memory, until ``resume``.

        Runs, cells and processes that go on take no processor time. Their limits of time go on.

        Raises:
            ConfigurationError: the strategy of the session is not ``PER_SESSION``, so it has no containers of its own.
            SessionClosed: the session was cleaned up.
        """
        self._check_own()
        self._workspace.containers.pause(paused=True)

    def resume(self) -> None:
        """Have the programs of the session go on after ``pause``.

        Raises:
            ConfigurationError: as ``pause`` raises it.
            SessionClosed: the session was cleaned up.
        """
        self._check_own()
        self._workspace.containers.pause(paused=False)

    @property
    def container_ids(self) -> tuple[str, ...]:
        """The ids of the containers that hold the session's files now."""
        return tuple(self._workspace.containers.running)

    async def processor_times(self) -> dict[str, float]:
        """Return the seconds of processor time of those containers since their starts, by their ids.

        The Docker host counts all processes in them, also those that no run, cell or command waits for. It takes up to
        a second to answer for each.

        Raises:
            MachineError: the Docker engine does not answer.
        """
        return await self._workspace.containers.processor_times()

    def _check_own(self) -> None:
        self._turns.check()
        if self.config.strategy is not ContainerStrategy.PER_SESSION:
            words = f"is a session of the strategy {self.config.strategy.name}, which keeps no container"
            raise ConfigurationError("session_id", self.id, words, hint="make one with PER_SESSION, the default")

    async def run(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> ExecutionResult:
        """Run code to its end, once the session's turn has come; see ``ExecutionEngine.run``.

        If ``run`` is cancelled while it waits for its turn, no program begins; later, the program is killed.

        Args:
            language: the name or alias of a registered language.
            code: the program.
            options: the options of the run; see ``RunOptions``.

        Returns:
            The result of the run. Code that fails, is killed or reaches a limit gives a result as well.

        Raises:
            UsageError: the call cannot work as it was made, and no program began; or the session was cleaned up.
            SessionBusy: the session has a run or a file operation, and ``when_busy`` is ``"error"``.
            MachineError: Docker, the image or the interpreter is missing.
            ContainerLost: the container went away in the middle of the run, or with files of an earlier one.
        """
        if options.get("stdin") is None:
            options["stdin"] = b""
        async with self.stream(language, code, **options) as execution:
            return await execution.result()

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """Return a run as an ``Execution``, which takes its turn in ``async with``; see ``ExecutionEngine.stream``."""
        self._turns.check()
        request = RunRequest.read(self._runtime.config, language, code, options, session=self._runs.config)
        return request.execution(SessionRun(request, self._runs))

    def commands(self) -> Commands:
        """Return the commands of the session: several programs side by side, and files anywhere in the container.

        Sandbox backends of frameworks need both. Runs and file operations of the session have their turn once no
        command runs. Each call returns the same object.

        Raises:
            ConfigurationError: the strategy of the session is not ``PER_SESSION``, so its files do not stay.
            SessionClosed: the session was cleaned up.
        """
        self._check_own()
        if self._commands is None:
            self._commands = Commands(self, working_dir=self._workspace.config.working_dir)
            self._turns.guest = self._commands  # their server is one long run
        return self._commands

    def processes(self) -> Processes:
        """Return the processes of the session: programs with which callers talk while they run, and files anywhere.

        They need no turn of the session: runs, cells and processes go on side by side. The image needs Python 3.8 or
        newer. Each call returns the same object.

        Raises:
            ConfigurationError: the strategy of the session is not ``PER_SESSION``, so its files do not stay.
            SessionClosed: the session was cleaned up.
        """
        self._check_own()
        if self._processes is None:
            self._processes = Processes(ProcessPlace(self._runs), working_dir=self._workspace.config.working_dir)
        return self._processes

    # -- contexts

    def context(
        self, language: str, name: str | None = None, *, is_owner: bool = False, **options: Unpack[ContextOptions]
    ) -> Context:
        """Return a live interpreter of the session, which keeps its variables from cell to cell.

        Its process starts with ``async with``, or with its first cell, in the session's container for the language. A
        session can have several contexts, of several languages where its ``workspace_sharing`` is ``"shared"``. Their
        cells run side by side, and beside the runs of the session. A context ends with its session.

        Args:
            language: the name or alias of a registered language that has a cell runner.
            name: the name of the context; one that the session has already is returned. None makes a new context.
            is_owner: True cleans the session up when the context is closed.
            options: the options of the context; see ``ContextOptions``.

        Raises:
            ConfigurationError: an option cannot work, the language has no cell runner, or the strategy of the session
                is not ``PER_SESSION``.
            UnknownLanguage: the language is not registered.
            SessionClosed: the session was cleaned up.
        """
        self._turns.check()
        return self._contexts.open(language, name, options, is_owner=is_owner)

    def find_context(self, context_id: str) -> Context | None:
        """Return the context of an id; None when the session has none.

        Args:
            context_id: the id of the context, ``Context.id``.
        """
        return self._contexts.find(context_id)

    # -- files in

    async def write_file(self, path: str, data: str | bytes | AsyncIterable[bytes], *, mode: int = 0o644) -> None:
        """Write a file, whole or piece by piece. Missing directories of its path are made.

        Before the first run, and in sessions whose runs have a workspace each, the file is staged on this machine until
        a run gets it. That run then raises ``FileRefused`` when the workspace refuses the file, and later runs do not
        get it.

        A file that a container has is overwritten in place, so that a large file needs no room for a second copy. If
        the call fails halfway or is cancelled, neither the old file nor a part of the new one is left.

        Args:
            path: relative to the workspace.
            data: the contents; a text is encoded as UTF-8, an async iterator is not held in memory.
            mode: the permissions, from 0 to 0o777.

        Raises:
            ConfigurationError: the data or the mode cannot be written.
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: the file cannot be written; the error says why: no space, or a directory is in its place.
            SessionClosed: the session was cleaned up.
        """
        checked = check_path(path)
        if not isinstance(mode, int) or not 0 <= mode <= _PERMISSIONS:  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = "it is what chmod takes, such as 0o755; set-user-ID, set-group-ID and sticky bits have no use here"
            shown = oct(mode) if isinstance(mode, int) else mode  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("mode", shown, "is not between 0 and 0o777", hint=hint)
        if isinstance(data, FileReader) and data in self._readers:
            hint = "copy it in a run, or await it first"
            raise ConfigurationError("data", data, "is read from the same session, which does one at a time", hint=hint)
        if not hasattr(data, "__aiter__"):
            data = as_bytes(cast("bytes", data), field="data")
        async with self._turns.turn():
            await self._workspace.write(checked, Streamed(cast("bytes | AsyncIterable[bytes]", data), mode))

    async def copy_file_into_workspace(
        self, source: str | os.PathLike[str], target: str, *, progress: Progress | None = None
    ) -> None:
        """Copy a file of this machine into the workspace, with its execute permission.

        If the call fails halfway or is cancelled, neither an old file at the target nor a part of the new one is left.

        Args:
            source: the path of a regular file on this machine.
            target: relative to the workspace.
            progress: is called with the bytes copied so far and the bytes in all; None means that nobody is told.

        Raises:
            ConfigurationError: the source cannot be read, or is no regular file.
            InvalidPath: the target does not lie beneath the workspace.
            FileRefused: the target cannot be written; the error says why.
            SessionClosed: the session was cleaned up.
        """
        path = check_path(target)
        size = await anyio.to_thread.run_sync(size_of, Path(source))
        await self._copy_in(Path(source), path, Meter(progress, size))

    async def _copy_in(self, source: Path, path: bytes, meter: Meter) -> None:
        file = await anyio.to_thread.run_sync(lambda: HostFile.open(source, report=meter.add))
        try:
            async with self._turns.turn():
                await self._workspace.write(path, file)
        finally:
            file.close()

    async def copy_directory_into_workspace(
        self, source: str | os.PathLike[str], target: str = ".", *, progress: Progress | None = None
    ) -> list[str]:
        """Copy the regular files below a directory of this machine; links and empty directories are left out.

        If the call fails or is cancelled, the files that are complete stay in the workspace.

        Args:
            source: a directory on this machine.
            target: a directory, relative to the workspace; ``"."`` is the workspace itself.
            progress: is called with the bytes copied so far and the bytes in all, over all files.

        Returns:
            The paths of the files in the workspace, sorted.

        Raises:
            ConfigurationError: the source is not a directory that can be read.
            InvalidPath: a target does not lie beneath the workspace.
            FileRefused: a file cannot be written; the error says why.
            SessionClosed: the session was cleaned up.
        """
        root = Path(source)
        found = await anyio.to_thread.run_sync(walk, root)
        paths = {file: check_path(f"{target}/{file.relative_to(root).as_posix()}") for file, _ in found}
        for path in paths.values():
            self._workspace.check(path)
        meter = Meter(progress, sum(size for _, size in found))
        for file, path in paths.items():
            await self._copy_in(file, path, meter)
        return sorted(map(shown_path, paths.values()))

    async def add_file_from_base64(self, path: str, text: str) -> None:
        """Write a file whose contents are given in base64. Cancelling does what it does to ``write_file``.

        Args:
            path: relative to the workspace.
            text: base64; white space in it is ignored.

        Raises:
            ConfigurationError: the text is not base64.
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: the file cannot be written; the error says why.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                "text", type(text).__name__, "is not a text", hint="decode it: text.decode('ascii')"
            )
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ConfigurationError("text", f"{text[:20]}...", f"is not base64: {error}") from None
        await self.write_file(path, data)

    # -- files out

    def read_file(self, path: str, *, limit: str | int | None = None) -> FileReader:
        """Return a reader of a file: ``async for`` yields it piece by piece, ``await`` returns all bytes.

        Args:
            path: relative to the workspace.
            limit: bytes, or a text such as ``"2g"``, after which the reader raises ``FileRefused``; None means the size
                of the workspace.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
        """
        most = self._workspace.size_limit if limit is None else parse_size(limit, field="limit")
        reader = FileReader(self._read_piece, check_path(path), limit=most)
        self._readers.add(reader)
        return reader

    async def read_file_binary(self, path: str) -> bytes:
        """Return the bytes of a file, at most 256 MiB; ``read_file`` reads larger files. Cancelling changes nothing.

        Args:
            path: relative to the workspace.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: there is no such file, it cannot be read, or it is larger.
            ContainerLost: there is no such file, and files went away with their container.
        """
        return await self.read_file(path, limit=_READ_WHOLE)

    async def read_file_base64(self, path: str) -> str:
        """Return the bytes of a file, at most 256 MiB, in base64 (ASCII). Cancelling changes nothing.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: there is no such file, it cannot be read, or it is larger.
        """
        return base64.b64encode(await self.read_file_binary(path)).decode("ascii")

    async def list_workspace_files(self, *, only_generated: bool = False) -> list[str]:
        """Return the paths of the workspace's regular files, relative to it and sorted; at most 100,000.

        Cancelling changes nothing.

        Args:
            only_generated: return only the files that runs of the session made or changed.

        Raises:
            ContainerLost: files went away with their container. The next run raises it as well, unless a run has done
                so already; the run after that begins with an empty workspace.
        """
        async with self._turns.turn():
            names = [shown_path(path) for path in await self._workspace.sizes()]
        return sorted(name for name in names if not only_generated or name in self._workspace.generated)

    async def copy_file_from_workspace(
        self, path: str, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """Copy a file to this machine, between two runs. An existing target is replaced once the copy is complete.

        If the call fails or is cancelled, the target stays as it was and no part of the copy is left.

        Args:
            path: relative to the workspace.
            target: a path on this machine.
            progress: is called with the bytes copied so far and the bytes in all; None means that nobody is told.

        Raises:
            ConfigurationError: the target is not the path of a file.
            FileRefused: there is no such file, it cannot be read, or it is larger than the workspace can be.
            OSError: the target cannot be written.
        """
        checked, file = check_path(path), host_file(target, field="target")
        async with self._turns.turn():
            size = (await self._workspace.sizes()).get(checked)
        await self._copy_out(checked, file, Meter(progress, size), turn=self._turns.turn)

    async def copy_directory_from_workspace(
        self, target: str | os.PathLike[str], directory: str = ".", *, progress: Progress | None = None
    ) -> list[Path]:
        """Copy the regular files beneath a directory of the workspace to this machine.

        No archive is unpacked on this machine: each file is read by its name. A name that this machine cannot hold, or
        that would lead out of the target, is refused before anything is written. If the call fails or is cancelled, the
        files that are complete stay.

        Args:
            target: a directory on this machine; it is made when it does not exist.
            directory: relative to the workspace; ``"."`` is the workspace itself.
            progress: is called with the bytes copied so far and the bytes in all, over all files.

        Returns:
            The paths of the files that were written.

        Raises:
            ConfigurationError: the target is no path.
            FileRefused: there is no such directory, a file in it cannot be read, or all together are larger than the
                workspace can be.
            OSError: the target cannot be written.
        """
        root = host_path(target, field="target")
        whole = directory in {".", WORKSPACE, f"{WORKSPACE}/"}
        prefix = b"" if whole else check_path(directory) + b"/"
        async with self._turns.turn():
            sizes = {path: size for path, size in (await self._workspace.sizes()).items() if path.startswith(prefix)}
            if prefix and not sizes:
                await self._workspace.check_directory(prefix[:-1])
        return await self._copy_all(sizes, prefix, root, progress, turn=self._turns.turn)

    async def _copy_all(
        self, sizes: dict[bytes, int], prefix: bytes, root: Path, progress: Progress | None, *, turn: _Turn
    ) -> list[Path]:
        """Copy files of the workspace to this machine, each in a turn of its own."""
        most = self._workspace.copy_limit
        if sum(sizes.values()) > most:
            raise FileRefused(shown_path(prefix) or ".", errno.EFBIG, f"together larger than {most} bytes")
        targets = {path: root / below(path[len(prefix) :]) for path in sizes}
        meter = Meter(progress, sum(sizes.values()))
        await anyio.Path(root).mkdir(parents=True, exist_ok=True)
        for path, target in targets.items():
            await anyio.Path(target.parent).mkdir(parents=True, exist_ok=True)
            await self._copy_out(path, target, meter, turn=turn)
        return list(targets.values())

    async def _copy_out(self, path: bytes, target: Path, meter: Meter, *, turn: _Turn) -> None:
        async with arriving(target) as file, turn(), contextlib.aclosing(self._workspace.read_whole(path)) as pieces:
            async for piece in pieces:
                await file.write(piece)
                meter.add(len(piece))

    async def _read_piece(self, path: bytes, offset: int) -> bytes:
        async with self._turns.turn():
            return await self._workspace.read(path, offset)
