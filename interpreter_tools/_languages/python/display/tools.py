# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Functions of the host that this program may call: ``tools.search("x")``, or ``await tools.search.call("x")``.

``dir(tools)`` lists them, ``help(tools.search)`` explains one. Arguments and results are JSON and bytes. A function
that fails raises here what it raised there: an exception of the same name, which is a ``ToolError``, too.

The zygote of boot.py holds this module in source. It needs nothing but the standard library. A message is as in
messages.py of the package ``interpreter_tools_display``: pieces of kind ``t``, with JSON in them.
"""

import _socket
import _thread
import base64
import builtins
import collections
import json
import os
import sys

_ADDRESS = "\0interpreter-tools"
_PIECE = 60_000  # bytes of content in one piece
_TOLD = 0x80000000  # in the length of what comes from the host; an answer to a piece of ours has none


class ToolError(Exception):
    """A tool failed, or refused the call. The class that is raised also has the name of the host's exception."""


def _encoded(value):
    """Return what JSON can hold of a value that it does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, (set, frozenset, collections.deque)):
        return list(value)
    for name in ("tolist", "isoformat", "_asdict", "__fspath__"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    if hasattr(type(value), "__dataclass_fields__"):
        return {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    raise TypeError(f"{type(value).__name__} cannot be sent to a tool: give JSON data or bytes")


def _decoded(fields):
    return base64.b64decode(fields["$bytes"]) if fields.keys() == {"$bytes"} else fields


def _pieces(message):
    """Return a message as the bytes to send."""
    text = json.dumps(message, default=_encoded, ensure_ascii=False, allow_nan=False)
    view = memoryview(text.encode())
    sent = []
    while True:
        piece, view = view[:_PIECE], view[_PIECE:]
        sent.append((len(piece) + 2).to_bytes(4, "little") + (b"t\1" if view else b"t\0") + bytes(piece))
        if not view:
            return b"".join(sent)


class _Reader:
    """Bytes to messages."""

    def __init__(self):
        self.data = bytearray()
        self.message = bytearray()

    def feed(self, data):
        """Take bytes, and return the messages that they complete."""
        self.data += data
        found = []
        while len(self.data) >= 4:
            head = int.from_bytes(self.data[:4], "little")
            length = head & ~_TOLD
            if len(self.data) < 4 + length:
                break
            piece = bytes(self.data[4 : 4 + length])
            del self.data[: 4 + length]
            if not head & _TOLD or len(piece) < 2:
                continue  # the answer to a piece of ours
            self.message += piece[2:]
            if not piece[1]:
                found.append(json.loads(self.message, object_hook=_decoded))
                self.message.clear()
        return found


def _connect():
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        made.connect(_ADDRESS)
    except BaseException:
        made.close()
        raise
    return made


class _Waiter:
    """A thread that waits for the answers to one call."""

    def __init__(self):
        self.answers = collections.deque()
        self.woken = True
        self.lock = _thread.allocate_lock()


class _Wire:
    """The connection of the threads. Who waits reads for all, and hands that over when it has its own answer."""

    def __init__(self):
        self.socket = _connect()
        self.sending = _thread.allocate_lock()
        self.guard = _thread.allocate_lock()
        self.reader = _Reader()
        self.waiters = {}
        self.led = False
        self.last = 0
        self.broken = False

    def ask(self, message):
        """Send a message, and return its number and who waits for the answers."""
        waiter = _Waiter()
        waiter.lock.acquire()
        waiter.woken = False
        with self.guard:
            self.last += 1
            number = self.last
            self.waiters[number] = waiter
        try:
            self.send({"call": number, **message})
        except BaseException:
            self.forget(number)
            raise
        return number, waiter

    def send(self, message):
        data = _pieces(message)
        with self.sending:
            self.socket.sendall(data)

    def forget(self, number):
        with self.guard:
            self.waiters.pop(number, None)

    def answer(self, waiter):
        """Return the next answer, which may come with others'."""
        while True:
            with self.guard:
                if waiter.answers:
                    return waiter.answers.popleft()
                if self.broken:
                    raise ConnectionResetError("the run takes no more calls")
                leads, self.led = not self.led, True
            if not leads:
                waiter.lock.acquire()
                with self.guard:
                    waiter.woken = False
                continue
            try:
                while not waiter.answers:
                    self.read()
            except BaseException:
                self.end()  # what was read of an answer is lost
                raise
            finally:
                with self.guard:
                    self.led = False
                    for other in self.waiters.values():
                        if other is not waiter and not other.answers:
                            self.wake(other)
                            break

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the run takes no more calls")
        for message in self.reader.feed(data):
            with self.guard:
                waiter = self.waiters.get(message.get("call"))
                if waiter is not None:
                    waiter.answers.append(message)
                    self.wake(waiter)

    def wake(self, waiter):
        if not waiter.woken:
            waiter.woken = True
            waiter.lock.release()

    def end(self):
        global _wire
        with _making:
            if _wire is self:
                _wire = None
        self.socket.close()
        with self.guard:
            self.broken = True
            for waiter in self.waiters.values():
                self.wake(waiter)


