"""One cell as an async iterator over its output, as ``Execution`` is for a run."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Self, cast

import msgspec

from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._config.results import ClearChunk, ExecutionResult, InputChunk
from interpreter_tools._context import words
from interpreter_tools._context.input import InputLines
from interpreter_tools._context.place import Packages
from interpreter_tools._deadline import AwakeTimer
from interpreter_tools._exceptions import ExecutionClosed
from interpreter_tools._execution.displays import Displays
from interpreter_tools._execution.output import Callers, OutputBuffer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._config.display import DisplayResult
    from interpreter_tools._config.host_tools import HostTool, ToolCall
    from interpreter_tools._config.results import Outcome, OutputChunk, Stream
    from interpreter_tools._context.interpreter import Interpreter
    from interpreter_tools._exceptions import ContextDied, InterpreterToolsError

_HIGH = 256 * 1024  # bytes of output that may wait for their consumer before the program has to
_LOW = _HIGH // 2
_HIGH_AT_END = 64 * 1024 * 1024  # for the output of a cell that is being stopped: nobody may hold its end up
_MOST_PROMPT = 64 * 1024  # characters of the prompt of one line
_PATIENCE = 1.0  # seconds that an interrupted cell may take to end before its process is killed
_PATIENCE_AT_MOST = 10.0  # the same, with the time in which it waited for a processor, on a busy host
_NOT_WAITED = 0.1  # seconds of waiting for a processor that do not count: they are there on every host
_URGED = 0.02  # seconds after which SIGURG follows an interrupt that has not ended its cell; each next wait is doubled
_REPEATED = 0.1  # seconds after which an interrupt that the runner has not taken is sent again; the same
_URGED_AT_MOST = 1.0
_NO_PACKAGES = Packages()
_EXIT_CODES = {"ok": 0, "error": 1, "interrupted": 130}


class _State(Enum):
    NEW = auto()
    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()


_NEXT = {
    _State.NEW: {_State.WAITING, _State.ENDED},
    _State.WAITING: {_State.RUNNING, _State.ENDED},
    _State.RUNNING: {_State.ENDED},
    _State.ENDED: frozenset[_State](),
}


@dataclass(frozen=True, slots=True)
class _Hearing:
    """A cell as the task of its process: these functions are called by the process, and by nobody else."""

    output: Callable[[str, bytes], None]
    display: Callable[[int, bytes], None]
    said: Callable[[words.Said], None]
    ended: Callable[[ContextDied | InterpreterToolsError], None]
    closing: Callable[[], None]


_NOTHING_SAID = words.Done(0)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The end of a cell.

    Attributes:
        said: the last words of the runner, where it lived to say them.
    """

    outcome: Outcome
    exit_code: int
    execution_time: float
    signal: int | None = None
    peak_memory: int = 0
    oom_kills: int = 0
    said: words.Done = _NOTHING_SAID


