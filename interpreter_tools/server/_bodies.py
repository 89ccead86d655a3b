"""Bodies of requests: read with a limit, or streamed with flat memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from interpreter_tools.server._errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner

T = TypeVar("T")


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body of a request.

    Raises:
        TooLarge: it is larger than the limit, in bytes. What is over is not read.
        ClientDisconnect: the client has gone away in the middle of it.
    """
    _check_length(request, limit)
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > limit:
            raise _too_large(limit)
    return bytes(pieces)


async def read_json(request: Request, kind: type[T], *, limit: int) -> T:
    """Return the body of a request as a Struct, or as another type that msgspec knows.

    Raises:
        TooLarge: it is larger than the limit, in bytes.
        BadRequest: it is no JSON, or not of that type; the error names the field.
    """
    body = await read_body(request, limit=limit)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body of the request cannot be read: {error}") from None


async def upload(core: Core, owner: Owner, request: Request) -> AsyncGenerator[bytes]:
    """Yield the body of a request piece by piece; the quota of its owner is charged.

    Close it, or read it to its end: ``contextlib.aclosing``.

    Raises:
        TooLarge: it is larger than ``ServerConfig.upload_limit``.
        Refused: the bytes of this hour are used up.
    """
    limit = core.config.upload_limit
    _check_length(request, limit)
    count = 0
    async for piece in request.stream():
        count += len(piece)
        if count > limit:
            raise _too_large(limit)
        if piece:
            owner.use_bytes(len(piece))
            yield piece


def _check_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body of the request is larger than {limit} bytes")
