"""The engine for code without an event loop: Flask, Celery, scripts, notebooks with synchronous tools.

```python
from interpreter_tools import blocking

with blocking.Engine() as engine:
    print(engine.run("python", "print(1)").stdout)
```

One thread runs an event loop with one ``ExecutionEngine`` in it. Any number of threads may call the engine at once, and
each call waits for its own result. ``Ctrl-C`` cancels the call that waits, which kills its program.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, Self, TypeVar, Unpack

import anyio
import anyio.from_thread

from interpreter_tools._context.context import Context as AsyncContext
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import EngineClosed, ExecutionClosed
from interpreter_tools._execution.execution import Execution as AsyncExecution
from interpreter_tools._session.session import Session as AsyncSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from interpreter_tools._config.model import EngineConfig, SessionConfig
    from interpreter_tools._config.options import CellOptions, ContextOptions, RunOptions, SessionOptions
    from interpreter_tools._config.results import (
        Checkpoint,
        ContextInfo,
        EngineStats,
        ExecutionResult,
        History,
        OutputChunk,
        SessionInfo,
    )
    from interpreter_tools._context.cell import Cell

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

__all__ = ["Context", "Engine", "Execution", "Session"]


class _Face(Protocol[A_co]):
    """An object with blocking methods, each of which waits for a call of one asynchronous object."""

    def ask(self, call: Callable[[A_co], Awaitable[T]]) -> T: ...


def _blocking(method: Callable[Concatenate[A, P], Awaitable[T]]) -> Callable[Concatenate[_Face[A], P], T]:
    """Return a blocking method from a coroutine method of the asynchronous object."""

    @functools.wraps(method)
    def wait(self: _Face[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.ask(lambda target: method(target, *args, **kwargs))

    return wait


class Engine:
    """An engine with blocking methods, which any thread may call.

    Each method has the name and the arguments of the method of ``ExecutionEngine`` that it waits for. An engine starts
    with its first use, and ends with ``close``, at the end of ``with``, or with the process. A forked process, such as
    a worker of Celery, starts an engine of its own with its first use.

    Args:
        config: sizes, limits and images; None means the defaults, which suit a small machine.
    """

    def __init__(self, config: EngineConfig | None = None) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "new" if self._loop is None else "running"
        return f"<blocking.Engine {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the thread and the engine. Does nothing the second time.

        Raises:
            EngineClosed: the engine was closed.
            DockerUnavailable: no Docker engine answers.
        """
        self._running()

    def close(self) -> None:
        """End every run and session, remove every container, and end the thread. Does nothing the second time."""
        with self._lock:
            loop, self._loop, self._closed = self._loop, None, True
        if loop is not None and loop.pid == os.getpid():
            loop.close()

    @property
    def engine(self) -> ExecutionEngine:
        """The asynchronous engine; it belongs to the event loop of the engine's thread."""
        return self._running().engine

    @property
    def config(self) -> EngineConfig:
        """The configuration that the engine was made with."""
        return self.engine.config

    @property
    def is_running(self) -> bool:
        """True between the start and the close of the engine."""
        return self._loop is not None

    def wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call a coroutine function in the engine's event loop, and return its result.

        Args:
            call: the function; interrupting the thread that waits cancels it.
        """
        return self._running().wait(call)

    def ask(self, call: Callable[[ExecutionEngine], Awaitable[T]]) -> T:
        """Call a coroutine function with the asynchronous engine, in its event loop, and return its result.

        Args:
            call: the function, which is given the engine; interrupting the thread that waits cancels it.
        """
        return self.wait(lambda: call(self.engine))

    def enter(self, manager: Callable[[], AsyncExecution | Cell]) -> AbstractContextManager[AsyncExecution | Cell]:
        """Return an execution as a context manager of this thread: one task of the loop enters and leaves it."""
        loop = self._running()
        return loop.portal.wrap_async_context_manager(loop.portal.call(manager))

    def _running(self) -> _Loop:
        with self._lock:
            if self._closed:
                raise EngineClosed("the engine was closed", hint="make another blocking.Engine")
            if self._loop is None or self._loop.pid != os.getpid():
                self._loop = _Loop(self._config)
            return self._loop

    # -- running

    run = _blocking(ExecutionEngine.run)
    execute_code = _blocking(ExecutionEngine.execute_code)
    warm = _blocking(ExecutionEngine.warm)

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """Return a run whose output can be read at once: ``with engine.stream(...) as run: for chunk in run: ...``.

        Args:
            language: the language of the program.
            code: the program.
            options: the options of the run; see ``RunOptions``.
        """
        return Execution(self, lambda: self.engine.stream(language, code, **options))

    def stream_code(
        self, session_id: str, *, language: str, code: str | bytes = "", **options: Unpack[RunOptions]
    ) -> Execution:
        """Return a run in a session whose output can be read while the program runs; see ``stream``."""
        return Execution(self, lambda: self.engine.stream_code(session_id, language=language, code=code, **options))

    # -- sessions and their files

    def session(self, config: SessionConfig | None = None, **options: Unpack[SessionOptions]) -> Session:
        """Make a session, or open the one of that id, and return it; ``with`` cleans the session up at its end.

        Args:
            config: the configuration; None means the defaults.
            options: single fields of the configuration, over those of ``config``.
        """

        async def make() -> AsyncSession:
            return self.engine.session(config, **options)

        return Session(self, self.wait(make))

    def context(
        self,
        language: str,
        name: str | None = None,
        *,
        config: SessionConfig | None = None,
        **options: Unpack[ContextOptions],
    ) -> Context:
        """Return a live interpreter in a session of its own; see ``ExecutionEngine.context``."""

        async def make() -> AsyncContext:
            return self.engine.context(language, name, config=config, **options)

        return Context(self, self.wait(make))

    def get_context(self, context_id: str) -> Context:
        """Return the context of an id; see ``ExecutionEngine.get_context``."""

        async def find() -> AsyncContext:
            return self.engine.get_context(context_id)

        return Context(self, self.wait(find))

    run_cell = _blocking(ExecutionEngine.run_cell)
    create_session = _blocking(ExecutionEngine.create_session)
    get_session_info = _blocking(ExecutionEngine.get_session_info)
    cleanup_session = _blocking(ExecutionEngine.cleanup_session)
    write_file = _blocking(ExecutionEngine.write_file)
    copy_file_into_workspace = _blocking(ExecutionEngine.copy_file_into_workspace)
    copy_directory_into_workspace = _blocking(ExecutionEngine.copy_directory_into_workspace)
    copy_file_from_workspace = _blocking(ExecutionEngine.copy_file_from_workspace)
    copy_directory_from_workspace = _blocking(ExecutionEngine.copy_directory_from_workspace)
    add_file_from_base64 = _blocking(ExecutionEngine.add_file_from_base64)
    read_file_binary = _blocking(ExecutionEngine.read_file_binary)
    read_file_base64 = _blocking(ExecutionEngine.read_file_base64)
    list_workspace_files = _blocking(ExecutionEngine.list_workspace_files)
    has_image = _blocking(ExecutionEngine.has_image)
    ping = _blocking(ExecutionEngine.ping)

    def read_file(self, session_id: str, path: str, *, limit: str | int | None = None) -> bytes:
        """Return the bytes of a file; see ``Session.read_file``."""
        return self.ask(lambda engine: engine.read_file(session_id, path, limit=limit))

    def stats(self) -> EngineStats:
        """Return the numbers of containers and leases; see ``ExecutionEngine.stats``."""

        async def read() -> EngineStats:
            return self.engine.stats()

        return self.wait(read)


class Session:
    """A session with blocking methods, which any thread may call; made by ``Engine.session``."""

    def __init__(self, owner: Engine, session: AsyncSession) -> None:
        self.owner = owner
        self.session = session

    def __repr__(self) -> str:
        return f"<blocking.Session {self.id}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """The id of the session."""
        return self.session.id

    def ask(self, call: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Call a coroutine function with the asynchronous session, in its event loop, and return its result.

        Args:
            call: the function, which is given the session; interrupting the thread that waits cancels it.
        """
        return self.owner.wait(lambda: call(self.session))

    def close(self, *, keep_generated: str | os.PathLike[str] | None = None) -> list[Path]:
        """Clean the session up; see ``Session.aclose``."""
        return self.ask(lambda session: session.aclose(keep_generated=keep_generated))

    def info(self) -> SessionInfo:
        """Return the state of the session, and the containers that it has had."""

        async def read() -> SessionInfo:
            return self.session.info()

        return self.owner.wait(read)

    run = _blocking(AsyncSession.run)

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """Return a run whose output can be read while the program runs.

        Args:
            language: the language of the program.
            code: the program.
            options: the options of the run; see ``RunOptions``.
        """
        return Execution(self.owner, lambda: self.session.stream(language, code, **options))

    def context(self, language: str, name: str | None = None, **options: Unpack[ContextOptions]) -> Context:
        """Return a live interpreter of the session; see ``Session.context``."""

        async def make() -> AsyncContext:
            return self.session.context(language, name, **options)

        return Context(self.owner, self.owner.wait(make))

    write_file = _blocking(AsyncSession.write_file)
    copy_file_into_workspace = _blocking(AsyncSession.copy_file_into_workspace)
    copy_directory_into_workspace = _blocking(AsyncSession.copy_directory_into_workspace)
    copy_file_from_workspace = _blocking(AsyncSession.copy_file_from_workspace)
    copy_directory_from_workspace = _blocking(AsyncSession.copy_directory_from_workspace)
    add_file_from_base64 = _blocking(AsyncSession.add_file_from_base64)
    read_file_binary = _blocking(AsyncSession.read_file_binary)
    read_file_base64 = _blocking(AsyncSession.read_file_base64)
    list_workspace_files = _blocking(AsyncSession.list_workspace_files)

    def read_file(self, path: str, *, limit: str | int | None = None) -> bytes:
        """Return the bytes of a file; see ``Session.read_file``."""
        return self.ask(lambda session: session.read_file(path, limit=limit))


