"""The key that a request brings: each client has its own place for it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import Scope

KEY_OF_PATH = "interpreter_tools.key"
"""The name in a request's scope of the key that stood in its path: ``/key/{key}/...``."""

_HEADERS = (b"x-api-key", b"open-sandbox-api-key")
_TOKEN = b"token="
_SCHEMES = frozenset({"basic", "bearer", "token"})


def presented_key(scope: Scope) -> str | None:
    """Return the key of a request; None when it brings none.

    A key is ``X-API-KEY``, ``OPEN-SANDBOX-API-KEY``, ``Authorization`` (``Bearer``, ``token``, or the password of
    ``Basic``), the parameter ``token`` of the URL, or ``/key/{key}`` before its path.
    """
    authorization = b""
    for name, value in scope["headers"]:
        if name in _HEADERS and value:
            return value.decode("latin-1")
        if name == b"authorization":
            authorization = value
    found = _authorized(authorization.decode("latin-1").strip()) if authorization else None
    if found is None and KEY_OF_PATH in scope:
        found = str(scope[KEY_OF_PATH])
    query: bytes = scope.get("query_string", b"")
    if found is None and _TOKEN in query:
        found = parse_qs(query.decode("latin-1")).get("token", [None])[0]
    return found


def _authorized(header: str) -> str | None:
    """Return the key in a header ``Authorization``."""
    scheme, _, rest = header.partition(" ")
    if not rest:
        return None if scheme.lower() in _SCHEMES else scheme  # Jupyter's gateway sends one without a key
    if scheme.lower() != "basic":
        return rest.strip()
    try:
        _, _, password = base64.b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or None
