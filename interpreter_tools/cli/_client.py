"""Import the Docker client without what a command of one run does not need."""

from __future__ import annotations

import importlib

_LOAD = "set_default_verify_paths"


def import_client() -> None:
    """Import the Docker layer without the certificate authorities of this machine.

    aiohttp loads them twice while it is imported, for HTTPS without a context of its own: 40 ms. A Docker engine is
    reached through a socket, or over TLS with the authority of DOCKER_CERT_PATH or of its context. Only for a process
    of our own: with these contexts a certificate of any other authority is refused.
    """
    import ssl  # noqa: PLC0415 - help does not need it

    make_context = ssl.create_default_context
    ssl.create_default_context = lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    setattr(ssl.SSLContext, _LOAD, _load_nothing)  # hides that of its base class
    try:
        importlib.import_module("interpreter_tools._docker")
    finally:
        ssl.create_default_context = make_context
        delattr(ssl.SSLContext, _LOAD)


def _load_nothing(_: object) -> None:
    """Stand in for the method that loads the authorities of this machine."""