class Context:
    """A live interpreter with blocking methods, which any thread may call; made by ``Engine.context``.

    ``with`` starts its process, and closes the context at its end.
    """

    def __init__(self, owner: Engine, context: AsyncContext) -> None:
        self.owner = owner
        self.context = context

    def __repr__(self) -> str:
        return f"<blocking.Context {self.id}>"

    def __enter__(self) -> Self:
        self.owner.wait(self.context.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """The id of the context."""
        return self.context.id

    def ask(self, call: Callable[[AsyncContext], Awaitable[T]]) -> T:
        """Call a coroutine function with the asynchronous context, in its event loop, and return its result.

        Args:
            call: the function, which is given the context; interrupting the thread that waits cancels it.
        """
        return self.owner.wait(lambda: call(self.context))

    def info(self) -> ContextInfo:
        """Return the state of the context."""

        async def read() -> ContextInfo:
            return self.context.info()

        return self.owner.wait(read)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that can be gone back to, oldest first."""

        async def read() -> tuple[Checkpoint, ...]:
            return self.context.checkpoints()

        return self.owner.wait(read)

    def history(self) -> History:
        """Return the cells and checkpoints of the context as a tree; see ``Context.history``."""

        async def read() -> History:
            return self.context.history()

        return self.owner.wait(read)

    def fork(self) -> Self:
        """Return a branch; see ``Context.fork``."""
        return type(self)(self.owner, self.owner.wait(self.context.fork))

    def replay(self) -> Self:
        """Run the cells anew in a new context, and return it; see ``Context.replay``."""
        return type(self)(self.owner, self.owner.wait(self.context.replay))

    def stream(self, code: str, **options: Unpack[CellOptions]) -> Execution:
        """Return a cell whose output can be read while it runs.

        Args:
            code: the code of the cell.
            options: the options of the cell; see ``CellOptions``.
        """
        return Execution(self.owner, lambda: self.context.stream(code, **options))

    run = _blocking(AsyncContext.run)
    interrupt = _blocking(AsyncContext.interrupt)
    restart = _blocking(AsyncContext.restart)
    checkpoint = _blocking(AsyncContext.checkpoint)
    rewind = _blocking(AsyncContext.rewind)
    complete = _blocking(AsyncContext.complete)
    is_complete = _blocking(AsyncContext.is_complete)
    inspect = _blocking(AsyncContext.inspect)
    close = _blocking(AsyncContext.aclose)


class Execution:
    """A run, or a cell: ``with`` starts and ends it, ``for`` yields its output. One thread at a time uses it."""

    def __init__(self, owner: Engine, make: Callable[[], AsyncExecution | Cell]) -> None:
        self._owner = owner
        self._manager = owner.enter(make)
        self._execution: AsyncExecution | Cell | None = None

    def __enter__(self) -> Self:
        self._execution = self._manager.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._manager.__exit__(kind, error, traceback)

    def __iter__(self) -> Iterator[OutputChunk]:
        while (chunk := self._owner.wait(self._next)) is not None:
            yield chunk

    async def _next(self) -> OutputChunk | None:
        return await anext(self._entered, None)

    @property
    def _entered(self) -> AsyncExecution | Cell:
        if self._execution is None:
            raise ExecutionClosed("start the execution first", hint="use `with engine.stream(...) as execution`")
        return self._execution

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each port of the container; none for a cell."""
        return self._entered.ports if isinstance(self._entered, AsyncExecution) else {}

    def result(self) -> ExecutionResult:
        """Wait for the end of the run, and return its result; see ``Execution.result``."""
        return self._owner.wait(self._entered.result)

    def send_stdin(self, data: bytes) -> None:
        """Send bytes to the program; see ``Execution.send_stdin``."""
        self._owner.wait(lambda: self._entered.send_stdin(data))

    def close_stdin(self) -> None:
        """End the program's stdin; see ``Execution.close_stdin``."""
        self._owner.wait(self._entered.close_stdin)

    def kill(self) -> None:
        """Kill the program and everything it started; see ``Execution.kill``."""
        self._owner.wait(self._entered.kill)


class _Loop:
    """A thread with an event loop and a running engine.

    The thread is a daemon, and the end of the process closes it: an engine that nobody closes does not delay the end.
    """

    def __init__(self, config: EngineConfig | None) -> None:
        self.pid = os.getpid()
        self._ready: Future[tuple[anyio.from_thread.BlockingPortal, ExecutionEngine]] = Future()
        self._thread = threading.Thread(
            target=anyio.run, args=(self._main, config), name="interpreter-tools", daemon=True
        )
        self._thread.start()
        self.portal, self.engine = self._ready.result()
        atexit.register(self.close)

    async def _main(self, config: EngineConfig | None) -> None:
        try:
            async with ExecutionEngine(config) as engine, anyio.from_thread.BlockingPortal() as portal:
                self._ready.set_result((portal, engine))
                await portal.sleep_until_stopped()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)  # raised where __init__ waits for the start

    def wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call a coroutine function and return its result; an interrupt of the waiting thread cancels the call."""
        future = self.portal.start_task_soon(call)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel all calls, close the engine, and wait for the end of the thread."""
        atexit.unregister(self.close)
        if self._thread.is_alive() and self.pid == os.getpid():
            self.portal.start_task_soon(self.portal.stop, True)
            self._thread.join()
