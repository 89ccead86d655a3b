"""A container's stdin and stdout as an asyncio transport: a connection of our own, upgraded by hand.

aiodocker's stream puts whole Docker frames together in a buffer and hands each through a queue and a task switch; a
plain transport calls the channel's protocol from the event loop's own read, and gives it flow control.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from interpreter_tools._docker.errors import CONNECTION_FAILED, Refusal
from interpreter_tools._docker.plain import LENGTH, STATUS, message_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from interpreter_tools._docker.endpoint import Endpoint

_MAX_HEAD = 65536
_SEND_BUFFER = 1 << 20  # bytes; the kernel grants less, but more than without being asked
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_UPGRADED = (101, 200)  # 200: engines, and proxies, that hijack without an upgrade


async def open_attach(
    endpoint: Endpoint,
    tls: ssl.SSLContext | None,
    path: str,
    protocol_factory: Callable[[], asyncio.Protocol],
) -> tuple[asyncio.Transport, asyncio.Protocol]:
    """Ask for an upgraded connection and hand it to a protocol of the caller's.

    Args:
        endpoint: the engine.
        tls: the context for TLS; None means plain.
        path: path and query of the request.
        protocol_factory: makes the protocol that gets the connection; bytes that come with the answer are fed to it.

    Raises:
        Refusal: the engine refused.
        OSError: the connection could not be made.
    """
    loop = asyncio.get_running_loop()
    upgraded: asyncio.Future[tuple[asyncio.Transport, asyncio.Protocol]] = loop.create_future()
    upgraded.add_done_callback(
        lambda future: future.cancelled() or future.exception()
    )  # a cancelled caller never asks for it

    def make() -> _Handshake:
        return _Handshake(path, protocol_factory, upgraded)

    if endpoint.socket_path is not None:
        transport, _ = await loop.create_unix_connection(make, endpoint.socket_path)
        plain = cast("socket.socket", transport.get_extra_info("socket"))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    else:
        host, port = endpoint.address
        transport, _ = await loop.create_connection(make, host, port, ssl=tls)
        plain = cast("socket.socket | None", transport.get_extra_info("socket"))
        if plain is not None:  # TCP must notice a dead peer: a container may be silent for hours
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    try:
        return await upgraded
    except BaseException:
        transport.abort()
        raise


class _Handshake(asyncio.Protocol):
    """Sends the request, reads the head of the answer, and gives the connection away."""

    def __init__(
        self,
        path: str,
        protocol_factory: Callable[[], asyncio.Protocol],
        upgraded: asyncio.Future[tuple[asyncio.Transport, asyncio.Protocol]],
    ) -> None:
        self._path = path
        self._protocol_factory = protocol_factory
        self._upgraded = upgraded
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            f"POST {self._path} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n"
            "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            if len(head) > _MAX_HEAD:
                self._refuse(CONNECTION_FAILED, "the answer to attach has no end")
            return
        status = STATUS.match(head)
        if status is None:
            self._refuse(CONNECTION_FAILED, f"the answer to attach is not HTTP: {head[:100]!r}")
        elif int(status[1]) in _UPGRADED:
            self._hand_over(body)
        else:
            length = LENGTH.search(head)
            whole = body.endswith(_LAST_CHUNK) if length is None else len(body) >= int(length[1])
            if whole or len(body) > _MAX_HEAD:
                self._refuse(int(status[1]), message_of(body))

    def connection_lost(self, exc: Exception | None) -> None:
        head, _, body = self._received.partition(b"\r\n\r\n")
        status = STATUS.match(head)
        if status is not None:  # an error answer that ends with the connection
            self._refuse(int(status[1]), message_of(body))
        else:
            self._refuse(CONNECTION_FAILED, str(exc) if exc else "the engine closed the connection")

    def _hand_over(self, surplus: bytes) -> None:
        transport = self._transport
        if transport is None or self._upgraded.done():  # the caller has given up
            return
        protocol = self._protocol_factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self._upgraded.set_result((transport, protocol))
        if surplus:
            protocol.data_received(surplus)

    def _refuse(self, status: int, message: str) -> None:
        if not self._upgraded.done():
            self._upgraded.set_exception(Refusal(status, message))
