"""The calls of a program to functions of its host: checked, bounded, answered, and cancelled with the run.

The pieces of a message are: u8 kind (``t``), u8 more (1: the next piece goes on with it), bytes of JSON. All that a
program says here is a claim of an attacker. A program can name only the tools that it was given.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import contextvars
import inspect
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, cast

import anyio
import anyio.to_thread
import msgspec

from interpreter_tools._config.host_tools import HostTool, ToolCall, ToolRequest
from interpreter_tools._deadline import awake_limit
from interpreter_tools._exceptions import ExecutionClosed

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from interpreter_tools._config.host_tools import CallOutcome
    from interpreter_tools._container.telling import Telling

KIND = ord("t")
_LOG = logging.getLogger("interpreter_tools")
_HEAD = 2  # bytes before the content of a piece
_PIECE = 60_000  # bytes of content in one piece
_MOST_MESSAGE = 16 << 20  # bytes of one call, and of one answer
_MOST_PARTS = 64 << 20  # bytes of calls that are still coming, together
_MOST_AT_ONCE = 256  # calls of one run
_MOST_ANSWERS = 4096  # answers that wait to be sent, besides those of calls that run
_MOST_CALLS = 100_000  # calls of one run
_MOST_OF_TOOL = 10_000  # calls of one tool, unless it says otherwise
_MOST_NOTED = 10_000  # calls that the result lists
_END_DEADLINE = 5.0  # seconds for cancelled functions to end
_BYTES = "$bytes"
_BEGINNING = re.compile(rb'\{\s*"call":\s*(\d{1,15}),\s*"tool":\s*"([^"\\]{1,100})"')


class _Said(msgspec.Struct):
    """A message of a program: a call, the end of one, or the question which tools there are."""

    call: int = 0
    tool: str = ""
    args: list[object] = []
    kwargs: dict[str, object] = {}
    line: str = ""
    cancel: int = 0
    asks: bool = False  # which tools there are
    texts: bool = False  # the arguments are texts of a command line


class _Dropped(msgspec.Struct):
    """A call that is too large: what is known of it while the rest of it comes.

    Attributes:
        call: the program's number of the call; 0 when it cannot be read.
        tool: the name of the tool.
        size: the bytes of the call so far.
    """

    call: int
    tool: str
    size: int

    @classmethod
    def of(cls, part: bytearray) -> _Dropped:
        """Read the beginning of a call."""
        found = _BEGINNING.match(part)
        return (
            cls(0, "", len(part)) if found is None else cls(int(found[1]), found[2].decode(errors="replace"), len(part))
        )


_decoder = msgspec.json.Decoder(_Said)


class _Refused(Exception):
    """A call that is not allowed."""


class _Failed(Exception):
    """A failure in a thread: its ``__cause__`` may be an exception that would end the event loop, or get lost."""


class _Unheard(Exception):
    """The connection of a call is over: nobody waits for the answer."""


def _from_wire(value: object) -> object:
    """Return plain data with the bytes that JSON cannot hold."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        held = fields.get(_BYTES)
        if len(fields) == 1 and isinstance(held, str):
            return base64.b64decode(held, validate=True)
        return {name: _from_wire(item) for name, item in fields.items()}
    if isinstance(value, list):
        return [_from_wire(item) for item in cast("list[object]", value)]
    return value


def _to_wire(value: object) -> object:
    """Return plain data in which bytes are such as JSON can hold."""
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        if len(fields) == 1 and _BYTES in fields:
            raise TypeError(f"a mapping whose only key is {_BYTES!r} stands for bytes, and cannot be sent")
        return {name: _to_wire(item) for name, item in fields.items()}
    if isinstance(value, (list, tuple)):
        return [_to_wire(item) for item in cast("list[object]", value)]
    return value


def _encode(value: object) -> object:
    """Return what a function gave as data for the wire.

    Raises:
        TypeError: it is no plain data.
    """
    return _to_wire(msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=True))