class _LoopWire:
    """The connection of one event loop."""

    def __init__(self, loop):
        import asyncio
        import socket

        self.loop = loop
        made = _connect()
        self.socket = socket.socket(fileno=made.detach())
        self.socket.setblocking(False)
        self.sending = asyncio.Lock()
        self.reader = _Reader()
        self.waiters = {}
        self.last = 0
        loop.add_reader(self.socket.fileno(), self.read)

    def read(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        for message in self.reader.feed(data):
            queue = self.waiters.get(message.get("call"))
            if queue is not None:
                queue.put_nowait(message)

    async def send(self, message):
        data = _pieces(message)
        async with self.sending:
            await self.loop.sock_sendall(self.socket, data)

    def end(self):
        _loops.pop(self.loop, None)
        self.loop.remove_reader(self.socket.fileno())
        self.socket.close()
        for queue in self.waiters.values():
            queue.put_nowait({"error": {"type": "ConnectionResetError", "message": "the run takes no more calls"}})


_making = _thread.allocate_lock()
_wire = None
_loops = {}
_tools = {}


def _the_wire():
    global _wire
    with _making:
        if _wire is None:
            _wire = _Wire()
        return _wire


def _loop_wire():
    import asyncio

    loop = asyncio.get_running_loop()
    for other in [other for other in _loops if other.is_closed()]:
        _loops.pop(other).socket.close()
    if loop not in _loops:
        _loops[loop] = _LoopWire(loop)
    return _loops[loop]


def _all_wires():
    """Return all connections of this process to the host."""
    return [*([] if _wire is None else [_wire]), *_loops.values()]


def _after_fork():
    global _making, _wire
    _making = _thread.allocate_lock()  # another thread may have held the old one
    if _wire is not None:
        _wire.socket.close()  # a fork must not share its parent's conversation
    _wire = None
    _loops.clear()


os.register_at_fork(after_in_child=_after_fork)


def _failure(error):
    """Return the exception for what failed on the host."""
    name, message = str(error.get("type", "")), str(error.get("message", ""))
    like = getattr(builtins, name, None)
    bases = (ToolError,)
    if isinstance(like, type) and issubclass(like, Exception):
        bases = (ToolError, like)
    try:
        return type(name if name.isidentifier() else "ToolError", bases, {"__module__": "tools"})(message)
    except Exception:  # one that takes more than a message
        return ToolError(f"{name}: {message}")


def _line():
    """Return the line of the program that calls."""
    import linecache

    frame = sys._getframe(1)
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    return "" if frame is None else linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


class Tool:
    """A function of the host."""

    def __init__(self, described):
        self._described = described
        self.__name__ = self.__qualname__ = described["name"]
        self.__module__ = "tools"
        self.__doc__ = f"{described['name']}{described['signature']}\n\n{described['description']}".rstrip()

    def __repr__(self):
        return f"<tool {self.__name__}{self._described['signature']}>"

    @property
    def __signature__(self):
        from inspect import Parameter, Signature

        return Signature(
            [
                Parameter(
                    each["name"],
                    getattr(Parameter, each["kind"].upper()),
                    default=Parameter.empty if each["required"] else ...,
                )
                for each in self._described["parameters"]
            ]
        )

    def _message(self, args, kwargs):
        line = _line() if self._described["asks"] else ""
        return {"tool": self.__name__, "args": args, "kwargs": kwargs, "line": line}

    def __call__(self, /, *args, **kwargs):
        """Call it, and wait for its value; return an iterator where it gives several, one by one."""
        if sys.stdout:
            sys.stdout.flush()
        wire = _the_wire()
        number, waiter = wire.ask(self._message(args, kwargs))
        if self._described["streams"]:
            return self._iterate(wire, number, waiter)
        try:
            answer = wire.answer(waiter)
        finally:
            wire.forget(number)
        if "error" in answer:
            raise _failure(answer["error"])
        return answer.get("value")

    def _iterate(self, wire, number, waiter):
        ended = False
        try:
            while True:
                answer = wire.answer(waiter)
                ended = "item" not in answer
                if "error" in answer:
                    raise _failure(answer["error"])
                if ended:
                    return
                yield answer["item"]
        finally:
            wire.forget(number)
            if not ended and not wire.broken:
                wire.send({"cancel": number})

    def call(self, /, *args, **kwargs):
        """Call it in asynchronous code: ``await`` its value, or ``async for`` its values."""
        answers = self._answers(self._message(args, kwargs))
        return answers if self._described["streams"] else self._first(answers)

    async def _first(self, answers):
        try:
            async for value in answers:
                return value
        finally:
            await answers.aclose()

    async def _answers(self, message):
        import asyncio

        wire = _loop_wire()
        wire.last += 1
        number = wire.last
        queue = wire.waiters[number] = asyncio.Queue()
        ended = False
        try:
            await wire.send({"call": number, **message})
            while not ended:
                answer = await queue.get()
                ended = "item" not in answer
                if "error" in answer:
                    raise _failure(answer["error"])
                if "value" in answer:
                    yield answer["value"]
                elif not ended:
                    yield answer["item"]
        finally:
            wire.waiters.pop(number, None)
            if not ended and wire.loop in _loops:
                await wire.send({"cancel": number})


def _learn():
    """Ask the host which tools there are."""
    wire = _the_wire()
    number, waiter = wire.ask({"asks": True})
    try:
        listed = wire.answer(waiter)["tools"]
    finally:
        wire.forget(number)
    _tools.clear()
    _tools.update((each["name"], Tool(each)) for each in listed)


def __getattr__(name):
    if name.startswith("__") or name == "_tools":
        raise AttributeError(name)
    if name not in _tools:
        _learn()  # a context may have been given others since
    if name not in _tools:
        raise AttributeError(f"there is no tool {name!r}: this program was given {', '.join(_tools) or 'none'}")
    return _tools[name]


def __dir__():
    _learn()
    return [*_tools, "ToolError"]
