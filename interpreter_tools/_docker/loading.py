"""The import of aiodocker, which takes longer than that of all else together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpreter_tools._docker.library import Library

_LOAD = "set_default_verify_paths"


def load_library(*, own_process: bool) -> type[Library]:
    """Import aiodocker, if need be, and return what uses it. Takes a tenth of a second the first time.

    aiohttp loads the certificate authorities of this machine twice while it is imported, for HTTPS without a context of
    its own: 40 ms. A Docker engine is reached through a socket, or over TLS with the authority of DOCKER_CERT_PATH or
    of its context.

    Args:
        own_process: True leaves the authorities out. With these contexts a certificate of any other authority is
            refused, so this is only for a process of our own.
    """
    if not own_process:
        from interpreter_tools._docker.library import Library  # noqa: PLC0415 - it is why this function exists

        return Library

    import ssl  # noqa: PLC0415 - as above

    make_context = ssl.create_default_context
    ssl.create_default_context = lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    setattr(ssl.SSLContext, _LOAD, _load_nothing)  # hides that of its base class
    try:
        return load_library(own_process=False)
    finally:
        ssl.create_default_context = make_context
        delattr(ssl.SSLContext, _LOAD)


def _load_nothing(_: object) -> None:
    """Stand in for the method that loads the authorities of this machine."""
