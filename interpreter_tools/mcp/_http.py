"""Streamable HTTP."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, Self

import msgspec
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from interpreter_tools.mcp._state import State

PATH = "/mcp"
_GRACE = 5  # seconds that open requests get when the server ends
_LOOPBACK = "127.0.0.1"


class HttpAddress(msgspec.Struct, frozen=True):
    """Where to listen.

    Attributes:
        host: a name or address.
        port: 0 means any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``HOST:PORT``, ``[ADDRESS]:PORT``, or a port alone, which means loopback.

        Raises:
            ConfigurationError: it is none of these.
        """
        host, _, port = text.rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or (text.startswith(":")):
            raise ConfigurationError("--http", text, "is no address", hint="give HOST:PORT, such as 127.0.0.1:8000")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        return cls(host or _LOOPBACK, int(port))

    @property
    def shown(self) -> str:
        """The host as it stands in URLs."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


async def serve_http(server: MCPServer[State], address: HttpAddress) -> None:
    """Serve streamable HTTP until SIGINT or SIGTERM; the address is told on stderr once it can be reached.

    Whoever reaches it can run code and needs no password, so beyond loopback that is said, too.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    app = server.streamable_http_app(streamable_http_path=PATH, transport_security=_security(address))
    with _listen(address) as listener:
        sys.stderr.write(f"interpreter-tools mcp: http://{address.shown}:{listener.getsockname()[1]}{PATH}\n")
        if not address.is_loopback:
            sys.stderr.write("interpreter-tools mcp: without a password, for whoever can reach this address\n")
        sys.stderr.flush()
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE)
        await uvicorn.Server(config).serve(sockets=[listener])


def _security(address: HttpAddress) -> TransportSecuritySettings:
    """On loopback no web page may reach the server by a name of its own that leads here (DNS rebinding)."""
    if not address.is_loopback:
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    hosts = sorted({address.shown, "127.0.0.1", "localhost", "[::1]"})
    return TransportSecuritySettings(
        allowed_hosts=[f"{host}:*" for host in hosts], allowed_origins=[f"http://{host}:*" for host in hosts]
    )


def _listen(address: HttpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=128)
    except OSError as error:
        raise ConfigurationError(
            "--http", f"{address.host}:{address.port}", f"cannot be listened on: {error.strerror}"
        ) from None
