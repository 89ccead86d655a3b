"""A container's stdin and stdout as a connection."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._docker import DockerClient, Owner
from interpreter_tools._exceptions import DockerApiError, DockerUnavailable
from tests.watch import inspect_container

from .conftest import VERSION, Received, Serve, answer, attach, spec_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.docker

_BULK = 64 << 20
_CHUNKED = b'HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n{"message": "full"}\n\r\n0\r\n\r\n'


@pytest.fixture
async def cat(client: DockerClient, owner: Owner) -> AsyncIterator[str]:
    """A container, not started, that says what it hears."""
    container = await client.create_container(spec_of(owner, "cat"))
    yield container
    await client.remove_container(container)


async def converse(client: DockerClient, container: str) -> None:
    """Attach, start, say something, hear it, end."""
    transport, received = await attach(client, container)
    await client.start_container(container)
    for word in (b"hello\n", b"again\n"):
        received.arrived.clear()
        received.data.clear()
        transport.write(word)
        async with asyncio.timeout(60):
            await received.arrived.wait()
        assert received.data == word
    if transport.can_write_eof():
        transport.write_eof()
        async with asyncio.timeout(60):
            await received.ended.wait()
    transport.close()


async def test_conversation_that_begins_before_the_start(client: DockerClient, cat: str) -> None:
    """Attached first, so that nothing is lost; the end of stdin ends the program and the stream."""
    await converse(client, cat)


async def test_conversation_with_a_remote_engine(remote_host: str, cat: str) -> None:
    """The same over TCP."""
    async with await DockerClient.connect(remote_host) as client:
        await converse(client, cat)


async def test_conversation_over_tls(tls_host: str, cat: str) -> None:
    """The same over TLS, which cannot end one direction: the connection is closed instead."""
    async with await DockerClient.connect(tls_host) as client:
        await converse(client, cat)


async def test_closed_connection_ends_the_program(client: DockerClient, cat: str) -> None:
    """``StdinOnce``: a client that dies takes its container with it."""
    transport, _ = await attach(client, cat)
    await client.start_container(cat)
    transport.abort()
    async with asyncio.timeout(60):
        while (found := await inspect_container(client, cat)) and found["State"]["Running"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the engine tells nobody


async def test_bulk_arrives_whole(client: DockerClient, owner: Owner) -> None:
    """Every byte, in order, with a reader that pauses now and then."""
    program = f"yes 0123456789abcde | head -c {_BULK}"
    container = await client.create_container(spec_of(owner, "sh", "-c", program))
    digest, size = hashlib.sha256(), 0

    class Slow(Received):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            nonlocal size
            super().data_received(data)
            digest.update(self.data)
            size += len(self.data)
            self.data.clear()
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    _, received = await client.attach(container, Slow)
    assert isinstance(received, Slow)
    await client.start_container(container)
    async with asyncio.timeout(60):
        await received.ended.wait()
    await client.remove_container(container)
    assert size == _BULK
    assert digest.digest() == hashlib.sha256(b"0123456789abcde\n" * (_BULK // 16)).digest()


async def test_missing_container_is_refused(client: DockerClient) -> None:
    """With the engine's words."""
    with pytest.raises(DockerApiError, match="attach: the Docker engine answered 404: No such container: nobody"):
        await client.attach("nobody", Received)


async def test_what_comes_with_the_answer_is_not_lost(scripted: Serve) -> None:
    """The first bytes of the stream may share a packet with the head."""
    upgraded = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0\0\0\0\x02hi"
    engine = await scripted(lambda request, _count: VERSION if request == "GET /version" else upgraded)
    async with await DockerClient.connect(engine.host) as client:
        transport, received = await attach(client, "x")
        assert received.data == b"hi"
        transport.abort()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "the engine closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 101" + b"x" * 70000, "has no end"),
        (answer('{"message": "no"}', 409), "answered 409: no"),
        (_CHUNKED, "answered 500: full"),
    ],
)
async def test_bad_answer_is_an_error(scripted: Serve, reply: bytes, words: str) -> None:
    """Whatever it is, it is told."""
    engine = await scripted(lambda request, _count: VERSION if request == "GET /version" else reply)
    async with await DockerClient.connect(engine.host, deadline=1.0) as client:
        with pytest.raises((DockerApiError, DockerUnavailable), match=words):
            await client.attach("x", Received)


async def test_cancelled_attach_closes_its_connection(scripted: Serve) -> None:
    """Wherever it is."""
    engine = await scripted(lambda request, _count: VERSION if request == "GET /version" else None)
    async with await DockerClient.connect(engine.host) as client:
        for wait in (0, 0.001, 0.02):
            task = asyncio.ensure_future(client.attach("x", Received))
            await asyncio.sleep(wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
