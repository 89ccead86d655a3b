"""Requests to the Docker engine without aiodocker: what is sent, and what is made of each kind of answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiodocker
import aiohttp
import pytest

from interpreter_tools._docker.endpoint import Endpoint
from interpreter_tools._docker.errors import CONNECTION_FAILED, Refusal, map_docker_errors
from interpreter_tools._docker.http import HttpConnection
from interpreter_tools._docker.library import translated
from interpreter_tools._docker.plain import Answer, send
from interpreter_tools._docker.records import ignore
from interpreter_tools._exceptions import DockerApiError, DockerUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\n"
STAT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nx-docker-container-path-stat: eyJ9\r\n\r\n"
CHUNKS = HEAD + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\nA;x=y\r\n": [1, 2]}\r\n'


@contextlib.asynccontextmanager
async def engine(path: Path, answer: bytes, *, stays: bool) -> AsyncGenerator[list[bytes]]:
    """Something that listens and gives one answer; yields the requests that come."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        length = int(requests[-1].partition(b"Content-Length: ")[2].partition(b"\r")[0])
        requests[-1] += await reader.readexactly(length)
        writer.write(answer)
        if stays:
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield requests
    finally:
        server.close()


async def ask(path: Path, answer: bytes, *, method: str = "GET", stays: bool = False) -> Answer:
    """What is made of an answer."""
    async with engine(path / "sock", answer, stays=stays), asyncio.timeout(30):
        return await send(str(path / "sock"), method, "info", version="v1.41", params=None, data=None)


@pytest.mark.parametrize(
    ("answer", "stays", "body"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\n{}", True, b"{}"),
        (HEAD + b"content-length:2\r\n\r\n{}surplus", True, b"{}"),
        (CHUNKS + b"0\r\n\r\n", True, b'{"a": [1, 2]}'),
        (HEAD + b"\r\n[1]", False, b"[1]"),
        (b"HTTP/1.0 201 Created\r\n\r\n", False, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True, b""),
    ],
)
async def test_answer_is_read_to_its_end(tmp_path: Path, answer: bytes, stays: bool, body: bytes) -> None:
    """Wherever that is; nobody waits for the connection to close where the answer says how long it is."""
    assert await ask(tmp_path, answer, stays=stays) == Answer(body=body)


async def test_description_of_a_file_comes_in_the_head(tmp_path: Path) -> None:
    """And nothing after it, whatever length the head has."""
    assert await ask(tmp_path, STAT, method="HEAD", stays=True) == Answer(body=b"", stat="eyJ9")


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (b'HTTP/1.1 404 X\r\nContent-Length: 17\r\n\r\n{"message": "no"}', 404, "no"),
        (b"HTTP/1.1 500 X\r\n\r\nnot JSON", 500, "not JSON"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", 409, "HTTP/1.1 409 Conflict"),
        (b"", CONNECTION_FAILED, "0 bytes read"),
        (HEAD + b"Content-Length: 9\r\n\r\n{}", CONNECTION_FAILED, "2 bytes read"),
        (CHUNKS, CONNECTION_FAILED, "0 bytes read"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", CONNECTION_FAILED, "has no length"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", CONNECTION_FAILED, "2 bytes read"),
        (b"\x00\xff" * 50 + b"\r\n\r\n", CONNECTION_FAILED, "not HTTP"),
        (HEAD + b"x: " + b"y" * 200_000 + b"\r\n\r\n", CONNECTION_FAILED, "limit"),
    ],
)
async def test_refusals_and_broken_answers_are_told(tmp_path: Path, answer: bytes, status: int, message: str) -> None:
    """With the engine's words, or with what is wrong."""
    with pytest.raises(Refusal) as caught:
        await ask(tmp_path, answer)
    assert caught.value.status == status
    assert message in caught.value.message


async def test_nobody_listens(tmp_path: Path) -> None:
    """The address is told."""
    with pytest.raises(Refusal, match=r"nobody\.sock.*No such file") as caught:
        await send(f"{tmp_path}/nobody.sock", "GET", "version", version=None, params=None, data=None)
    assert caught.value.status == CONNECTION_FAILED


async def test_names_cannot_leave_their_place_in_the_request(tmp_path: Path) -> None:
    """An image's name is the caller's; so are labels."""
    async with engine(tmp_path / "sock", HEAD + b"Content-Length: 0\r\n\r\n", stays=False) as requests:
        address, path = str(tmp_path / "sock"), "images/a:1?x #\r\nHost: b/json"
        await send(address, "POST", path, version="v1.41", params={"name": "a&b=\r\n"}, data=b"{}")
        await send(address, "GET", "version", version=None, params=None, data=None)
    assert [request.splitlines()[0] for request in requests] == [
        b"POST /v1.41/images/a:1%3Fx%20%23%0D%0AHost:%20b/json?name=a%26b%3D%0D%0A HTTP/1.1",
        b"GET /version HTTP/1.1",
    ]
    assert requests[0].endswith(b"\r\n\r\n{}")


async def test_request_that_is_given_up_closes_its_connection(tmp_path: Path) -> None:
    """The engine sees it, and stops what it does for us."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "sock")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await send(str(tmp_path / "sock"), "GET", "info", version=None, params=None, data=None)
    async with asyncio.timeout(30):
        await closed.wait()
    server.close()


async def test_brief_connection_asks_a_hundred_things_at_once(tmp_path: Path) -> None:
    """An engine that holds hundreds of containers is asked about all of them."""
    now = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0)
        now -= 1
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "sock")
    connection = await HttpConnection.open(Endpoint(url=f"unix://{tmp_path}/sock", source="x"), deadline=60, brief=True)
    asking = (connection.request("ask", "GET", "x", read=ignore) for _ in range(300))
    assert await asyncio.gather(*asking) == [None] * 300
    assert most <= 100
    await connection.aclose()
    with pytest.raises(DockerUnavailable, match="was closed"):
        await connection.request("ask", "POST", "x", read=ignore)
    server.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [(aiodocker.DockerError(409, "busy"), 409), (aiohttp.ServerDisconnectedError(), None)],
)
def test_errors_of_aiodocker_are_the_same(error: Exception, status: int | None) -> None:
    """Whichever way a request went."""
    expected = DockerUnavailable if status is None else DockerApiError
    with pytest.raises(expected) as caught, map_docker_errors("list containers"), translated():
        raise error
    assert getattr(caught.value, "status", None) == status
