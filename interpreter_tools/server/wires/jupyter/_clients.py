"""The clients of one kernel: their websockets, and what is kept for one that has lost its own."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from interpreter_tools.server.wires.jupyter._socket import GONE

if TYPE_CHECKING:
    from interpreter_tools.server.wires.jupyter._messages import Reply
    from interpreter_tools.server.wires.jupyter._socket import Socket

_MOST_KEPT = 4 << 20  # bytes that are kept for a client that has lost its websocket


class Clients:
    """The websockets of a kernel. Messages are kept for the last client that left, until it or another one comes."""

    def __init__(self) -> None:
        self._sockets: set[Socket] = set()
        self._kept: deque[Reply] | None = None
        self._kept_for = ""  # the session of that client
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._sockets)

    def __repr__(self) -> str:
        return f"<Clients [{len(self)} websockets, {len(self._kept or ())} messages kept]>"

    def add(self, socket: Socket) -> None:
        """Add a websocket. A client that comes back gets what it has missed."""
        self._sockets.add(socket)
        kept, self._kept = self._kept, None
        if kept is not None and self._kept_for == socket.session:
            for reply in kept:
                socket.put(reply)

    def remove(self, socket: Socket, *, keeps: bool) -> None:
        """Remove a websocket.

        Args:
            socket: the websocket.
            keeps: True keeps what its client misses, if it can come back and no other client is there.
        """
        self._sockets.discard(socket)
        if keeps and socket.comes_back and not self._sockets:
            self._kept, self._kept_for, self._kept_bytes = deque(), socket.session, 0

    def end(self, last: Reply) -> None:
        """Send all clients a last message, and close their websockets."""
        for socket in tuple(self._sockets):
            socket.put(last)
            socket.close(GONE)
        self._kept = None

    async def publish(self, reply: Reply) -> None:
        """Send a message to all websockets; one that is slow makes the program wait."""
        for socket in tuple(self._sockets):
            await socket.send(reply)
        if not self._sockets:
            self._keep(reply)

    async def send_to(self, session: str, reply: Reply) -> None:
        """Send a message to one client, by the websocket that it has now."""
        found = [socket for socket in self._sockets if socket.session == session]
        for socket in found[:1]:
            await socket.send(reply)
        if not self._sockets and session == self._kept_for:
            self._keep(reply)

    def _keep(self, reply: Reply) -> None:
        if self._kept is not None:
            self._kept.append(reply)
            self._kept_bytes += reply.size
            while self._kept_bytes > _MOST_KEPT:
                self._kept_bytes -= self._kept.popleft().size
