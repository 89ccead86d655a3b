"""The server over streamable HTTP."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import msgspec
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._listening import is_loopback, listen

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from interpreter_tools.mcp._state import State

PATH = "/mcp"
_GRACE = 5  # seconds that open requests get when the server ends
_LOOPBACK = "127.0.0.1"


class HttpAddress(msgspec.Struct, frozen=True):
    """The address to listen on.

    Attributes:
        host: a name or address.
        port: the port; 0 means a free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT``, ``[ADDRESS]:PORT``, or a port alone, which means loopback.

        Raises:
            ConfigurationError: the text is none of these.
        """
        host, _, port = text.rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or (text.startswith(":")):
            raise ConfigurationError("--http", text, "is no address", hint="give HOST:PORT, such as 127.0.0.1:8000")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        return cls(host or _LOOPBACK, int(port))

    @property
    def shown(self) -> str:
        """The host in the form of URLs."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach the address."""
        return is_loopback(self.host)


async def serve_http(server: MCPServer[State], address: HttpAddress) -> None:
    """Serve streamable HTTP until SIGINT or SIGTERM; print the address on stderr once it can be reached.

    A client that reaches the server can run code without a password. Beyond loopback, a line on stderr says so.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    app = server.streamable_http_app(streamable_http_path=PATH, transport_security=_security(address))
    with listen(address.host, address.port, option="--http") as listener:
        sys.stderr.write(f"interpreter-tools mcp: http://{address.shown}:{listener.getsockname()[1]}{PATH}\n")
        if not address.is_loopback:
            sys.stderr.write("interpreter-tools mcp: without a password, for whoever can reach this address\n")
        sys.stderr.flush()
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE)
        await uvicorn.Server(config).serve(sockets=[listener])


def _security(address: HttpAddress) -> TransportSecuritySettings:
    """Return the settings against DNS rebinding: on loopback, a web page must not reach the server by its own name."""
    if not address.is_loopback:
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    hosts = sorted({address.shown, "127.0.0.1", "localhost", "[::1]"})
    return TransportSecuritySettings(
        allowed_hosts=[f"{host}:*" for host in hosts], allowed_origins=[f"http://{host}:*" for host in hosts]
    )
