"""The output of one run: the chunks that wait for their consumer, and the text that is kept for the result."""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from typing import TYPE_CHECKING

from interpreter_tools._config.results import DisplayChunk, OutputChunk, Stream
from interpreter_tools._exceptions import ContainerBusy

if TYPE_CHECKING:
    from interpreter_tools._config.display import DisplayResult

_EMPTY = 100  # bytes that a chunk without any counts as


def whole_characters(data: bytes) -> int:
    """Return the number of bytes up to the end of the last whole UTF-8 character; at most 3 are left over.

    Bytes that can never become a character count as whole: a decoder replaces them at once.
    """
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            _, used = codecs.utf_8_decode(data[-back:], "replace", False)
            return len(data) - back + used
        if byte < 0x80:
            break
    return len(data)


class OutputBuffer:
    """Chunks in the order they came, cut between characters.

    Attributes:
        captures: True keeps the output as text for the result.
        waiting: bytes that no consumer has taken yet.
        queueing: True keeps chunks for a consumer; False lets only the captured text grow.
    """

    def __init__(self, *, capture: bool) -> None:
        self.captures = capture
        self.waiting = 0
        self.queueing = True
        self._chunks: deque[OutputChunk] = deque()
        self._split: dict[Stream, bytes] = {}
        self._captured: dict[Stream, bytearray] = {}  # an object for each write would cost far more

    def feed(self, stream: Stream, data: bytes) -> None:
        """Add output of the program."""
        split = self._split.pop(stream, b"")
        if split:
            data = split + data
        whole = whole_characters(data)
        if whole < len(data):
            self._split[stream] = data[whole:]
            data = data[:whole]
        if data:
            self._add(stream, data)

    def show(self, result: DisplayResult) -> None:
        """Add a result that the program displayed."""
        self.put(DisplayChunk("display", (result.text or "").encode(), result))

    def put(self, chunk: OutputChunk) -> None:
        """Add a chunk that is no text for the result."""
        if self.queueing:
            self._chunks.append(chunk)
            self.waiting += _size(chunk)

    def finish(self) -> None:
        """End the output: the rest of a character never becomes whole."""
        for stream, data in self._split.items():
            self._add(stream, data)
        self._split.clear()

    def _add(self, stream: Stream, data: bytes) -> None:
        if self.captures:
            captured = self._captured.get(stream)
            if captured is None:
                captured = self._captured[stream] = bytearray()
            captured += data
        if self.queueing:
            self._chunks.append(OutputChunk(stream, data))
            self.waiting += len(data)

    def pop(self) -> OutputChunk | None:
        """Return the next chunk, or None when there is none now."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self.waiting -= _size(chunk)
        return chunk

    def drop(self) -> None:
        """Drop all chunks, and keep none from now on."""
        self.queueing = False
        self._chunks.clear()
        self.waiting = 0

    def text(self, stream: Stream) -> str:
        """Return the captured text of a stream; bytes that are not UTF-8 become U+FFFD."""
        return self._captured.get(stream, b"").decode("utf-8", "replace")


def _size(chunk: OutputChunk) -> int:
    size = len(chunk.data) or _EMPTY
    if isinstance(chunk, DisplayChunk):
        size += sum(map(len, chunk.result.data.values()))
    return size


class Callers:
    """The tasks that wait for a run: one for its output, and any number for its end.

    Args:
        noun: the word for the run in messages.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._consumer: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    async def output(self) -> None:
        """Wait until there may be output, or the end.

        Raises:
            ContainerBusy: another task waits for the output.
        """
        if self._consumer is not None:
            hint = "let one task take it, and hand the chunks on"
            raise ContainerBusy(f"two tasks take the output of one {self._noun}", hint=hint)
        self._consumer = asyncio.get_running_loop().create_future()
        try:
            await self._consumer
        finally:
            self._consumer = None

    async def end(self) -> None:
        """Wait for the end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def wake_consumer(self) -> None:
        """Wake the task that waits for output."""
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    def wake_all(self) -> None:
        """Wake all: the run has ended."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.wake_consumer()
