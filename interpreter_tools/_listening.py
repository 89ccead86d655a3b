"""The sockets on which the servers of the package listen, and who can reach them."""

from __future__ import annotations

import ipaddress
import socket

from interpreter_tools._exceptions import ConfigurationError


def listen(host: str, port: int, *, option: str = "--port", backlog: int = 128) -> socket.socket:
    """Return a socket that listens.

    What is written to its connections goes at once. asyncio sees to that for sockets of its own only: an answer in two
    parts would wait 40 ms for the client's delayed acknowledgement.

    Args:
        host: the address.
        port: the port; 0 takes a free one.
        option: what an error names.
        backlog: connections that may wait.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    if not 0 <= port <= 65535:
        raise ConfigurationError(option, port, "is not a port: a number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        reason = f"cannot be listened on: {error.strerror or error}"
        raise ConfigurationError(option, f"{host}:{port}", reason) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
    return listener


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
