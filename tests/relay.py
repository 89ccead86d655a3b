"""Docker's socket under another name, which notes what is asked, and breaks when it is told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class Relay:
    """Passes bytes between a socket of its own and Docker's.

    Attributes:
        address: where it listens, as ``DOCKER_HOST`` would say it.
        calls: the first line of every request.
        delay: seconds by which every answer is late.
    """

    def __init__(self, path: Path) -> None:
        self.address = f"unix://{path}"
        self.calls: list[bytes] = []
        self.delay = 0.0
        self._path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Answer, as an engine that has just started."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def close(self) -> None:
        """Break every connection and answer no more, as an engine that was killed."""
        if self._server is not None:
            self._server.close()
        self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
        self._writers |= {writer, up_writer}
        for source, sink, asks in ((reader, up_writer, True), (up_reader, writer, False)):
            task = asyncio.create_task(self._copy(source, sink, asks=asks))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, asks: bool) -> None:
        try:
            while data := await source.read(65536):
                if asks and b" HTTP/1.1\r\n" in data:
                    self.calls.append(data.partition(b"\r\n")[0])
                if not asks:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass  # as the other side wants it
        finally:
            sink.close()