class ToolCalls:
    """The calls of one run, or of one context, to its tools.

    Attributes:
        tools: the tools that the program was given, by name. A context may change them from cell to cell.
        calls: the calls so far, in the order of their ends; the first 10,000 of them.
    """

    def __init__(self, tools: Mapping[str, HostTool]) -> None:
        self.tools = tools
        self.calls: list[ToolCall] = []
        self._described: list[dict[str, object]] | None = None  # the tools, once a program has asked
        self._context = contextvars.copy_context()  # of the caller, as for any function it calls
        self._telling: Telling | None = None
        self._parts: dict[int, bytearray | _Dropped] = {}  # by connection
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}  # by connection and the program's number
        self._turns: dict[int, asyncio.Lock] = {}  # by connection: one answer after another
        self._answering: set[asyncio.Task[None]] = set()
        self._count: Counter[str] = Counter()
        self._threads = anyio.CapacityLimiter(_MOST_AT_ONCE)

    def __repr__(self) -> str:
        return f"<ToolCalls [{len(self.tools)} tools, {len(self._running)} under way]>"

    # -- what the run says

    def begin(self, telling: Telling) -> None:
        """Answer the connections of a program: it has been started."""
        self._telling = telling

    def renew(self, tools: Mapping[str, HostTool]) -> None:
        """Begin a cell, which has other tools, a list of calls and limits of its own."""
        self.settle()
        self.tools = tools
        self.calls = []
        self._described = None
        if self._count:
            self._count = Counter()
        if tools:
            self._context = contextvars.copy_context()

    def wake(self) -> None:
        """Note that there may be room for more answers."""
        if self._telling is not None:
            self._telling.wake()

    def takes(self, data: bytes) -> bool:
        """Return whether a piece of a message is a program's call."""
        return not data or data[0] == KIND

    def feed(self, connection: int, piece: bytes) -> None:
        """Take a piece of a message; one without bytes is the end of its connection."""
        assert self._telling is not None
        if not piece:
            self._forget(connection)
            return
        self._telling.heard(connection, piece)
        part = self._parts.setdefault(connection, bytearray())
        if isinstance(part, _Dropped):
            part.size += len(piece) - _HEAD
        else:
            part += piece[_HEAD:]
            if len(part) > _MOST_MESSAGE or self._coming() > _MOST_PARTS:
                part = self._parts[connection] = _Dropped.of(part)
        if len(piece) > 1 and piece[1]:
            return
        del self._parts[connection]
        if isinstance(part, _Dropped):
            self._note(self.calls, part.tool, part.size, 0.0, "refused")
            text = f"the call has {part.size} bytes; one may have {_MOST_MESSAGE}, all that come at once {_MOST_PARTS}"
            self._reply_later(connection, {"call": part.call, "error": _error("ValueError", text)})
            return
        try:
            said = _decoder.decode(part)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._refuse_unreadable(connection, part, error)
            return
        self._handle(connection, said, len(part))

    def _refuse_unreadable(self, connection: int, part: bytearray, error: Exception) -> None:
        """Answer a call that is no JSON: with NaN, half a character, or too deep. What is no call gets no answer."""
        call = _Dropped.of(part)
        if call.call:
            self._note(self.calls, call.tool, call.size, 0.0, "error")
            answer = _error("ValueError", f"the arguments cannot be sent as JSON: {error}")
            self._reply_later(connection, {"call": call.call, "error": answer})

    def _coming(self) -> int:
        return sum(len(part) for part in self._parts.values() if isinstance(part, bytearray))

    def _forget(self, connection: int) -> None:
        """Cancel what a connection has asked for: it is over."""
        assert self._telling is not None
        self._telling.heard(connection, b"")
        self._parts.pop(connection, None)
        self._turns.pop(connection, None)
        for (owner, _), task in list(self._running.items()):
            if owner == connection:
                _cancel(task)

    def _handle(self, connection: int, said: _Said, size: int) -> None:
        key = (connection, said.call)
        if said.asks:
            if self._described is None:
                self._described = [tool.describe() for tool in self.tools.values()]
            self._reply_later(connection, {"call": said.call, "tools": self._described})
        elif said.cancel:
            task = self._running.get((connection, said.cancel))
            if task is not None:
                _cancel(task)
        elif key in self._running:
            self._reply_later(connection, {"call": 0, "error": _error("ValueError", "two calls have one number")})
        elif len(self._running) >= _MOST_AT_ONCE:  # a task for it would keep its arguments until the program reads
            self._note(self.calls, said.tool, size, 0.0, "refused")
            error = _error("PermissionError", f"more than {_MOST_AT_ONCE} calls at once")
            self._reply_later(connection, {"call": said.call, "error": error})
        else:
            self._running[key] = task = self._spawn(self._serve(connection, said, size))
            task.add_done_callback(lambda _: self._running.pop(key, None))

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work, context=self._context.copy())

    def _reply_later(self, connection: int, answer: dict[str, object]) -> None:
        if len(self._answering) >= _MOST_ANSWERS:
            return  # a program that asks without end and reads no answers gets none
        task = self._spawn(self._reply_if_heard(connection, answer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reply_if_heard(self, connection: int, answer: dict[str, object]) -> None:
        with contextlib.suppress(_Unheard):
            await self._reply(connection, answer)

    # -- one call

    async def _serve(self, connection: int, said: _Said, size: int) -> None:
        """Answer one call, and note it."""
        began = time.perf_counter()
        calls = self.calls  # of the cell that makes the call
        outcome: CallOutcome = "cancelled"
        try:
            try:
                await self._call(connection, said)
            except _Unheard:
                return
            except (KeyboardInterrupt, GeneratorExit):  # this process, or its event loop, ends
                raise
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                    raise
                outcome, answer = _told(error)
            else:
                outcome = "ok"
                return
            try:
                await self._reply(connection, {"call": said.call, "error": answer})
            except _Unheard:
                outcome = "cancelled"
        finally:
            self._note(calls, said.tool, size, time.perf_counter() - began, outcome)

    @staticmethod
    def _note(calls: list[ToolCall], tool: str, size: int, seconds: float, outcome: CallOutcome) -> None:
        if len(calls) < _MOST_NOTED:
            calls.append(ToolCall(tool[:100], size, seconds, outcome))

    async def _call(self, connection: int, said: _Said) -> None:
        tool = self.tools.get(said.tool)
        if tool is None:
            raise _Refused(f"there is no tool {said.tool[:100]!r}")
        self._count_call(tool)
        try:
            args, kwargs = (
                cast("list[object]", _from_wire(said.args)),
                cast("dict[str, object]", _from_wire(said.kwargs)),
            )
        except (binascii.Error, ValueError):
            raise TypeError("an argument holds bytes that are not base64") from None
        bound = tool.bind(args, kwargs, strict=not said.texts)
        with awake_limit(tool.timeout) as scope:
            if tool.approve is not None:
                bound = await self._approved(tool, bound, said.line[:1000])
            if tool.streams:
                values = cast("AsyncIterator[object]", tool.function(*bound.args, **bound.kwargs))
                await self._stream(connection, said.call, values)
                answer: dict[str, object] = {"call": said.call, "end": True}
            else:
                answer = {"call": said.call, "value": _encode(await self._value(tool, bound))}
            await self._reply(connection, answer)
        if scope.cancelled_caught:
            raise _TimedOut(f"{tool.name} took longer than {tool.timeout:g} s")

    def _count_call(self, tool: HostTool) -> None:
        self._count[tool.name] += 1
        most = tool.max_calls or _MOST_OF_TOOL
        if self._count[tool.name] > most:
            raise _Refused(f"{tool.name} may be called {most} times in a run")
        if self._count.total() > _MOST_CALLS:
            raise _Refused(f"tools may be called {_MOST_CALLS} times in a run")

    async def _approved(self, tool: HostTool, bound: inspect.BoundArguments, line: str) -> inspect.BoundArguments:
        assert tool.approve is not None
        asked = tool.approve(ToolRequest(tool.name, dict(bound.arguments), line))
        answer = await asked if inspect.isawaitable(asked) else asked
        if isinstance(answer, Mapping):
            arguments = dict(answer)
            for name in arguments:
                if name not in tool.signature.parameters:
                    raise TypeError(f"approve gave {tool.name} an argument that it does not take: {name!r}")
            changed = inspect.BoundArguments(tool.signature, arguments)  # pyright: ignore[reportArgumentType]
            return tool.bind(changed.args, changed.kwargs)
        if answer is not True:
            raise _Refused(f"the call of {tool.name} was not approved")
        return bound

    async def _value(self, tool: HostTool, bound: inspect.BoundArguments) -> object:
        if inspect.iscoroutinefunction(tool.function):
            return await tool.function(*bound.args, **bound.kwargs)
        value = await anyio.to_thread.run_sync(_attempt, tool, bound, limiter=self._threads, abandon_on_cancel=True)
        return await value if inspect.isawaitable(value) else value

    async def _stream(self, connection: int, number: int, values: AsyncIterator[object]) -> None:
        try:
            async for value in values:
                await self._reply(connection, {"call": number, "item": _encode(value)})
        finally:
            close = getattr(values, "aclose", None)
            if close is not None:
                with awake_limit(_END_DEADLINE, shield=True):
                    await close()

    async def _reply(self, connection: int, answer: dict[str, object]) -> None:
        """Send an answer in pieces, one answer after another.

        Raises:
            ValueError: it is too large.
            _Unheard: the connection is over.
        """
        assert self._telling is not None
        async with self._turns.setdefault(connection, asyncio.Lock()):
            data = msgspec.json.encode(answer)  # not before its turn: many answers may wait
            if len(data) > _MOST_MESSAGE:
                raise ValueError(f"the result has {len(data)} bytes, more than {_MOST_MESSAGE}")
            for at in range(0, len(data), _PIECE):
                more = at + _PIECE < len(data)
                try:
                    await self._telling.tell(connection, bytes((KIND, more)) + data[at : at + _PIECE])
                except ExecutionClosed:
                    raise _Unheard from None

    # -- the end

    def settle(self) -> None:
        """Cancel the calls that are under way: the cell has ended. Who waits for one is told."""
        for (connection, number), task in self._running.items():
            if not task.cancelling():
                _cancel(task)
                answer = _error("CancelledError", "the cell that made this call has ended")
                self._reply_later(connection, {"call": number, "error": answer})

    def cancel(self) -> None:
        """Cancel all that is under way: the run has ended. Does nothing the second time."""
        if self._telling is not None:
            self._telling.end()
        for task in (*self._running.values(), *self._answering):
            _cancel(task)

    async def aclose(self) -> None:
        """Cancel all that is under way, and wait at most five seconds for it to end."""
        self.cancel()
        await _ended({*self._running.values(), *self._answering})

    async def wait(self) -> None:
        """Wait at most five seconds for cancelled calls to end. Answers may wait for longer: the program reads late."""
        await _ended(set(self._running.values()))


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    if not tasks:
        return
    late: set[asyncio.Task[None]] = tasks
    with anyio.CancelScope(shield=True):
        _, late = await asyncio.wait(tasks, timeout=_END_DEADLINE)
    if late:
        _LOG.warning("%d tools go on after the end of their run: they ignore their cancellation", len(late))


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task once: a second time would cut its cleanup off."""
    if not task.cancelling():
        task.cancel()


class _TimedOut(Exception):
    """A call that took longer than its tool allows."""


def _attempt(tool: HostTool, bound: inspect.BoundArguments) -> object:
    """Call a function in a thread.

    Raises:
        _Failed: from what the function raised.
    """
    try:
        return tool.function(*bound.args, **bound.kwargs)
    except BaseException as error:
        raise _Failed from error


def _is_being_cancelled() -> bool:
    """Return whether the call is being cancelled, and not only something that its function awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _told(error: BaseException) -> tuple[CallOutcome, dict[str, str]]:
    """Return the outcome of a call that failed, and what the program is told."""
    if isinstance(error, _Failed) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, _Refused):
        return "refused", _error("PermissionError", str(error))
    if isinstance(error, _TimedOut):
        return "timeout", _error("TimeoutError", str(error))
    return "error", _error(type(error).__name__, _text_of(error))


def _text_of(error: BaseException) -> str:
    try:
        if isinstance(error, KeyError) and len(error.args) == 1:
            return str(error.args[0])[:10_000]  # its own words are quoted, and would be quoted once more
        return str(error)[:10_000]
    except Exception:  # noqa: BLE001 - of the host's exception, whatever its __str__ does
        return ""


def _error(kind: str, message: str) -> dict[str, str]:
    return {"type": kind[:100], "message": message.encode("utf-8", "backslashreplace").decode()}
