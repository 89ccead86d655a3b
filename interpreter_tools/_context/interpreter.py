"""One process of a context: what it is told, what it says, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import signal
from typing import TYPE_CHECKING, Protocol

from interpreter_tools._context import words
from interpreter_tools._deadline import AwakeTimer, awake_timeout
from interpreter_tools._exceptions import ContainerLost, ContextDied, InterpreterToolsError
from interpreter_tools._execution.calls import KIND, ToolCalls
from interpreter_tools._execution.outcome import refusal
from interpreter_tools._protocol import Exited, Fallen, Output, Refused
from interpreter_tools._protocol.constants import Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.side_run import SideRun

_PIECE = 32768  # bytes of a message that go in one piece
_NOBODY = 0  # the number of no connection
_HEAD = 2  # bytes before the content of a piece: its kind, and whether more follows
_END_DEADLINE = 5.0  # seconds that a killed process may take to end
_LAST_WORDS = 2000  # characters of what a process wrote before it was ready, which an error repeats


class Task(Protocol):
    """The work of a process for a caller: a cell, or a question."""

    def output(self, stream: str, data: bytes, /) -> None:
        """Take output that the process wrote."""

    def display(self, connection: int, piece: bytes, /) -> None:
        """Take a piece of a display."""

    def said(self, said: words.Said, /) -> None:
        """Take what the runner says."""

    def ended(self, died: ContextDied | InterpreterToolsError, /) -> None:
        """Note that the process has ended: the last event."""

    def closing(self) -> None:
        """Note that the process is about to be killed: its context is closed or restarted."""


class Newcomers(Protocol):
    """The part of a task that hears what processes other than the runner say."""

    def joined(self, connection: int, said: words.Said) -> None:
        """Take what another process says over its own connection."""

    def ended(self, died: InterpreterToolsError) -> None:
        """Note that the process that runs has ended."""


class Interpreter:
    """The process of a context, as the listener of its side run.

    The first connection whose message says ``ready`` is the runner's; other connections may display something, and are
    heard for nothing else.

    Args:
        name: the name of the context.
        program: the cell runner, for errors.
        image: the image that it is started in, for errors.

    Attributes:
        task: what the process does now; None between two tasks, when what it says is dropped.
        exited: how the process ended; None while it lives, or where its container is gone.
        death: why there is no process any more; None while it lives.
        calls: the calls of the process to tools, which change from cell to cell.
        features: what the runner says that it can do.
        newcomers: hears other processes of the context than the runner; None when nobody does.
        parked: what to do when a parked process ends, by its connection.
        weighed: called with the memory that parked processes hold, by their numbers; None when nobody asks.
        delayed: called with the answer to ``ask_delay``; None when nobody asks.
        fallen: why nothing runs, while a parked process can still take the place; None while something runs.
        maps: a cell may have changed files through a mapping, which leaves their change times alone.
        isolation: the thing around the process, see ``ExecutionResult``; None before the start.
    """

    def __init__(self, name: str, *, program: str, image: str) -> None:
        self._name = name
        self._program = program
        self._image = image
        self._link: SideRun | None = None
        self.calls = ToolCalls({})
        self.task: Task | None = None
        self.exited: Exited | None = None
        self.death: ContextDied | InterpreterToolsError | None = None
        self.features: frozenset[str] = frozenset()
        self._runner: int | None = None
        self.newcomers: Newcomers | None = None
        self.parked: dict[int, Callable[[], None]] = {}
        self.weighed: Callable[[dict[int, int]], None] | None = None
        self.delayed: Callable[[float], None] | None = None
        self._parts: dict[int, bytearray] = {}
        self._early = bytearray()
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()
        self._tells: set[asyncio.Task[None]] = set()
        self._telling = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._backstop: AwakeTimer | None = None
        self.fallen: ContextDied | None = None
        self.maps = False
        self.isolation: Isolation | None = None

    def __repr__(self) -> str:
        state = "dead" if self.death else "starting" if self._runner is None else "busy" if self.task else "idle"
        return f"<Interpreter {self._name} [{state}]>"

    # -- what the process says

    def output(self, event: Output) -> None:
        """Give output to the task; without one nobody asked for it."""
        if self.task is not None:
            self.task.output(event.stream, event.data)
        elif self._runner is None:
            self._early += event.data[: _LAST_WORDS - len(self._early)]

    def message(self, connection: int, data: bytes) -> None:
        """Take a piece of a message of the runner, or of a display."""
        if not data:
            self._disconnected(connection)
        elif data[0] == KIND:
            if self._link is not None:
                self.calls.feed(connection, data)
        elif data[0] != words.KIND:
            if self.task is not None:
                self.task.display(connection, data)
        elif len(data) >= _HEAD and data[1] <= 1 and self._hears(connection):
            body = self._whole(connection, data)
            said = None if body is None else words.read(body)
            if said is not None:
                self._said(connection, said)

    def _hears(self, connection: int) -> bool:
        return self.newcomers is not None or connection in self.parked or self._runner in {None, connection}

    def _disconnected(self, connection: int) -> None:
        self._parts.pop(connection, None)
        if self._link is not None:
            self.calls.feed(connection, b"")
        lost = self.parked.pop(connection, None)
        if lost is not None:
            lost()
        if connection == self._runner:
            self.end_program()  # a cell has closed the conversation, which nothing can replace
        elif self.fallen is not None and not self.parked:
            self.kill()

    def _fell(self, how: Fallen) -> None:
        """Note the end of the process that ran: one that is parked can take its place."""
        self._disarm()
        self.maps = True  # nobody can tell what it did
        self.exited = Exited(Ended.EXITED, how.exit_code, how.signal, False, 0, 0, 0, how.oom_kills)
        self.fallen = ContextDied(f"the process of the context {self._name!r} {_end_of(self.exited)}")
        self._runner = _NOBODY
        self._tell_end(self.fallen)
        if not self.parked:
            self.kill()

    def _delayed(self, seconds: float) -> None:
        if self.delayed is not None:
            self.delayed(seconds)

    def _disarm(self) -> None:
        if self._backstop is not None:
            self._backstop.cancel()
            self._backstop = None

    def _whole(self, connection: int, piece: bytes) -> bytearray | None:
        """Return the message that a piece completes; None when more is to come, or it is too long."""
        part = self._parts.setdefault(connection, bytearray())
        part += piece[_HEAD:]
        if len(part) > words.MOST_BYTES:
            del self._parts[connection]
            if connection == self._runner:
                self.end_program()  # its next words could not be told from the rest of these
            return None
        return None if piece[1] else self._parts.pop(connection)

    def _said(self, connection: int, said: words.Said) -> None:
        if isinstance(said, words.Weighed):
            if connection in self.parked and self.weighed is not None:
                self.weighed(said.held)
        elif isinstance(said, words.Parked):
            if self.newcomers is not None:
                self.newcomers.joined(connection, said)
        elif not isinstance(said, words.Ready):
            if connection == self._runner and self.task is not None:
                self.task.said(said)
            elif connection != self._runner and self.newcomers is not None:
                self.newcomers.joined(connection, said)
        elif self._runner is None:
            self._runner = connection
            self.features = frozenset(said.features)
            self._parts.clear()
            self._ready.set_result(None)

    def ended(self, how: Exited | Refused | InterpreterToolsError) -> None:
        """Note the end of the process, or that it could not be started."""
        if isinstance(how, Refused):
            self._die(refusal(how, program=self._program, image=self._image))
        elif isinstance(how, InterpreterToolsError):
            self._die(how)
        else:
            self.exited = how
            said = self._early.decode("utf-8", "replace").strip()
            words = f"the process of the context {self._name!r} {_end_of(how)}"
            self._die(ContextDied(words + (f": {said}" if said else "")))

    def _die(self, death: ContextDied | InterpreterToolsError) -> None:
        if self.death is not None:
            return
        self.death = death
        self.parked.clear()
        self.calls.cancel()
        self._disarm()
        for tell in self._tells:
            tell.cancel()
        if not self._ready.done():
            self._ready.set_result(None)
        self._over.set_result(None)
        self._tell_end(death)

    def _tell_end(self, died: ContextDied | InterpreterToolsError) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.ended(died)
        if self.newcomers is not None:
            self.newcomers.ended(died)

    # -- what the context says

    async def start(self, link: SideRun, *, within: float) -> None:
        """Wait until the runner is ready for its first cell.

        Args:
            link: the process.
            within: seconds.

        Raises:
            ContextDied, ContainerLost: the process ended before, or was too slow.
        """
        self._link = link
        link.fallen = self._fell
        link.delayed = self._delayed
        self.calls.begin(link.telling)
        try:
            async with awake_timeout(within):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self.kill()
            raise ContextDied(f"the cell runner of the context {self._name!r} was not ready in {within:g} s") from None
        except BaseException:
            self.kill()
            raise
        if self.death is not None:
            raise copy.copy(self.death)

    def number(self) -> int:
        """Return the number of the next cell or question."""
        return next(self._numbers)

    def park(self, connection: int, lost: Callable[[], None]) -> None:
        """Have the process of a connection be one that waits: it goes before others when memory is short.

        Args:
            connection: its connection.
            lost: called when it has ended.
        """
        assert self._link is not None
        assert self._runner is not None
        self.parked[connection] = lost
        self._link.lead(self._runner, tuple(self.parked))

    def lead(self, connection: int) -> None:
        """Have the process of a connection be the runner from now on: the one before is killed with all that it began.

        What is parked stays.
        """
        assert self._link is not None
        self._runner = connection
        self.fallen = self.exited = None
        self._link.lead(connection, tuple(self.parked))

    async def tell(self, message: bytes, *, connection: int | None = None) -> None:
        """Send a message to the runner, or to the process of another connection.

        Raises:
            ContextDied, ContainerLost: the process has ended.
        """
        over = self.death or (self.fallen if connection is None else None)
        if over is not None:
            raise copy.copy(over)
        assert self._link is not None
        to = self._runner if connection is None else connection
        assert to is not None
        async with self._telling:  # one message after another
            for start in range(0, len(message), _PIECE):
                piece = message[start : start + _PIECE]
                more = start + _PIECE < len(message)
                await self._link.tell(to, bytes([words.KIND, more]) + piece)

    def tell_soon(self, message: bytes, *, connection: int | None = None) -> None:
        """Send a message as ``tell`` does, in a task of its own. Does nothing after the end."""
        if self.death is None:
            tell = asyncio.create_task(self._tell_or_drop(message, connection))
            self._tells.add(tell)
            tell.add_done_callback(self._tells.discard)

    async def _tell_or_drop(self, message: bytes, connection: int | None) -> None:
        """Send a message; where the process has closed its connection or ended, its listener is told of that."""
        with contextlib.suppress(InterpreterToolsError):
            await self.tell(message, connection=connection)

    def interrupt(self, number: int) -> None:
        """Send SIGINT to the process and the programs in its foreground. Does nothing after the end.

        Args:
            number: of the cell or question that it is for: a runner that can miss a signal is told of it as well.
        """
        if self._link is not None and self.death is None:
            self._link.signal(signal.SIGINT)
            if "interrupt_words" in self.features:
                self.tell_soon(words.say("interrupt", cell=number))

    def urge(self, number: signal.Signals) -> None:
        """Send a signal that makes the process look for its interrupt. Does nothing after the end."""
        if self._link is not None and self.death is None:
            self._link.signal(number)

    def ask_delay(self) -> None:
        """Ask how long the process and what it began have waited for a processor. Does nothing after the end.

        ``delayed`` hears the seconds, of all of them together, behind what the process has said before.
        """
        if self._link is not None and self.death is None:
            self._link.ask_delay()

    def announce_end(self) -> None:
        """Tell the task that its process is about to be killed, for its context is closed or restarted."""
        if self.task is not None:
            self.task.closing()

    def end_program(self) -> None:
        """Kill the process that runs; what is parked stays, and can take its place. Does nothing after the end."""
        if self._link is None or self.death is not None or self.fallen is not None:
            return
        if not self.parked:
            self.kill()
        elif self._backstop is None:
            self._link.lead(_NOBODY, tuple(self.parked))
            self._backstop = AwakeTimer(_END_DEADLINE, self._insist)

    def _insist(self) -> None:
        self._backstop = None
        self.kill()

    def kill(self) -> None:
        """Kill the process, and all that is parked. Where its end is not told in 5 seconds, it counts as lost."""
        if self._link is None or self.death is not None:
            return
        self._link.kill()
        self._disarm()
        if self._backstop is None:
            error = ContainerLost(f"the process of the context {self._name!r} was killed, and its end was not told")
            self._backstop = AwakeTimer(_END_DEADLINE, self._die, error)

    def pause(self) -> None:
        """Take no more output, so that the process waits."""
        if self._link is not None:
            self._link.pause()

    def resume(self) -> None:
        """Take output again."""
        if self._link is not None and self.death is None:
            self._link.resume()

    async def over(self) -> None:
        """Wait for the end of the process."""
        await asyncio.shield(self._over)


def _end_of(exited: Exited) -> str:
    if exited.signal:
        how = f"was ended by signal {exited.signal} ({_signal_name(exited.signal)})"
    else:
        how = f"ended with exit code {exited.exit_code}"
    return f"{how}; the container ran out of memory" if exited.oom_kills else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
