"""A sandbox as PydanticAI's workspace, of an agent or of one run.

```python
agent = Agent(model, capabilities=[SandboxWorkspace(engine)])  # a new one for each run, unless its history names one

backend = SandboxWorkspaceBackend(engine)
result = await agent.run("...", workspace=backend)
await engine.cleanup_session(backend.ref.id)
```
"""

from __future__ import annotations

import errno
import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.workspaces import (
    CommandResult,
    FileEntry,
    WorkspaceOutputLimitError,
    WorkspaceRef,
    WorkspaceTimeoutError,
    WorkspaceUnavailableError,
)

from interpreter_tools._commands.commands import MOST_FILE
from interpreter_tools._config.checks import parse_size
from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._exceptions import (
    ConfigurationError,
    ContainerLost,
    EngineClosed,
    SessionClosed,
    UnknownSession,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from pydantic_ai import RunContext
    from pydantic_ai.workspaces import WorkspaceBackend, WorkspaceCommand

    from interpreter_tools._commands.commands import Commands
    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._engine import ExecutionEngine

PROVIDER = "interpreter-tools"


class SandboxWorkspaceBackend:
    """A session of an engine as a workspace: commands side by side, files, links, and background processes.

    The first operation makes the session. It lives until the engine ends, is cleaned up by
    ``engine.cleanup_session(backend.ref.id)``, or was not used for ``SessionConfig.idle_timeout`` seconds; another
    backend reaches it by its ref while the engine lives. Commands run as the session's user, within the limits of its
    ``ContainerConfig``. The image needs Python 3, as the default one has.

    Args:
        engine: the engine; the caller closes it.
        ref: the ref of an existing session; None means a new one.
        config: the configuration of a new session; its strategy is always ``PER_SESSION``.

    Raises:
        ConfigurationError: the ref is of another provider.
    """

    def __init__(
        self, engine: ExecutionEngine, *, ref: WorkspaceRef | None = None, config: SessionConfig | None = None
    ) -> None:
        if ref is not None and ref.provider != PROVIDER:
            raise ConfigurationError("ref.provider", ref.provider, f"is not {PROVIDER!r}")
        self._engine = engine
        self._config = config
        self._ref = ref
        self._commands: Commands | None = None

    def __repr__(self) -> str:
        return f"<SandboxWorkspaceBackend {self._ref.id if self._ref else 'new'}>"

    @property
    def ref(self) -> WorkspaceRef | None:
        """The ref of the session; None before the first operation."""
        return self._ref

    def _use(self) -> Commands:
        """Return the commands of the session, without an await: concurrent first operations share one session."""
        if self._commands is None:
            if self._ref is None:
                self._commands = self._engine.session(self._config, strategy=ContainerStrategy.PER_SESSION).commands()
                self._ref = WorkspaceRef(provider=PROVIDER, id=self._commands.session_id)
            else:
                self._commands = self._engine.get_session(self._ref.id).commands()
        return self._commands

    @property
    def _output_limit(self) -> int | None:
        limit = self._engine.config.output_limit
        return None if limit is None else parse_size(limit, field="output_limit")

    async def working_dir(self) -> str:
        """Return the directory, without links, in which commands and relative paths start.

        Raises:
            WorkspaceUnavailableError: the session is gone.
        """
        with _unavailable():
            commands = self._use()
            directory = commands.working_dir()
            return directory if directory == "/workspace" else await commands.real_path(directory)

    async def run(
        self,
        command: WorkspaceCommand,
        *,
        shell: bool = False,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> CommandResult:
        """Run a command to its end. Cancelling kills it, and so does its limit; detached processes go on.

        Args:
            command: program and arguments, or with ``shell`` a text for ``sh``.
            shell: True for a text for ``sh``.
            env: variables beside the session's.
            timeout: seconds; None means no limit.

        Raises:
            TypeError: a text without ``shell``, or arguments with it.
            ValueError: an argument cannot work.
            WorkspaceTimeoutError: the command ran for too long.
            WorkspaceOutputLimitError: the command wrote more than ``EngineConfig.output_limit``.
            WorkspaceUnavailableError: the session is gone.
        """
        if isinstance(command, str) != shell:
            raise TypeError("a string command requires shell=True, and an argv sequence shell=False")
        words = ("sh", "-c", command) if isinstance(command, str) else tuple(command)
        with _unavailable():
            ended = await self._use().run(words, environment=env, timeout=timeout, output_limit=self._output_limit)
        stdout, stderr = (data.decode("utf-8", "replace") for data in (ended.stdout, ended.stderr))
        if ended.outcome == "timeout":
            raise WorkspaceTimeoutError(f"the command ran for more than {timeout:g} s", stdout=stdout, stderr=stderr)
        if ended.outcome == "output_limit":
            limit = self._output_limit or 0
            raise WorkspaceOutputLimitError(
                f"the command wrote more than {limit} bytes", limit=limit, stdout=stdout, stderr=stderr
            )
        return CommandResult(exit_code=ended.exit_code, stdout=stdout, stderr=stderr)

    # -- files

    async def read_bytes(self, path: str) -> bytes:
        """Return the bytes of a file, at most 256 MiB."""
        with _unavailable():
            return await self._use().read_file(path, limit=MOST_FILE)

    async def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file, with missing directories."""
        with _unavailable():
            await self._use().write_file(path, data)

    async def stat(self, path: str) -> FileEntry:
        """Return the description of a path."""
        with _unavailable():
            is_dir, size = await self._use().describe(path)
        return FileEntry(name=posixpath.basename(posixpath.normpath(path)), path=path, is_dir=is_dir, size=size)

    async def list_dir(self, path: str) -> Sequence[FileEntry]:
        """Return the entries of a directory."""
        with _unavailable():
            entries = await self._use().list_directory(path)
        return [
            FileEntry(name=name, path=posixpath.join(path, name), is_dir=is_dir, size=size)
            for name, is_dir, size in entries
        ]

    async def make_dir(self, path: str) -> None:
        """Make a directory, unless it exists."""
        with _unavailable():
            await self._use().make_directory(path)

    async def remove(self, path: str) -> None:
        """Remove a file, a link, or a directory with its content.

        Raises:
            ValueError: the path is the working directory, or above it.
        """
        directory = await self.working_dir()
        with _unavailable():
            try:
                await self._use().remove(path, keep=directory)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise ValueError(f"{path!r} is the working directory {directory!r}, or holds it") from error
                raise

    async def exists(self, path: str) -> bool:
        """Return True when the path exists."""
        try:
            await self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    async def realpath(self, path: str) -> str:
        """Return the path that links lead to."""
        with _unavailable():
            return await self._use().real_path(path)


class SandboxWorkspace(AbstractCapability[object]):
    """Gives each of an agent's runs a session, or the one that the run's ``workspace`` or message history names.

    Args:
        engine: the engine; the caller closes it.
        config: the configuration of new sessions.
    """

    def __init__(self, engine: ExecutionEngine, *, config: SessionConfig | None = None) -> None:
        self._engine = engine
        self._config = config

    def get_workspace(self, ctx: RunContext[object], *, ref: WorkspaceRef | None) -> WorkspaceBackend | None:
        """Return the session of a ref, a new one for None, and None for the ref of another provider."""
        if ref is not None and ref.provider != PROVIDER:
            return None
        return SandboxWorkspaceBackend(self._engine, ref=ref, config=self._config)


@contextmanager
def _unavailable() -> Generator[None]:
    """Turn errors of a session that is gone into the framework's error."""
    try:
        yield
    except (ContainerLost, EngineClosed, SessionClosed, UnknownSession) as error:
        raise WorkspaceUnavailableError(str(error)) from error
