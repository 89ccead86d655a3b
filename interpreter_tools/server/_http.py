"""HTTP as the server speaks it: uvicorn's, with a limit for the head of a request, and a time for it to arrive."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

_HEAD_LIMIT = 64 << 10  # bytes that are held beyond those of a first read, as uvicorn's other protocol has it
_PATIENCE = 60.0  # seconds, as nginx has it
_SMALL = 64 << 10  # bytes that are copied behind their head


class _Answer:
    """The transport of one answer, which sends the head with what follows in the same step of the event loop.

    uvicorn writes head and body apart: two system calls here, and a client that wakes up twice.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._has_begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write a piece."""
        if not self._has_begun:
            self._has_begun = True
            self._head = data
            self._loop.call_soon(self._send_head)
        elif self._head and len(data) <= _SMALL:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._send_head()
            self._transport.write(data)

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection behind what was written."""
        self._send_head()
        self._transport.close()


class BoundedHttp(HttpToolsProtocol):
    """The protocol of a connection, for ``uvicorn.Config(http=...)``.

    httptools holds a head of any size, and copies it for each piece that arrives, before anybody looks at its key.

    Args:
        patience: seconds that the head of a request may take, and the silence before the first one.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patience = patience
        self._is_in_head = False
        self._head = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a piece of a request."""
        was_in_head = self._is_in_head
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        self._head = self._head + len(data) if was_in_head else 0
        if self._head > _HEAD_LIMIT:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Begin the head of a request."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End the head of a request."""
        self._is_in_head = False
        self._stop_timer()
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # its task has not begun
            self.cycle.transport = cast("asyncio.Transport", _Answer(self.transport, self.loop))

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._end)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        """End a connection whose time is over; one that has asked for nothing needs no answer."""
        if self._is_in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        text = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        self.transport.write(text.encode("ascii"))
        self.transport.close()
