"""Requests over a Unix socket, without aiodocker: for a process that makes a few of them and ends.

To import aiodocker takes a third of what such a process needs altogether, and all that while the Docker engine could
make the container. Each request has a connection of its own, and its answer is read whole.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from interpreter_tools._docker.errors import CONNECTION_FAILED, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})(?:;[^\n]*)?\r\n")
_STAT = re.compile(rb"\r\nX-Docker-Container-Path-Stat: *([\x20-\x7e]*)", re.IGNORECASE)
_NO_BODY = frozenset({204, 304})
_LARGEST_HEAD = 65536


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the engine that is no error.

    Attributes:
        body: its bytes.
        stat: its header ``X-Docker-Container-Path-Stat``; empty where it has none.
    """

    body: bytes
    stat: str = ""


class _Error(msgspec.Struct):
    message: str


async def send(
    socket_path: str,
    method: str,
    path: str,
    *,
    version: str | None,
    params: Mapping[str, str] | None,
    data: bytes | None,
) -> Answer:
    """Send a request and return the answer.

    Args:
        socket_path: of the engine.
        method: of HTTP.
        path: below the API's version.
        version: such as ``"v1.41"``; None for the one request that has none.
        params: of the query.
        data: JSON.

    Raises:
        Refusal: the engine refused, or the connection could not be made or broke.
    """
    target = quote("/".join(part for part in ("", version, path) if part is not None), safe="/:@")
    query = f"?{urlencode(params)}" if params else ""
    head = (
        f"{method} {target}{query} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data or b'')}\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path, limit=_LARGEST_HEAD)
        try:
            writer.write(head.encode() + (data or b""))
            return await _read(reader, has_body=method != "HEAD")
        finally:
            writer.transport.abort()
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        reason = str(error) or type(error).__name__
        raise Refusal(CONNECTION_FAILED, f"cannot connect to the Docker engine at {socket_path}: {reason}") from error


async def _read(reader: asyncio.StreamReader, *, has_body: bool) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = STATUS.match(head), LENGTH.search(head)
    if status is None:
        raise Refusal(CONNECTION_FAILED, f"the answer is not HTTP: {head[:100]!r}")
    if not has_body or int(status[1]) in _NO_BODY:
        body = b""
    elif _CHUNKED.search(head) is not None:
        body = await _read_chunks(reader)
    else:
        body = await (reader.read() if length is None else reader.readexactly(int(length[1])))
    if int(status[1]) >= 400:
        raise Refusal(int(status[1]), message_of(body) or head.decode("latin-1").partition("\r\n")[0])
    stat = _STAT.search(head)
    return Answer(body=body, stat=stat[1].decode() if stat else "")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise Refusal(CONNECTION_FAILED, f"a piece of the answer has no length: {line[:100]!r}")
        if not int(size[1], 16):
            return bytes(body)
        body += await reader.readexactly(int(size[1], 16))
        await reader.readexactly(2)


def message_of(body: bytes) -> str:
    """Return the engine's text in the body of an error, chunked or not."""
    start, end = body.find(b"{"), body.rfind(b"}")
    try:
        return msgspec.json.decode(body[start : end + 1], type=_Error).message
    except msgspec.DecodeError:
        return body.decode(errors="replace").strip()
