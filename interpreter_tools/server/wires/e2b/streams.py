"""Answers that go on: they end with their client, keep a quiet connection alive, and wait for a slow reader."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from interpreter_tools._background import beside
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.server._errors import ServerError
from interpreter_tools.server._gone import unless_gone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send


_LOG = logging.getLogger("interpreter_tools.server")
_UNREAD = frozenset({401, 403, 404, 429, 502, 503})  # refusals before the body was looked at
_PATIENCE = 5.0  # seconds for the rest of a body
_MOST_DISCARDED = 1 << 20  # bytes


class Sink:
    """The body of an answer, piece by piece. Nothing is sent before the first one, so that an error can be the answer.

    Args:
        send: of ASGI.
        response: the status and the headers.
    """

    def __init__(self, send: Send, response: Response) -> None:
        self._send = send
        self._response = response
        self._turn = asyncio.Lock()
        self.has_begun = False
        self.last = time.monotonic()

    async def send(self, data: bytes) -> None:
        """Send a piece; wait for a slow reader."""
        async with self._turn:
            await self.begin()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self.last = time.monotonic()

    async def begin(self) -> None:
        """Send status and headers, unless they are sent."""
        if not self.has_begun:
            self.has_begun = True
            status, headers = self._response.status_code, self._response.raw_headers
            await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def end(self) -> None:
        """End the answer."""
        await self.begin()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class StreamedResponse(Response):
    """An answer that a coroutine writes; it is cancelled when the client goes away. Read the request's body before.

    Args:
        write: writes the body.
        media_type: what it is.
        headers: further headers.
        beat: what is sent when nothing else was for so many seconds, once the answer has begun; None for nothing.
        reads: True when ``write`` itself reads the request's body, and so hears of the client's end.
    """

    def __init__(
        self,
        write: Callable[[Sink], Awaitable[None]],
        *,
        media_type: str,
        headers: dict[str, str] | None = None,
        beat: tuple[float, bytes] | None = None,
        reads: bool = False,
    ) -> None:
        super().__init__(None, 200, headers, media_type)
        del self.headers["content-length"]
        self._write = write
        self._beat = beat
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        sink = Sink(send, self)
        try:
            if self._reads:
                await self._serve(sink)
            else:
                await unless_gone(Request(scope, receive), self._serve(sink))
        except ClientDisconnect:
            return
        except InterpreterToolsError as error:
            if not sink.has_begun:
                raise
            # An answer that is not completed has the connection cut, which is how the client hears of it.
            _LOG.info("an answer was cut off: %s", error.message)

    async def _serve(self, sink: Sink) -> None:
        if self._beat is None:
            await self._write(sink)
        else:
            async with beside(_keep_alive(sink, *self._beat)):
                await self._write(sink)
        await sink.end()


def patient(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that takes a body of moderate size before it refuses a request.

    A connection that is closed with a part of the body unread is reset, and the client may never see the answer.
    """

    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ServerError as error:
            if error.status in _UNREAD:
                with contextlib.suppress(ClientDisconnect, RuntimeError, TimeoutError):
                    async with asyncio.timeout(_PATIENCE):
                        await _discard(request)
            raise

    return call


async def _discard(request: Request) -> None:
    count = 0
    async for piece in request.stream():
        count += len(piece)
        if count > _MOST_DISCARDED:
            return


async def _keep_alive(sink: Sink, seconds: float, data: bytes) -> None:
    while True:
        quiet = time.monotonic() - sink.last
        if quiet < seconds or not sink.has_begun:
            await asyncio.sleep(max(seconds - quiet, 0.1))
        else:
            await sink.send(data)
