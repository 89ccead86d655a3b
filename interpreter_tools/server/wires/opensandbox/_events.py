"""Answers of server-sent events, each a JSON object, while code or a command runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import msgspec
from starlette.responses import Response

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.server._errors import as_server_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

_BEAT = 5.0  # seconds between two signs of life
_ENCODER = msgspec.json.Encoder()


class Events:
    """The events of one answer. The first one begins it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = anyio.Lock()
        self.has_begun = False

    async def tell(self, kind: str, **fields: object) -> None:
        """Send an event; waits while the client is behind."""
        event = {"type": kind, **fields, "timestamp": int(time.time() * 1000)}
        async with self._turn:
            if not self.has_begun:
                self.has_begun = True
                headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            body = b"data: " + _ENCODER.encode(event) + b"\n\n"
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def fail(self, name: str, value: str, traceback: list[str]) -> None:
        """Send that what ran has failed."""
        await self.tell("error", error={"ename": name, "evalue": value, "traceback": traceback})

    async def end(self) -> None:
        """End the answer."""
        async with self._turn:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class EventResponse(Response):
    """An answer of events. What tells them is cancelled when the client goes away.

    Args:
        write: tells the events.
    """

    def __init__(self, write: Callable[[Events], Awaitable[None]]) -> None:
        super().__init__()
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        events = Events(send)
        error: InterpreterToolsError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_watch, receive, group.cancel_scope)
            group.start_soon(_beat, events)
            try:
                await self._write(events)
            except InterpreterToolsError as caught:
                error = caught
                if events.has_begun:
                    told = as_server_error(caught)
                    await events.fail(type(caught).__name__, told.text, [told.text])
            if events.has_begun:
                await events.end()
            group.cancel_scope.cancel()
        if error is not None and not events.has_begun:
            raise error


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _beat(events: Events) -> None:
    while True:
        await anyio.sleep(_BEAT)
        if events.has_begun:
            await events.tell("ping", text="pong")
