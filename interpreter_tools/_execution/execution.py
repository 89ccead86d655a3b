"""One run as an async iterator over its output."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

from interpreter_tools._container.file_list import FileList
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._exceptions import (
    ContainerBusy,
    ContainerLost,
    ExecutionClosed,
    InterpreterToolsError,
    StoreFailed,
)
from interpreter_tools._execution.installing import InstallWait
from interpreter_tools._execution.outcome import not_run, ran, refusal
from interpreter_tools._execution.output import OutputBuffer
from interpreter_tools._execution.stdin import Stdin
from interpreter_tools._protocol import Credit, Event, Exited, Files, Output, Refused
from interpreter_tools._protocol.constants import Flag, Why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._config.results import DependencyStream, ExecutionResult, OutputChunk
    from interpreter_tools._execution.installing import Join
    from interpreter_tools._execution.lease import Lease
    from interpreter_tools._languages import Job

_HIGH = 256 * 1024  # bytes of output that may wait for their consumer before the program has to
_LOW = _HIGH // 2
_HIGH_AFTER_END = 4 * 1024 * 1024  # more than the pipes and sockets on the way can hold of a program that is dead
_BACKSTOP = 5.0  # seconds beyond the time limit after which a silent supervisor is given up
_BACKSTOP_AGAIN = 2.0  # and once more, for a client that was itself stopped meanwhile


class _State(Enum):
    NEW = auto()
    STARTING = auto()
    INSTALLING = auto()
    RUNNING = auto()
    ENDED = auto()


class Execution:
    """A run: ``async with`` starts it, ``async for`` yields its output as it comes, ``result`` tells how it went.

    A consumer that is slow makes the program wait; output that nobody takes is dropped by ``result``, which still holds
    it as text unless it was not to be captured. Leaving the ``async with`` kills a run that has not ended.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[tuple[Job, Lease] | str]],
        *,
        stdin: bytes | None,
        capture: bool,
        join: Join | None = None,
    ) -> None:
        self._begin = begin
        self._join = join
        self._wait = self._waiting(join)
        self._initial_stdin = stdin
        self._state = _State.NEW
        self._output = OutputBuffer(capture=capture)
        self._high = _HIGH
        self._job: Job | None = None
        self._lease: Lease | None = None
        self._stdin: Stdin | None = None
        self._exited: Exited | None = None
        self._files = FileList()
        self._session_generated: tuple[str, ...] = ()
        self._error: InterpreterToolsError | None = None
        self._result: ExecutionResult | None = None
        self._consumer: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._backstop: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Execution {self._state.name.lower()}>"

    @classmethod
    def later(cls, make: Callable[[], Awaitable[Execution]], *, stdin: bytes | None, capture: bool) -> Self:
        """One that is asked of the engine only when it starts, for callers whose engine starts with it."""

        async def begin() -> tuple[Job, Lease] | str:
            made = await make()
            execution._begin = made._begin  # noqa: SLF001 - it is one of us
            execution._wait = execution._waiting(made._join)  # noqa: SLF001
            return await execution._begin()

        execution = cls(begin, stdin=stdin, capture=capture)
        return execution

    def _waiting(self, join: Join | None) -> InstallWait | None:
        if join is None:
            return None
        return InstallWait(join, wrote=self._installer_wrote, ended=self._installed)

    # -- life

    async def __aenter__(self) -> Self:
        if self._state is not _State.NEW:
            raise ExecutionClosed("an execution is started once")
        self._state = _State.STARTING
        try:
            begun = await self._begin()
        except BaseException:
            self._state = _State.ENDED
            self._error = ExecutionClosed("the execution did not start")
            raise
        try:
            self._proceed(begun)
        except BaseException as error:
            known = isinstance(error, InterpreterToolsError)
            self._finish(error if known else ExecutionClosed("the execution did not start"))
            raise
        return self

    def _proceed(self, begun: tuple[Job, Lease] | str) -> None:
        """Starts the program, or first what has to be installed for it."""
        if isinstance(begun, str):
            self._install(begun)
            return
        self._job, self._lease = begun
        self._lease.channel.listen(self)
        self._start(*begun)

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Kills the run if it has not ended; its container is discarded. Does nothing the second time."""
        if self._state is not _State.ENDED:
            self._finish(ExecutionClosed("the execution was left before it ended"))
        self._output.drop()

    def _start(self, job: Job, lease: Lease) -> None:
        channel, connection = lease.channel, lease.channel.connection
        flags = Flag(0)
        if self._initial_stdin is None or self._initial_stdin:
            flags |= Flag.STDIN
        if job.booted:
            flags |= Flag.BOOTED
        if lease.last:
            flags |= Flag.LAST
        puts = [connection.need(job.need.key, link=job.need.link, path=job.need.path)] if job.need else []
        puts += [connection.put(path, data, uid=lease.uid) for path, data in job.files.items()]
        started = connection.start(
            job.argv,
            job.environment,
            uid=lease.uid,
            flags=flags,
            timeout_ms=0 if job.timeout is None else max(1, round(job.timeout * 1000)),
            output_limit=job.output_limit or 0,
            reset=lease.plan_reset(),
            directory=job.directory,
        )
        channel.send(b"".join((*puts, started)))
        self._state = _State.RUNNING
        if self._stdin is None:
            self._stdin = Stdin(channel, self._initial_stdin, keep=job.need is not None)
            self._stdin.pump()
        else:
            self._stdin.restart()
        if self._wait is not None:
            self._wait.over()
        if job.timeout is not None:
            self._arm(job.timeout + _BACKSTOP, last=False)

    @property
    def ports(self) -> Mapping[int, int]:
        """Where the ports of ``ContainerConfig.ports`` are reachable on loopback, once the run has started."""
        return {} if self._lease is None else self._lease.ports

    # -- what the channel says

    def receive(self, event: Event) -> None:
        """Takes the next event of the run."""
        if isinstance(event, Output):
            self._output.feed(event.stream, event.data)
            if self._output.waiting > self._high and self._lease is not None:
                self._lease.channel.pause()
            self._wake_consumer()
        elif isinstance(event, Credit):
            if self._stdin is not None:
                self._stdin.credited()
        elif isinstance(event, Files):
            self._files.add(event)
        elif isinstance(event, Exited):
            self._exited = event
            self._output.finish()
            assert self._lease is not None
            self._session_generated = self._lease.ended(self._files.names())
            self._finish(None, LeaseEnd.UNCLEAN if event.unclean else LeaseEnd.CLEAN)
        else:
            assert isinstance(event, Refused), event
            if event.why is Why.NEED:
                self._install(event.subject.decode())
            else:
                assert self._job is not None
                assert self._lease is not None
                error = refusal(event, program=self._job.argv[0], image=self._lease.image)
                self._finish(error, LeaseEnd.UNUSED)

    # -- what is installed first

    def _install(self, key: str) -> None:
        """The run waits for packages. What it was told so far, the supervisor has dropped."""
        self._state = _State.INSTALLING
        if self._backstop is not None:
            self._backstop.cancel()
        if self._wait is None or not self._wait.begin(key):
            self._finish(StoreFailed("packages were installed, but are not in the dependency store"))

    def _installer_wrote(self, stream: DependencyStream, data: bytes) -> None:
        self._output.feed(stream, data)
        self._wake_consumer()

    def _installed(self, error: InterpreterToolsError | None) -> None:
        """The packages are there, or the run ends without them."""
        self._output.finish()
        assert self._wait is not None
        if error is not None or self._wait.failure is not None:
            self._finish(error)
        elif self._job is not None and self._lease is not None:
            self._attempt((self._job, self._lease))
        else:
            self._wait.spawn(self._begin_again())

    async def _begin_again(self) -> None:
        try:
            begun = await self._begin()
        except InterpreterToolsError as error:
            self._finish(error)
            return
        self._attempt(begun)

    def _attempt(self, begun: tuple[Job, Lease] | str) -> None:
        try:
            if self._lease is None:
                self._proceed(begun)
            elif not isinstance(begun, str):
                self._start(*begun)
        except InterpreterToolsError as error:
            self._finish(error)

    def lost(self, error: InterpreterToolsError) -> None:
        """The container went away."""
        self._finish(error)

    def _finish(self, error: InterpreterToolsError | None, end: LeaseEnd | None = None) -> None:
        """End the run: release the container and wake all waiters. Does nothing the second time.

        Args:
            error: what the caller is told instead of a result.
            end: how the container was used; None means that the supervisor did not say.
        """
        if self._state is _State.ENDED:
            return
        end = end or (LeaseEnd.LEFT if self._state is _State.RUNNING else LeaseEnd.UNUSED)
        self._state = _State.ENDED
        self._error = error
        if self._backstop is not None:
            self._backstop.cancel()
        if self._stdin is not None:
            self._stdin.abandon()
        if self._wait is not None:
            self._wait.leave()
        for waiter in self._waiters:  # they go on before the container is given back, which takes the loop a while
            if not waiter.done():
                waiter.set_result(None)
        self._wake_consumer()
        if self._lease is not None:
            self._lease.channel.quit(self)
            self._lease.release(end)

    def _arm(self, delay: float, *, last: bool) -> None:
        self._backstop = asyncio.get_running_loop().call_later(delay, self._backstop_due, last)

    def _backstop_due(self, last: bool) -> None:
        assert self._lease is not None
        if self._lease.channel.paused and self._high == _HIGH:
            # We made it wait ourselves. The program is dead by now, and the little that it has left must not keep those
            # from its end who wait for something else: room on its stdin, perhaps.
            self._high = _HIGH_AFTER_END
            self._lease.channel.resume()
            self._arm(_BACKSTOP, last=False)
        elif not last:
            self._arm(_BACKSTOP_AGAIN, last=True)
        else:
            self._finish(ContainerLost("the container did not answer within its time limit: is it paused?"))

    # -- what the caller asks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        while True:
            chunk = self._output.pop()
            if chunk is not None:
                if self._output.waiting < _LOW and self._lease is not None and self._state is _State.RUNNING:
                    self._lease.channel.resume()
                return chunk
            if self._state is _State.NEW:
                raise ExecutionClosed(
                    "start the execution first", hint="use `async with engine.stream(...) as execution`"
                )
            if self._state is _State.ENDED:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            if self._consumer is not None:
                raise ContainerBusy("two tasks take the output of one execution")
            self._consumer = asyncio.get_running_loop().create_future()
            try:
                await self._consumer
            finally:
                self._consumer = None

    def _wake_consumer(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    async def result(self) -> ExecutionResult:
        """Waits for the end and tells how it went; chunks that nobody took are dropped.

        Raises:
            ContainerLost: the container went away, so there is no result.
            ExecutionClosed: the execution was never started, or left before it ended.
            InterpreterMissing: the image does not hold the program.
            FileRefused: a file could not be written into the workspace.
        """
        if self._state is _State.NEW:
            raise ExecutionClosed("start the execution first", hint="use `async with engine.stream(...) as execution`")
        if self._state is not _State.ENDED:
            self._output.drop()
            if self._lease is not None:
                self._lease.channel.resume()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        if self._error is not None:
            raise self._error
        if self._result is None:
            self._result = self._build()
        return self._result

    def _build(self) -> ExecutionResult:
        seconds = 0.0 if self._wait is None else self._wait.seconds
        if self._exited is not None:
            return ran(self._exited, self._output, self._files, self._session_generated, dependency_time=seconds)
        assert self._wait is not None
        assert self._wait.failure is not None
        return not_run(self._wait.failure, self._output, dependency_time=seconds)

    async def send_stdin(self, data: bytes) -> None:
        """Sends bytes to the program; returns when they are on their way, which may wait for the program to read.

        Raises:
            ExecutionClosed: stdin was given by value, was closed, or the program has ended.
        """
        await self._until_started()
        await self._open_stdin().send(data)

    async def close_stdin(self) -> None:
        """Ends the program's stdin, after what was sent. Does nothing the second time."""
        await self._until_started()
        if self._state is _State.RUNNING:
            self._open_stdin().close()

    async def _until_started(self) -> None:
        while self._state is _State.INSTALLING and self._wait is not None:
            await self._wait.until_over()

    def _open_stdin(self) -> Stdin:
        if self._stdin is None:
            raise ExecutionClosed("the execution has not started")
        return self._stdin

    async def kill(self) -> None:
        """Kills the program and everything it started; the outcome becomes ``killed``. Does nothing after the end."""
        if self._state is _State.INSTALLING and self._wait is not None:
            self._wait.kill()
            self._finish(None)
        elif self._state is _State.RUNNING and self._lease is not None:
            self._lease.channel.send(self._lease.channel.connection.kill())