class Cell:
    """A cell: ``async with`` runs it, ``async for`` yields its output as it comes, ``result`` returns the result.

    It is made by ``Context.stream``, and belongs to the event loop of its engine. It begins when the cells before it
    have ended. A slow consumer makes the program wait. Leaving the ``async with`` interrupts a cell that has not ended,
    and so does cancelling the task in it; the context keeps its variables, unless the cell does not end within a
    second: then its process is killed.

    Args:
        code: the code.
        begin: waits for the turn in the context; returns the process that runs the cell, and notes for the result;
            None when the packages of the cell could not be installed.
        over: gives the turn back, and notes the files that the cell has changed; returns those of the session.
        timeout: seconds; None means no limit.
        output_limit: bytes of stdout and stderr together; None means no limit.
        stdin: the text that ``input()`` reads; None leaves it open for ``send_stdin``.
        capture: True keeps the output for the result.
        tools: functions of the host that the cell may call, by name.
        how: how the runner runs it, beside that: ``notebook``, ``silent``, ``history``.

    Attributes:
        code: the code.
        outcome: how it ended; None until then, or where the container went away.
        packages: the packages that were installed for the cell; None when none were looked for.
        found: variables by which the process finds packages that came after its start.
    """

    def __init__(
        self,
        code: str,
        *,
        begin: Callable[[Cell], Awaitable[tuple[Interpreter, tuple[str, ...]] | None]],
        over: Callable[[tuple[str, ...]], tuple[str, ...]],
        timeout: float | None,
        output_limit: int | None,
        stdin: bytes | None,
        capture: bool,
        tools: Mapping[str, HostTool],
        how: Mapping[str, bool],
    ) -> None:
        self.outcome: Outcome | None = None
        self._how = how
        self.code = code
        self.packages: Packages | None = None
        self.found: Mapping[str, str] = {}
        self._begin = begin
        self._over = over
        self._timeout = timeout
        self._output_limit = output_limit
        self._tools = tools
        self._calls: list[ToolCall] = []
        self._input = InputLines(stdin)
        self._output = OutputBuffer(capture=capture)
        self._displays = Displays()
        self._high = _HIGH
        self._state = _State.NEW
        self._interpreter: Interpreter | None = None
        self._number = 0
        self._heard = False  # the runner has said that the cell began
        self._interrupts = False  # an interrupt waits for the cell to begin
        self._follows: signal.Signals | None = None  # what the runner wants to follow an interrupt
        self._urging: asyncio.TimerHandle | None = None
        self._written = 0
        self._began = 0.0
        self._stopping: Outcome | None = None  # why the cell is being stopped
        self._stopped_at = 0.0
        self._delay: tuple[float, float] | None = None  # when the delay of the process was heard last, and what it was
        self._waited = 0.0  # seconds of waiting for a processor since the cell is being stopped
        self._decides = False  # the next delay that is heard decides whether the process is killed
        self._killed = False
        self._notes: list[str] = []
        self._timer: AwakeTimer | None = None
        self._error: InterpreterToolsError | None = None
        self._result: ExecutionResult | None = None
        self._callers = Callers("cell")

    def __repr__(self) -> str:
        return f"<Cell {self._state.name.lower()}>"

    # -- life

    async def __aenter__(self) -> Self:
        if _State.WAITING not in _NEXT[self._state]:
            raise ExecutionClosed("a cell is run once", hint="make another with context.stream(...)")
        self._change(_State.WAITING)
        try:
            begun = await self._begin(self)
        except BaseException:
            self._finish(ExecutionClosed("the cell did not begin"))
            raise
        if begun is None:
            self._result = self._made(_Ended("dependency_error", exit_code=1, execution_time=0.0))
            self._finish(None)
            return self
        interpreter, notes = begun
        self._notes.extend(notes)
        self._interpreter = interpreter
        if self._state is not _State.WAITING:  # it was left by another task meanwhile
            self._over(())
            raise self._error or ExecutionClosed("the cell was left before it began")
        self._change(_State.RUNNING)
        self._number = interpreter.number()
        interpreter.task = _Hearing(self._wrote, self._displayed, self._said, self._ended, self._closing)
        interpreter.calls.renew(self._tools)
        self._calls = interpreter.calls.calls
        self._began = time.monotonic()
        if self._timeout is not None:
            self._arm(self._timeout, self._time_is_over)
        try:
            more = {"environment": self.found} if self.found else {}
            await interpreter.tell(
                words.say("cell", cell=self._number, code=self.code, stdin=self._input.is_there, **self._how, **more)
            )
        except BaseException:
            self._leave()
            raise
        return self

    def _change(self, state: _State) -> None:
        assert state in _NEXT[self._state], f"a cell that is {self._state.name} cannot become {state.name}"
        self._state = state

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Interrupt the cell if it has not ended, and drop its output. Does nothing the second time.

        The call does not wait: the next cell of the context does.
        """
        self._leave()

    def _leave(self) -> None:
        """Interrupt the cell if it has not ended, and drop its output."""
        self._output.drop()
        if self._state in {_State.NEW, _State.WAITING}:
            self._finish(ExecutionClosed("the cell was left before it began"))
        elif self._state is _State.RUNNING:
            if self._error is None:
                self._error = ExecutionClosed("the cell was left before it ended")
            self._stop("killed")
            self._wake()

    # -- what the process says

    def _wrote(self, stream: str, data: bytes) -> None:
        """Take output of the cell; what came before it began is dropped."""
        if not self._heard:
            return
        if self._output_limit is not None:
            left = self._output_limit - self._written
            if len(data) > left:
                data = data[: max(0, left)]
                self._stop("output_limit")
        self._written += len(data)
        if data:
            self._output.feed(cast("Stream", stream), data)
            self._after_output()

    def _displayed(self, connection: int, piece: bytes) -> None:
        """Take a piece of a display."""
        self._show(self._displays.feed(connection, piece) if self._heard else None)

    def _show(self, result: DisplayResult | None) -> None:
        if result is not None:
            self._output.show(result)
            self._after_output()

    def _after_output(self) -> None:
        if self._output.waiting > self._high and self._interpreter is not None:
            self._interpreter.pause()
        self._callers.wake_consumer()

    def _said(self, said: words.Said) -> None:
        """Take what the runner says of this cell; what it says of another one is dropped."""
        if not isinstance(said, words.OfCell) or said.cell != self._number:
            return
        if isinstance(said, words.Started):
            self._heard = True
            self._follows = signal.SIGURG if said.urgent else signal.SIGINT if said.repeats else None
            if self._interrupts:
                self._send_interrupt()
        elif isinstance(said, words.Taken):
            self._taken()
        elif isinstance(said, words.Asked):
            self._asked(said)
        elif isinstance(said, words.Done):
            self._done(said)
        elif self._how.get("notebook"):
            self._output.put(ClearChunk("clear", b"", said.wait))
            self._after_output()

    def _asked(self, said: words.Asked) -> None:
        """Give the lines of input that the cell asks for."""
        self._input.ask(said.lines)
        if self._how.get("notebook") and self._input.is_open:
            if said.lines > 1:  # the runner reads ahead: nobody can tell whether a program waits
                self._input.end()
            else:
                prompt = said.prompt[:_MOST_PROMPT].encode("utf-8", "replace")
                self._output.put(InputChunk("input", prompt, said.password))
                self._after_output()
        self._answer()

    def _ended(self, died: ContextDied | InterpreterToolsError) -> None:
        """End the cell: its process has ended."""
        assert self._interpreter is not None
        exited = self._interpreter.exited
        if exited is None:
            self._end(died)
            return
        why = died.message
        if self._killed:
            why = f"its process was killed, as an interrupt did not end the cell within {self._grace()}"
        self._notes.append(f"{why}; the variables of the context are gone")
        how = _Ended(
            self._stopping or ("oom" if exited.oom_kills else "error"),
            exit_code=exited.status,
            execution_time=time.monotonic() - self._began,
            signal=exited.signal or None,
            peak_memory=exited.peak_memory,
            oom_kills=exited.oom_kills,
        )
        self._end(None, how)

    def _done(self, said: words.Done) -> None:
        assert self._interpreter is not None
        self._interpreter.maps = self._interpreter.maps or said.maps
        if said.text is not None and self._heard:
            self._show(self._displays.add_text(said.text))
        exit_code = _EXIT_CODES[said.status] if said.exit_code is None else said.exit_code
        outcome: Outcome = "ok" if said.status == "ok" and exit_code == 0 else "error"
        if self._stopping is not None:
            outcome = self._stopping
        if outcome == "timeout":
            self._notes.append(
                f"the cell was interrupted after {self._timeout:g} s; the variables of the context are kept"
            )
        how = _Ended(
            outcome,
            exit_code=exit_code if outcome == "ok" else exit_code or 1,
            execution_time=said.seconds or time.monotonic() - self._began,
            peak_memory=said.peak_kib * 1024,
            said=said,
        )
        self._end(None, how)

    def _made(self, how: _Ended, session_files: tuple[str, ...] = ()) -> ExecutionResult:
        """Return the result."""
        self._output.finish()
        installed, said = self.packages or _NO_PACKAGES, how.said
        return ExecutionResult(
            stdout=self._output.text("stdout"),
            stderr=self._output.text("stderr"),
            exit_code=how.exit_code,
            signal=how.signal,
            outcome=how.outcome,
            error=said.error,
            execution_count=said.count,
            execution_time=how.execution_time,
            cpu_time=said.cpu_us / 1e6,
            peak_memory=how.peak_memory,
            oom_kills=how.oom_kills,
            truncated=how.outcome == "output_limit" or not self._output.captures,
            workspace_dir=WORKSPACE,
            generated_files=tuple(said.files),
            generated_files_partial=said.files_partial,
            session_generated_files=session_files,
            results=tuple(self._displays.results),
            results_truncated=self._displays.truncated,
            notes=(*installed.notes, *self._notes),
            dependencies=installed.dependencies,
            dependency_time=installed.seconds,
            dependency_stdout=installed.stdout,
            dependency_stderr=installed.stderr,
            isolation=None if self._interpreter is None else self._interpreter.isolation,
        )

    def _end(self, lost: InterpreterToolsError | None, how: _Ended | None = None) -> None:
        """Give the turn back, and keep the result."""
        assert self._interpreter is not None
        self._interpreter.task = self._interpreter.delayed = None
        self._interpreter.calls.renew({})
        self._interpreter.resume()
        self.outcome = None if how is None else how.outcome
        session_files = self._over(() if how is None else tuple(how.said.files))
        if how is not None:
            self._result = self._made(how, session_files)
        self._finish(lost)

    def _finish(self, error: InterpreterToolsError | None) -> None:
        if self._state is _State.ENDED:
            return
        self._change(_State.ENDED)
        self._error = self._error or error
        if self._timer is not None:
            self._timer.cancel()
        if self._urging is not None:
            self._urging.cancel()
        self._input.end()
        self._wake()

    def _wake(self) -> None:
        self._callers.wake_all()

    # -- how the cell is stopped

    def _arm(self, delay: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = AwakeTimer(delay, callback)

    def _time_is_over(self) -> None:
        self._stop("timeout")

    def _stop(self, why: Outcome) -> None:
        """Interrupt the cell, and kill its process when it does not end within a second.

        That second does not count the time in which the process waits for a processor.
        """
        if self._stopping is not None or self._interpreter is None or self._state is not _State.RUNNING:
            return
        self._stopping = why
        self._high = _HIGH_AT_END
        self._send_interrupt()
        self._stopped_at = time.monotonic()
        self._interpreter.delayed = self._delayed
        self._interpreter.ask_delay()
        self._arm(_PATIENCE, self._decide)

    def _decide(self) -> None:
        """Kill the process, unless it turns out that it could not end the cell: it did not get a processor."""
        assert self._interpreter is not None
        self._decides = True
        self._interpreter.ask_delay()
        left = self._stopped_at + _PATIENCE_AT_MOST - time.monotonic()
        self._arm(max(_NOT_WAITED, left), self._kill)

    def _delayed(self, delay: float) -> None:
        """Take how long the process has waited for a processor in its life, and count what is new of it."""
        now = time.monotonic()
        if self._delay is not None:
            heard, before = self._delay
            self._waited += min(max(0.0, delay - before), now - heard)
        self._delay = now, delay
        if not self._decides:
            return
        self._decides = False
        elapsed = now - self._stopped_at
        left = _PATIENCE - (elapsed - self._waited)
        if left >= _NOT_WAITED and elapsed < _PATIENCE_AT_MOST:
            self._arm(min(left, _PATIENCE_AT_MOST - elapsed), self._decide)
        else:
            self._kill()

    def _grace(self) -> str:
        """Return how long the interrupt had, for a note."""
        if self._waited < _PATIENCE / 2:
            return "a second"
        return f"a second of its own: it waited {self._waited:.1f} s more for a processor"

    def _kill(self) -> None:
        self._killed = True
        if self._interpreter is not None:
            self._interpreter.end_program()

    def interrupt(self) -> None:
        """Interrupt the cell, as Ctrl-C does; the context keeps its variables. Does nothing before and after."""
        if self._state is _State.RUNNING:
            self._high = _HIGH_AT_END
            self._send_interrupt()

    def _send_interrupt(self) -> None:
        """Interrupt the process; it would not know for whom, before the cell has begun."""
        self._interrupts = not self._heard
        if self._interpreter is not None:
            self._interpreter.resume()
            if self._heard:
                self._interpreter.interrupt(self._number)
                if self._follows is not None:
                    self._urge_after(_URGED if self._follows == signal.SIGURG else _REPEATED)

    def _taken(self) -> None:
        """Send no interrupt again; where the process is to be killed, send another one before that."""
        if self._urging is not None:
            self._urging.cancel()
        if self._stopping is not None:
            self._urge_after(_PATIENCE / 2)

    def _urge_after(self, seconds: float) -> None:
        """Send what follows an interrupt in some seconds, and again until the cell ends: a runner may sleep over it."""
        if self._urging is not None:
            self._urging.cancel()
        self._urging = asyncio.get_running_loop().call_later(seconds, self._urge, seconds)

    def _urge(self, waited: float) -> None:
        assert self._interpreter is not None
        assert self._follows is not None
        self._urge_after(min(2 * waited, _URGED_AT_MOST))
        self._interpreter.urge(self._follows)

    def _closing(self) -> None:
        """Note that the process is about to be killed: its context is closed or restarted."""
        if self._stopping is None:
            self._stopping = "killed"

    async def kill(self) -> None:
        """Stop the cell: interrupt it, and kill its process when it does not end within a second.

        That second does not count the time in which the process waits for a processor, up to ten seconds in all.
        The outcome becomes ``killed``. Does nothing after the end. The call does not wait; ``result`` waits for the
        end.
        """
        if self._state in {_State.NEW, _State.WAITING}:
            self._finish(ExecutionClosed("the cell was killed before it began"))
        else:
            self._stop("killed")

    # -- what the caller asks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        while True:
            chunk = self._output.pop()
            if chunk is not None:
                if self._output.waiting < _LOW and self._interpreter is not None and self._state is _State.RUNNING:
                    self._interpreter.resume()
                return chunk
            if self._state is _State.NEW:
                raise ExecutionClosed("run the cell first", hint="use `async with context.stream(...) as cell`")
            if self._error is not None:
                raise self._error
            if self._state is _State.ENDED:
                raise StopAsyncIteration
            await self._callers.output()

    async def result(self) -> ExecutionResult:
        """Wait for the end of the cell and return its result. Chunks that nobody took are dropped.

        If ``result`` is cancelled, only the waiting ends: leaving the ``async with`` interrupts the cell.

        Raises:
            ContainerLost: the container went away, so there is no result.
            ExecutionClosed: the cell was never run, or was left before it ended.
            EngineClosed, SessionClosed: the engine or session was closed before the cell ended.
        """
        if self._state is _State.NEW:
            raise ExecutionClosed("run the cell first", hint="use `async with context.stream(...) as cell`")
        if self._state is not _State.ENDED and self._error is None:
            self._output.drop()
            if self._interpreter is not None:
                self._interpreter.resume()
            await self._callers.end()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        if self._tools and self._interpreter is not None:
            await self._interpreter.calls.wait()  # for those that the end of the cell has cancelled
            self._result = msgspec.structs.replace(self._result, tool_calls=tuple(self._calls))
        return self._result

    async def send_stdin(self, data: bytes) -> None:
        """Send bytes for ``input()``: a line is read when its end is there.

        Args:
            data: the bytes, in UTF-8; several calls may send one line.

        Raises:
            ExecutionClosed: stdin was given by value, was closed, or the cell has ended.
        """
        self._input.add(data)
        self._answer()

    async def close_stdin(self) -> None:
        """End the input, after the bytes that were sent: ``input()`` raises ``EOFError``. Idempotent."""
        self._input.end()
        self._answer()

    def _answer(self) -> None:
        if self._interpreter is None:
            return
        answer = self._input.answer()
        if answer is not None:
            fields: dict[str, object] = {"eof": True} if answer == "" else {"text": answer.removesuffix("\n")}
            if answer and not answer.endswith("\n"):
                fields["unended"] = True
            self._interpreter.tell_soon(words.say("input", cell=self._number, **fields))
