"""Signed URLs of files: the right to read or write one path, without a key, perhaps for a time."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Literal, TypeAlias

Operation: TypeAlias = Literal["read", "write"]


def sign(path: str, operation: Operation, user: str, token: str, expiration: int | None = None) -> str:
    """Return the signature of E2B's clients.

    Args:
        path: the path as it stands in the URL.
        operation: what it allows.
        user: the user that the URL names; empty for none.
        token: the access token of the sandbox.
        expiration: seconds since 1970 after which it allows nothing; None for no end.
    """
    said = f"{path}:{operation}:{user}:{token}" + ("" if expiration is None else f":{expiration}")
    digest = hashlib.sha256(said.encode("utf-8", "surrogateescape")).digest()
    return "v1_" + base64.b64encode(digest).decode().rstrip("=")


def is_signed(signature: str, *, path: str, operation: Operation, user: str, token: str, expiration: str) -> bool:
    """Return True for a signature that allows an operation, until its end.

    Args:
        signature: what the URL has.
        path: see ``sign``.
        operation: see ``sign``.
        user: see ``sign``.
        token: see ``sign``.
        expiration: what the URL has; empty for none.
    """
    ends: int | None = None
    if expiration:
        if not (expiration.isascii() and expiration.isdigit() and len(expiration) < 16):
            return False
        ends = int(expiration)
    given = sign(path, operation, user, token, ends).encode()
    return secrets.compare_digest(given, signature.encode("utf-8", "replace"))
