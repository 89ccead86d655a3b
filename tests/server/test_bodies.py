"""Bodies of requests: limits, streaming and forms."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from interpreter_tools import ExecutionEngine
from interpreter_tools.server import Keys, Quota, ServerConfig, create_app
from interpreter_tools.server._bodies import read_json, upload
from interpreter_tools.server._errors import BadRequest, Refused, ServerError, TooLarge
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._multipart import multipart_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message

    from interpreter_tools.server._core import Core


class _Body(msgspec.Struct):
    code: str
    timeout: float = 1.0


def _core() -> Core:
    app = create_app(ExecutionEngine(), wires=[], keys=Keys.open(), config=ServerConfig(upload_limit=1000))
    return app.state.core


def _request(pieces: Sequence[bytes], **headers: str) -> Request:
    """A request whose body comes in these pieces."""
    left = list(pieces)

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left)}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def _cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


async def test_json_is_checked_against_its_type():
    """The error names the field, in the words of msgspec."""
    found = await read_json(_request([b'{"code": "x"', b', "more": 1}']), _Body, limit=100)
    assert found == _Body("x")
    for body in (b"", b"{", b"[]", b'{"code": 1}', b"\xff", b"[" * 100_000):
        with pytest.raises(BadRequest, match="the body of the request cannot be read"):
            await read_json(_request([body]), _Body, limit=200_000)


@pytest.mark.parametrize("headers", [{}, {"content_length": "101"}, {"content_length": "9" * 30}])
async def test_body_over_its_limit_is_refused(headers: dict[str, str]):
    """By its announced length, and by what comes."""
    with pytest.raises(TooLarge):
        await read_json(_request([b"[" * 60, b"[" * 60], **headers), _Body, limit=100)


async def test_upload_is_streamed_within_limit_and_quota():
    """Pieces come as they are; the owner's bytes are charged."""
    core, owner = _core(), Owner("a", Quota(bytes=10))
    assert [piece async for piece in upload(core, owner, _request([b"abc", b"", b"defgh"]))] == [b"abc", b"defgh"]
    assert [piece async for piece in upload(core, owner, _request([b"0123"]))] == [b"0123"]
    with pytest.raises(Refused):
        [piece async for piece in upload(core, owner, _request([b"4"]))]
    with pytest.raises(TooLarge):
        [piece async for piece in upload(core, Owner("b"), _request([b"x" * 600, b"x" * 600]))]


async def _parts(request: Request, core: Core) -> list[tuple[str, str | None, bytes]]:
    async with contextlib.aclosing(multipart_parts(core, Owner("a"), request)) as parts:
        return [(part.name, part.filename, b"".join([piece async for piece in part.pieces])) async for part in parts]


def _form(files: dict[str, bytes]) -> tuple[bytes, str]:
    made = httpx.Request("POST", "http://x", files=[("file", (name, data)) for name, data in files.items()])
    return made.read(), made.headers["content-type"]


@given(st.lists(st.integers(0, 2000), max_size=30))
def test_form_is_the_same_however_it_is_cut(places: list[int]):
    """Names and contents come back whole, wherever the network cuts the body."""
    files = {"a.txt": b"first", "b/ü.bin": bytes(range(256)), "empty": b"", "line\r\n--": b"\r\n--\r\n"}
    body, kind = _form(files)
    found = asyncio.run(_parts(_request(_cut(body, places), content_type=kind), _core()))
    assert [(name, data) for name, _, data in found] == [("file", data) for data in files.values()]
    assert [filename for _, filename, _ in found][:3] == list(files)[:3]


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_broken_form_is_refused_and_nothing_else(noise: bytes, start: int, end: int):
    """Cut short, or with bytes replaced by others: an error of the client, or parts; never a fault of the server."""
    body, kind = _form({"a.txt": b"first", "b": b"second"})
    broken = body[:start] + noise + body[end:]
    with contextlib.suppress(ServerError):
        asyncio.run(_parts(_request([broken], content_type=kind), _core()))


async def test_request_that_is_no_form_is_refused():
    """So is a form that ends too early, and one without a boundary."""
    body, kind = _form({"a": b"first"})
    for pieces, content_type in (([body], "text/plain"), ([body], "multipart/form-data"), ([body[:-20]], kind)):
        with pytest.raises(BadRequest):
            await _parts(_request(pieces, content_type=content_type), _core())
