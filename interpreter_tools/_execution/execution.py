"""One run as an async iterator over its output."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

import anyio

from interpreter_tools._container.file_list import FileList
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._container.telling import Telling
from interpreter_tools._deadline import AwakeTimer
from interpreter_tools._exceptions import (
    ContainerLost,
    ExecutionClosed,
    InterpreterToolsError,
    StoreFailed,
)
from interpreter_tools._execution.installing import KILLED, InstallWait
from interpreter_tools._execution.outcome import Findings, refusal
from interpreter_tools._execution.output import Callers
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._execution.stdin import Stdin
from interpreter_tools._languages.compilation import TOGETHER
from interpreter_tools._protocol import Credit, Event, Exited, Files, Message, Output, Refused, Start, Told
from interpreter_tools._protocol.constants import Ended, Flag, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpreter_tools._config.patterns import Pattern
    from interpreter_tools._config.results import DependencyStream, ExecutionResult, OutputChunk, Stream
    from interpreter_tools._execution.calls import ToolCalls
    from interpreter_tools._execution.installing import Installed
    from interpreter_tools._execution.lease import Lease
    from interpreter_tools._execution.placement import Placement
    from interpreter_tools._languages import Compilation, Job

_HIGH = 256 * 1024  # bytes of output that may wait for their consumer before the program has to
_LOW = _HIGH // 2
_HIGH_AFTER_END = 4 * 1024 * 1024  # more than pipes and sockets of one machine can hold of a program that is dead
_MOST_AFTER_END = 64 * 1024 * 1024  # more than the buffers on the way to a remote engine can hold
_COMPILER: dict[str, Stream] = {"stdout": "compile_stdout", "stderr": "compile_stderr"}
# Seconds beyond the time limit after which a silent supervisor is given up. At a load of 30 on two cores the end of a
# fork bomb took 8. A paused container is found sooner, by Runtime._watch.
_BACKSTOP = 30.0


class _State(Enum):
    NEW = auto()
    STARTING = auto()
    INSTALLING = auto()
    COMPILING = auto()
    RUNNING = auto()
    COLLECTING = auto()
    ENDED = auto()


_NEXT = {
    _State.NEW: {_State.STARTING, _State.ENDED},
    _State.STARTING: {_State.INSTALLING, _State.COMPILING, _State.RUNNING, _State.ENDED},
    _State.INSTALLING: {_State.INSTALLING, _State.COMPILING, _State.RUNNING, _State.ENDED},
    _State.COMPILING: {_State.INSTALLING, _State.RUNNING, _State.ENDED},
    _State.RUNNING: {_State.INSTALLING, _State.COLLECTING, _State.ENDED},
    _State.COLLECTING: {_State.ENDED},
    _State.ENDED: frozenset[_State](),
}


@dataclass(frozen=True, slots=True)
class _Hearing:
    """A run as the listener of its channel: these functions are called by the channel, and by nobody else."""

    receive: Callable[[Event], None]
    lost: Callable[[InterpreterToolsError], None]


class Execution:
    """A run: ``async with`` starts it, ``async for`` yields its output as it comes, ``result`` returns the result.

    A slow consumer makes the program wait. ``result`` drops the chunks that nobody took; the result still holds the
    output as text, unless ``capture`` is False. Leaving the ``async with`` kills a run that has not ended, and so does
    cancelling the task in it. An execution belongs to the event loop of its engine; one task at a time iterates over
    it.

    Attributes:
        placement: finds a container for the run.
    """

    def __init__(
        self,
        placement: Placement,
        *,
        stdin: bytes | None,
        capture: bool,
        collect: Sequence[Pattern] = (),
        calls: ToolCalls | None = None,
    ) -> None:
        self.placement = placement
        self._wait: InstallWait | None = None
        self._starting: anyio.CancelScope | None = None
        self._initial_stdin = stdin
        self._state = _State.NEW
        self._found = Findings(capture=capture, collect=collect)
        self._calls = calls
        if calls is not None:
            self._found.tool_calls = calls.calls
        self._high = _HIGH
        self._placed: Placed | None = None
        self._lease: Lease | None = None
        self._stdin: Stdin | None = None
        self._started = asyncio.Event()  # the program, or it never will
        self._collecting: asyncio.Task[InterpreterToolsError | None] | None = None
        self._hearing: _Hearing | None = None  # while it has a container
        self._error: InterpreterToolsError | None = None
        self._result: ExecutionResult | None = None
        self._callers = Callers("execution")
        self._backstop: AwakeTimer | None = None

    def __repr__(self) -> str:
        return f"<Execution {self._state.name.lower()}>"

    # -- life

    async def __aenter__(self) -> Self:
        if self._state is not _State.NEW:
            raise ExecutionClosed("an execution is started once", hint="make another with engine.stream(...)")
        self._change(_State.STARTING)
        try:
            await self._place()
        except BaseException as error:
            known = isinstance(error, InterpreterToolsError)
            self._finish(error if known else ExecutionClosed("the execution did not start"))
            raise
        if self._error is not None:
            raise self._error  # it was left by another task while it started
        return self

    def _change(self, state: _State) -> None:
        """Change the state, and end the time limit of the state before."""
        assert state in _NEXT[self._state], f"a run that is {self._state.name} cannot become {state.name}"
        self._state = state
        if self._backstop is not None:
            self._backstop.cancel()
            self._backstop = None

    async def _place(self) -> None:
        """Start the program in a container, or first what has to be installed for it."""
        with anyio.CancelScope() as scope:
            self._starting = scope
            try:
                placed = await self.placement.acquire(self._lost)
            finally:
                self._starting = None
            if self._state is _State.ENDED:
                if isinstance(placed, Placed):
                    placed.lease.release(LeaseEnd.UNUSED)
            elif isinstance(placed, Missing):
                self._install(placed)
            else:
                self._placed, self._lease = placed, placed.lease
                self._found.isolation = placed.lease.isolation
                self._hearing = _Hearing(self._receive, self._lost)
                self._lease.channel.listen(self._hearing)
                self._start(placed.job, placed.lease)

    async def _place_again(self) -> None:
        """Start the program once its packages are installed, in a task of its own."""
        try:
            await self._place()
        except InterpreterToolsError as error:
            self._finish(error)
        except BaseException:
            self._finish(ExecutionClosed("the execution did not start"))
            raise

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Kill the run if it has not ended, and drop its output. Does nothing the second time.

        The container is cleaned up in the background. Without tools the call does not wait, so it cannot be cancelled
        halfway. With tools it waits for functions that are under way, which were cancelled: at most five seconds.
        """
        if self._state is not _State.ENDED:
            self._finish(ExecutionClosed("the execution was left before it ended"))
        self._found.output.drop()
        if self._calls is not None:
            await self._calls.aclose()

    def _start(self, job: Job, lease: Lease) -> None:
        connection = lease.channel.connection
        puts = [connection.need(job.need.key, link=job.need.link, path=job.need.path)] if job.need else []
        puts += [connection.put_for_run(path, data, uid=lease.uid) for path, data in job.files.items()]
        if job.code is not None:
            puts.append(connection.put_for_run(job.code_path, job.code, uid=lease.uid, is_code=True))
        compilation = job.compilation
        if compilation is None or (lease.uid, compilation.key) in lease.channel.compiled:
            self._start_program(job, lease, puts)
        else:
            self._start_compiler(job, compilation, lease, puts)

    def _start_compiler(self, job: Job, compilation: Compilation, lease: Lease, puts: list[bytes]) -> None:
        """Have the program compiled, by a run of its own in the same container, which reads nothing."""
        start = Start(
            compilation.argv,
            compilation.environment,
            uid=lease.uid,
            flags=Flag.MERGED if job.merge_output else Flag(0),
            timeout_ms=max(1, round(compilation.timeout * 1000)),
            output_limit=job.output_limit or 0,
            directory=job.directory,
        )
        lease.channel.send(b"".join((*puts, lease.channel.connection.start(start))))
        self._found.compile_timeout = compilation.timeout
        self._change(_State.COMPILING)
        self._arm(compilation.timeout + _BACKSTOP)

    def _start_program(self, job: Job, lease: Lease, puts: list[bytes]) -> None:
        channel, connection = lease.channel, lease.channel.connection
        flags = Flag(0)
        if self._initial_stdin is None or self._initial_stdin:
            flags |= Flag.STDIN
        if job.booted:
            flags |= Flag.BOOTED
        if lease.last:
            flags |= Flag.LAST
        if job.merge_output:
            flags |= Flag.MERGED
        if self._placed is not None and self._placed.lists:
            flags |= Flag.LIST
            self._found.files.tells_unchanged = True
        start = Start(
            job.argv,
            job.environment,
            uid=lease.uid,
            flags=flags,
            timeout_ms=0 if job.timeout is None else max(1, round(job.timeout * 1000)),
            output_limit=job.output_limit or 0,
            reset=None if self._found.collected.is_asked else lease.plan_reset(),
            directory=job.directory,
        )
        channel.send(b"".join((*puts, connection.start(start))))
        self._change(_State.RUNNING)
        if self._stdin is None:
            self._stdin = Stdin(channel, self._initial_stdin, keep=job.need is not None)
            self._stdin.pump()
        else:
            self._stdin.restart(channel)
        if self._calls is not None:
            self._calls.begin(Telling(channel))
        if self._wait is not None:
            self._wait.over()
        self._started.set()
        if job.timeout is not None:
            self._arm(job.timeout + _BACKSTOP)

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each port of the container; empty before the run starts."""
        return {} if self._placed is None else self._placed.lease.ports

    # -- what the channel says

    def _receive(self, event: Event) -> None:
        """Handle the next event of the run."""
        if isinstance(event, Output):
            compiling = self._state is _State.COMPILING
            self._found.output.feed(_COMPILER[event.stream] if compiling else event.stream, event.data)
            self._after_output()
        elif isinstance(event, Message):
            self._take_message(event)
        elif isinstance(event, (Credit, Told)):
            self._take_room(event)
        elif self._state is _State.COMPILING and isinstance(event, (Files, Exited)):
            if isinstance(event, Exited):
                self._end_compiler(event)
        elif isinstance(event, Files):
            self._found.files.add(event)
        elif isinstance(event, Exited):
            self._found.exited = event
            self._found.output.finish()
            assert self._lease is not None
            self._found.session_files = self._lease.ended(self._found.files)
            self._collect(self._lease, LeaseEnd.UNCLEAN if event.unclean else LeaseEnd.CLEAN)
        else:
            assert isinstance(event, Refused), event
            self._take_refusal(event)

    def _take_refusal(self, refused: Refused) -> None:
        """Install the packages that are missing, or end the run: its program was not started."""
        assert self._placed is not None
        job, lease = self._placed.job, self._placed.lease
        if refused.why is Why.NEED and self._placed.missing is not None:
            self._return_lease(LeaseEnd.UNUSED)  # other runs may use the container while packages are installed
            self._install(self._placed.missing)
            return
        compilation, compiling = job.compilation, self._state is _State.COMPILING
        if compilation is not None and not compiling:
            lease.channel.compiled.discard((lease.uid, compilation.key))  # so that the next run compiles it again
        if self._found.compiled is None:
            argv = compilation.argv if compiling and compilation is not None else job.argv
            self._finish(refusal(refused, program=argv[0], image=lease.image), LeaseEnd.UNUSED)
        elif refused.why is Why.PROGRAM:  # a library, for one
            self._found.no_program = refused
            lease.ended(FileList())
            self._finish(None, LeaseEnd.CLEAN)
        else:
            self._finish(refusal(refused, program=job.argv[0], image=lease.image), LeaseEnd.CLEAN)

    def _collect(self, lease: Lease, end: LeaseEnd) -> None:
        """End a run whose program has ended, once the files that were asked for are read."""
        paths = self._found.collected.wanted(self._found.files)
        if not paths:
            self._finish(None, end)
            return
        self._change(_State.COLLECTING)
        self._quit(lease)
        lease.channel.resume()
        self._collecting = asyncio.create_task(self._read_files(lease, paths))
        # not in a `finally` of the task: a task that is cancelled before its first step never enters its function
        self._collecting.add_done_callback(functools.partial(self._files_read, end))

    async def _read_files(self, lease: Lease, paths: Sequence[bytes]) -> InterpreterToolsError | None:
        """Read the files that were asked for; return the error that ended the reading."""
        try:
            await self._found.collected.read(lease.channel, paths, uid=lease.uid)
        except InterpreterToolsError as error:
            return error
        return None

    def _files_read(self, end: LeaseEnd, task: asyncio.Task[InterpreterToolsError | None]) -> None:
        """End the run, or give the container back where the caller has left meanwhile."""
        self._collecting = None
        error: InterpreterToolsError | None = ExecutionClosed("the files of the run could not be read")
        try:
            if not task.cancelled():
                error = task.result()
        finally:
            if self._state is _State.ENDED:
                self._return_lease(end)
            else:
                self._finish(error, end)

    def _end_compiler(self, exited: Exited) -> None:
        """Start the program that was compiled; end the run where it was not."""
        assert self._placed is not None
        job, lease = self._placed.job, self._placed.lease
        assert job.compilation is not None
        self._found.output.finish()
        self._found.compiled = exited
        if exited.exit_code in {0, TOGETHER} and exited.ended is Ended.EXITED and not exited.unclean:
            if job.compilation.key and exited.exit_code != TOGETHER:
                lease.channel.compiled.add((lease.uid, job.compilation.key))
            self._start_program(job, lease, [])
        else:
            lease.ended(FileList())
            self._finish(None, LeaseEnd.UNCLEAN if exited.unclean else LeaseEnd.CLEAN)

    def _take_message(self, message: Message) -> None:
        if self._calls is not None and self._calls.takes(message.data):
            self._calls.feed(message.connection, message.data)
            if message.data:
                return
        result = self._found.displays.feed(message.connection, message.data)
        if result is not None:
            self._found.output.show(result)
            self._after_output()

    def _take_room(self, event: Credit | Told) -> None:
        """Send on what waited for room: on stdin, or for the program's calls."""
        if isinstance(event, Told):
            if self._calls is not None:
                self._calls.wake()
        elif self._stdin is not None:
            self._stdin.credited()

    def _after_output(self) -> None:
        if self._found.output.waiting > self._high and self._lease is not None:
            self._lease.channel.pause()
        self._callers.wake_consumer()

    # -- what is installed first

    def _install(self, missing: Missing) -> None:
        """Wait for packages; the run has no container meanwhile."""
        self._change(_State.INSTALLING)
        if self._wait is None:
            self._wait = InstallWait(wrote=self._installer_wrote, ended=self._installed)
        if not self._wait.begin(missing.join):
            self._finish(StoreFailed("packages were installed, but are not in the dependency store"))

    def _installer_wrote(self, stream: DependencyStream, data: bytes) -> None:
        self._found.output.feed(stream, data)
        self._callers.wake_consumer()

    def _installed(self, ended: Installed | InterpreterToolsError) -> None:
        """Go on once the packages are there, or end the run without them."""
        self._found.output.finish()
        assert self._wait is not None
        if isinstance(ended, InterpreterToolsError):
            self._finish(ended)
        elif ended.exit_code:
            self._found.failure = ended
            self._finish(None)
        else:
            self._wait.spawn(self._place_again())

    def _lost(self, error: InterpreterToolsError) -> None:
        """End the run with an error: its container went away, or its session ends."""
        self._finish(error)

    def _finish(self, error: InterpreterToolsError | None, end: LeaseEnd | None = None) -> None:
        """End the run: release the container and wake all waiters. Does nothing the second time.

        Args:
            error: the error that the caller gets instead of a result.
            end: how the container was used; None means that the supervisor did not say.
        """
        if self._state is _State.ENDED:
            return
        used = self._state in {_State.COMPILING, _State.RUNNING}
        end = end or (LeaseEnd.LEFT if used else LeaseEnd.UNUSED)
        self._change(_State.ENDED)
        self._error = error
        if self._calls is not None:
            self._calls.cancel()
        self._started.set()
        if self._stdin is not None:
            self._stdin.abandon()
        if self._wait is not None:
            self._wait.leave()
        self._callers.wake_all()  # they go on before the container is given back, which takes the loop a while
        if self._starting is not None:
            self._starting.cancel()
        try:
            if self._collecting is None:
                self._return_lease(end)
            else:
                self._collecting.cancel()  # it returns the lease, once what was asked of the container is answered
        finally:
            self.placement.leave()

    def _return_lease(self, end: LeaseEnd) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            self._quit(lease)
            lease.release(end)

    def _quit(self, lease: Lease) -> None:
        """Listen to the container no longer."""
        if self._hearing is not None:
            lease.channel.quit(self._hearing)
            self._hearing = None

    def _arm(self, delay: float) -> None:
        self._backstop = AwakeTimer(delay, self._backstop_due)

    def _backstop_due(self) -> None:
        assert self._lease is not None
        if self._lease.channel.paused and self._high < _MOST_AFTER_END:
            # This client made the container wait. The program is dead by now. Its unread output must not delay the
            # callers that wait for something else, such as room on stdin. The buffers on the way to a remote engine
            # hold more output than the kernel of one machine does.
            self._high += _HIGH_AFTER_END
            self._lease.channel.resume()
            self._arm(_BACKSTOP)
        else:
            self._finish(ContainerLost("the container did not answer within its time limit: is it paused?"))

    # -- what the caller asks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        while True:
            chunk = self._found.output.pop()
            if chunk is not None:
                if self._found.output.waiting < _LOW and self._lease is not None and self._state is not _State.ENDED:
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
            await self._callers.output()

    async def result(self) -> ExecutionResult:
        """Wait for the end of the run and return its result. Chunks that nobody took are dropped.

        If ``result`` is cancelled, only the waiting ends: leaving the ``async with`` kills the run.

        Returns:
            The same result each time; code that fails, is killed or reaches a limit gives a result as well.

        Raises:
            ContainerLost: the container went away, so there is no result.
            ExecutionClosed: the execution was never started, or was left before it ended.
            EngineClosed, SessionClosed: the engine or session was closed before the run ended.
            InterpreterMissing: the image does not hold the program.
            FileRefused: a file could not be written into the workspace.
        """
        if self._state is _State.NEW:
            raise ExecutionClosed("start the execution first", hint="use `async with engine.stream(...) as execution`")
        if self._state is not _State.ENDED:
            self._found.output.drop()
            if self._lease is not None:
                self._lease.channel.resume()
            await self._callers.end()
        if self._error is not None:
            raise self._error
        if self._result is None and self._calls is not None:
            await self._calls.aclose()
        if self._result is None:
            if self._wait is not None:
                self._found.dependency_time = self._wait.seconds
            result, prepared = self._found.result(), self.placement.prepared
            self._result = result if prepared is None else prepared.tell(result)
        return self._result

    async def send_stdin(self, data: bytes) -> None:
        """Send bytes to the program; return once they are on their way, which may wait for the program to read.

        If ``send_stdin`` is cancelled, the bytes are sent all the same.

        Args:
            data: the bytes; later bytes never overtake earlier ones.

        Raises:
            ExecutionClosed: stdin was given by value, was closed, or the program has ended.
        """
        await self._until_started()
        await self._open_stdin().send(data)

    async def close_stdin(self) -> None:
        """End the program's stdin, after the bytes that were sent. Does nothing the second time.

        If ``close_stdin`` is cancelled while packages are installed, stdin stays open.
        """
        await self._until_started()
        if self._state is _State.RUNNING:
            self._open_stdin().close()

    async def _until_started(self) -> None:
        if self._state is not _State.NEW:
            await self._started.wait()

    def _open_stdin(self) -> Stdin:
        if self._stdin is None:
            raise ExecutionClosed("the execution has not started")
        return self._stdin

    async def kill(self) -> None:
        """Kill the program and everything it started; the outcome becomes ``killed``. Does nothing after the end.

        A run that is starting, or that waits for packages, ends at once: its program does not begin. The call does not
        wait, so it cannot be cancelled halfway; ``result`` waits for the end.
        """
        if self._state in {_State.COMPILING, _State.RUNNING} and self._lease is not None:
            self._lease.channel.send(self._lease.channel.connection.kill())
        elif self._state in {_State.STARTING, _State.INSTALLING}:
            self._found.failure = KILLED
            self._finish(None)
