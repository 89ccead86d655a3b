"""A sandbox for deepagents: ``create_deep_agent(model=..., backend=sandbox)``.

```python
async with ExecutionEngine() as engine, InterpreterToolsSandbox(engine) as sandbox:
    agent = create_deep_agent(model=..., backend=sandbox)
    await agent.ainvoke(...)

with InterpreterToolsSandbox.blocking() as sandbox:  # the same for programs without asyncio
    create_deep_agent(model=..., backend=sandbox).invoke(...)
```
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from anyio.from_thread import start_blocking_portal
from deepagents.backends.protocol import (
    FILE_NOT_FOUND,
    INVALID_PATH,
    IS_DIRECTORY,
    PERMISSION_DENIED,
    ExecuteResponse,
    FileDownloadResponse,
    FileUploadResponse,
)
from deepagents.backends.sandbox import BaseSandbox

from interpreter_tools._commands.commands import MOST_FILE
from interpreter_tools._config.checks import parse_size
from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, EngineMisused, SessionClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType

    from interpreter_tools._commands.commands import Commands
    from interpreter_tools._config.model import EngineConfig, SessionConfig

T = TypeVar("T")

_TIMED_OUT = 124  # exit code, as that of timeout(1) and of deepagents' own backend


class InterpreterToolsSandbox(BaseSandbox):
    """A session of an engine as deepagents' sandbox: commands side by side, files, background processes.

    ``async with`` makes the session and cleans it up. Coroutine methods run in the engine's event loop; the other
    methods are for other threads, and refuse to block the loop. The image needs Python 3, as the default one has.

    Args:
        engine: the engine; the caller closes it.
        config: the configuration of the session; its strategy is always ``PER_SESSION``.
        timeout: seconds that a command may take unless it says otherwise; None means no limit.
    """

    def __init__(
        self, engine: ExecutionEngine, *, config: SessionConfig | None = None, timeout: float | None = 120.0
    ) -> None:
        self._engine = engine
        self._config = config
        self._timeout = timeout
        self._open: tuple[Commands, asyncio.AbstractEventLoop] | None = None

    def __repr__(self) -> str:
        return f"<InterpreterToolsSandbox {self._open[0].session_id if self._open else 'closed'}>"

    # -- life

    async def __aenter__(self) -> Self:
        session = self._engine.session(self._config, strategy=ContainerStrategy.PER_SESSION)
        self._open = (session.commands(), asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Clean the session up, with all processes in it. Does nothing the second time."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened[0].aclose()

    @classmethod
    @contextmanager
    def blocking(
        cls,
        engine_config: EngineConfig | None = None,
        *,
        config: SessionConfig | None = None,
        timeout: float | None = 120.0,
    ) -> Generator[Self]:
        """Yield a sandbox for programs without asyncio, with an engine and an event loop of its own, in a thread.

        Args:
            engine_config: the configuration of the engine.
            config: the configuration of the session.
            timeout: seconds that a command may take unless it says otherwise; None means no limit.
        """
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(ExecutionEngine(engine_config)) as engine,
            portal.wrap_async_context_manager(cls(engine, config=config, timeout=timeout)) as sandbox,
        ):
            yield sandbox

    def _use(self) -> tuple[Commands, asyncio.AbstractEventLoop]:
        if self._open is None:
            raise SessionClosed("the sandbox is not open", hint="use `async with`, or `with ... .blocking()`")
        return self._open

    async def _await(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Await a coroutine in the engine's event loop, from any loop. Cancelling cancels the coroutine."""
        _, loop = self._use()
        if asyncio.get_running_loop() is loop:
            return await work()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    def _wait(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Block the caller's thread until a coroutine ends; an interrupt of the thread cancels the coroutine."""
        _, loop = self._use()
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the one that does not raise
            raise EngineMisused(
                "it would block the event loop that it waits for", hint="await aexecute, or use a thread"
            )
        future = asyncio.run_coroutine_threadsafe(work(), loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def id(self) -> str:
        """The id of the session."""
        return self._use()[0].session_id

    # -- commands

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Run a text for ``sh``; see ``aexecute``."""
        return self._wait(functools.partial(self._execute, command, timeout))

    async def aexecute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Run a text for ``sh`` to its end. Cancelling kills it.

        Args:
            command: the text.
            timeout: seconds; None means the sandbox's, 0 no limit.

        Returns:
            Both outputs in the order of arrival, and the exit code: 124 after the time limit, which the output names.
            Output beyond ``EngineConfig.output_limit`` ends the command and sets ``truncated``.
        """
        return await self._await(functools.partial(self._execute, command, timeout))

    async def _execute(self, command: str, timeout: int | None) -> ExecuteResponse:
        limit = self._engine.config.output_limit
        seconds = self._timeout if timeout is None else timeout or None
        ended = await self._use()[0].run(
            ("sh", "-c", command),
            timeout=seconds,
            output_limit=None if limit is None else parse_size(limit, field="output_limit"),
            merge=True,
        )
        output = (ended.stdout + ended.stderr).decode("utf-8", "replace")
        if ended.outcome == "timeout":
            output = f"{output}\nError: the command was killed after {seconds:g} seconds.".lstrip("\n")
        return ExecuteResponse(
            output=output,
            exit_code=_TIMED_OUT if ended.outcome == "timeout" else ended.exit_code,
            truncated=ended.outcome == "output_limit",
        )

    # -- files

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Write files; see ``aupload_files``."""
        return self._wait(functools.partial(self._upload, files))

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Write files by their absolute paths, with missing directories; each response has the error of its file."""
        return await self._await(functools.partial(self._upload, files))

    async def _upload(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        responses: list[FileUploadResponse] = []
        for path, data in files:
            try:
                await self._use()[0].write_file(_absolute(path), data)
            except (OSError, ConfigurationError) as error:
                responses.append(FileUploadResponse(path=path, error=_word(error)))
            else:
                responses.append(FileUploadResponse(path=path))
        return responses

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Read files; see ``adownload_files``."""
        return self._wait(functools.partial(self._download, paths))

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Read files by their absolute paths, up to 256 MiB each; each response has the error of its file."""
        return await self._await(functools.partial(self._download, paths))

    async def _download(self, paths: list[str]) -> list[FileDownloadResponse]:
        responses: list[FileDownloadResponse] = []
        for path in paths:
            try:
                content = await self._use()[0].read_file(_absolute(path), limit=MOST_FILE)
            except (OSError, ConfigurationError) as error:
                responses.append(FileDownloadResponse(path=path, error=_word(error)))
            else:
                responses.append(FileDownloadResponse(path=path, content=content))
        return responses


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ConfigurationError("path", path, "is not absolute")
    return path


def _word(error: OSError | ConfigurationError) -> str:
    """Return the protocol's word for an error, else the error's own text."""
    if isinstance(error, FileNotFoundError):
        return FILE_NOT_FOUND
    if isinstance(error, PermissionError):
        return PERMISSION_DENIED
    if isinstance(error, IsADirectoryError):
        return IS_DIRECTORY
    if isinstance(error, (NotADirectoryError, ConfigurationError)):
        return INVALID_PATH
    return error.strerror or str(error)
