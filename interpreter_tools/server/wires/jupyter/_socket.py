"""One websocket of a client: what goes out waits here, bounded, and a client that takes nothing is let go."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from interpreter_tools.server.wires.jupyter._messages import MessageError, read_bytes, read_text

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from interpreter_tools.server.wires.jupyter._messages import Reply, Request

_HIGH = 1 << 20  # bytes that may wait for the client before the program has to
_PATIENCE = 60.0  # seconds for which a client may take nothing
TOO_SLOW = 1013
"""The code of a websocket that is closed since its client takes nothing."""
GONE = 1001
"""The code of a websocket whose kernel has ended."""
WRONG = 1007
"""The code of a websocket that brought what is no message."""


class Socket:
    """The websocket of one client of a kernel.

    Args:
        websocket: it, accepted.
        session: the id of the client's session, by which it comes back; empty where it has none.
        is_v1: True when it has the subprotocol.

    Attributes:
        session: the id of the client's session.
        comes_back: True when the client can come back under that id.
        is_open: False once nothing more is sent.
    """

    def __init__(self, websocket: WebSocket, *, session: str, is_v1: bool) -> None:
        self.session = session or secrets.token_hex(8)
        self.comes_back = bool(session)
        self.is_open = True
        self._websocket = websocket
        self._is_v1 = is_v1
        self._waiting: deque[Reply] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._code, self._reason = GONE, ""

    def __repr__(self) -> str:
        return f"<Socket {self.session} [{'open' if self.is_open else 'closed'}, {self._bytes} bytes waiting]>"

    async def send(self, reply: Reply) -> None:
        """Have a message sent; waits while the client is behind. A client that stays behind is let go."""
        self.put(reply)
        if self._bytes > _HIGH and self.is_open:
            self._room.clear()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._room.wait()
            except TimeoutError:
                self._waiting.clear()
                self.close(TOO_SLOW)

    def put(self, reply: Reply) -> None:
        """Have a message sent, without waiting."""
        if self.is_open:
            self._waiting.append(reply)
            self._bytes += reply.size
            self._news.set()

    def close(self, code: int = GONE, reason: str = "") -> None:
        """Send what waits, and then nothing more."""
        if self.is_open:
            self.is_open = False
            self._code, self._reason = code, reason
            self._news.set()
            self._room.set()

    async def write(self) -> None:
        """Send what is put here, until ``close``."""
        try:
            while self.is_open or self._waiting:
                while self._waiting:
                    reply = self._waiting.popleft()
                    self._bytes -= reply.size
                    if self._is_v1:
                        await self._websocket.send_bytes(reply.v1())
                    else:
                        await self._websocket.send_text(reply.text())
                    if self._bytes <= _HIGH:
                        self._room.set()
                if self.is_open:
                    self._news.clear()
                    await self._news.wait()
            await self._websocket.close(self._code, self._reason)
        except (WebSocketDisconnect, RuntimeError):  # the client is gone: Starlette says it in both ways
            pass
        finally:
            self.is_open = False
            self._waiting.clear()
            self._room.set()

    async def read(self) -> Request | None:
        """Return the next message of the client; None when it is gone.

        Raises:
            MessageError: what came is no message.
        """
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            return None
        text, data = event.get("text"), event.get("bytes")
        if text is not None:
            if self._is_v1:
                raise MessageError("a text came where the subprotocol has bytes")
            return read_text(str(text))
        return read_bytes(data or b"", is_v1=self._is_v1)
