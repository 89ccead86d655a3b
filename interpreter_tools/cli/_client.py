"""Import the Docker client without what a command of one run does not need."""

from __future__ import annotations

import importlib


def import_client() -> None:
    """Import the Docker layer without the certificate authorities of this machine.

    aiohttp loads them while it is imported, for HTTPS without a context of its own: 30 ms. A Docker engine is reached
    through a socket, or over TLS with the authority of DOCKER_CERT_PATH or of its context. Only for a process of our
    own: with these contexts a certificate of any other authority is refused.
    """
    import ssl  # noqa: PLC0415 - help does not need it

    make_context = ssl.create_default_context
    ssl.create_default_context = lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        importlib.import_module("interpreter_tools._docker")
    finally:
        ssl.create_default_context = make_context
