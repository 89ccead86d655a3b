"""A thousand random faults of clients: cut connections, half bodies, wrong framing. Nothing is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from typing import TYPE_CHECKING

import httpx
import pytest

from interpreter_tools.server import Keys, Quota, ServerConfig
from tests.watch import eventually

from .serving import KEY, OTHER_KEY, Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker

_FAULTS = 1000
_AT_ONCE = 20
_WEBSOCKETS = ("/api/v2/connect", "/api/kernels/none/channels")


def _request(chance: random.Random) -> bytes:
    """Return a request that would be right, of a kind that makes work."""
    if chance.random() < 0.2:
        return (
            f"GET {chance.choice(_WEBSOCKETS)} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode() + chance.randbytes(chance.randrange(60))
    code = chance.choice(["print(1)", "import time; time.sleep(5)", "while True: print('x' * 1000)", "x" * 5000])
    path, body = chance.choice(
        [
            ("/run_code", {"language": "python", "code": code, "run_timeout": 5}),
            ("/run_jupyter", {"cells": [code], "total_timeout": 5}),
            ("/api/v2/execute", {"language": "python", "version": "*", "files": [{"content": code}]}),
            ("/api/kernels", {"name": "python3"}),
            ("/sandboxes", {"templateID": "base", "timeout": 5}),
            ("/files?path=a", {"x": code}),
        ]
    )
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    if chance.random() < 0.3:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (text[:9], text[9:]) if piece)
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + pieces + b"0\r\n\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


def _spoil(chance: random.Random, request: bytes) -> bytes:
    """Return a request with something wrong in it, or right to its end."""
    match chance.randrange(6):
        case 0:
            return request[: chance.randrange(len(request))]
        case 1:
            at = chance.randrange(len(request))
            return request[:at] + chance.randbytes(chance.randrange(1, 20)) + request[at:]
        case 2:
            return request.replace(b"Content-Length: ", b"Content-Length: 9")
        case 3:
            return request.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: gzip\r\n\r\n", 1)
        case 4:
            return chance.randbytes(chance.randrange(200))
        case _:
            return request


async def _fault(served: Served, seed: int) -> None:
    """Send something, take a little of the answer or none, and go away in one way or another."""
    chance = random.Random(seed)
    data = _spoil(chance, _request(chance))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        with contextlib.suppress(OSError):
            cut = chance.randrange(len(data) + 1)
            for piece in (data[:cut], data[cut:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(chance.choice([0, 0, 0.01]))
            if chance.random() < 0.3:
                writer.write_eof()
            if chance.random() < 0.5:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(200), chance.choice([0.01, 0.1]))
    finally:
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


@pytest.mark.timeout(600)
async def test_thousand_faults_of_clients_leave_nothing(engine: ExecutionEngine):
    """Afterwards nothing runs, no sandbox is there but those with a lifetime, and a request is answered."""
    config = ServerConfig(runs=4, queue=50, sandboxes=20, sandbox_timeout=5)
    async with serving(engine, config=config) as served:
        before = len(asyncio.all_tasks())
        for start in range(0, _FAULTS, _AT_ONCE):
            await asyncio.gather(*(_fault(served, seed) for seed in range(start, start + _AT_ONCE)))
        await asyncio.wait_for(served.core.admission.idle(), 60)
        async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}, timeout=60) as client:
            answer = await client.post("/run_code", json={"language": "python", "code": "print('alive')"})
            assert answer.json()["run_result"]["stdout"] == "alive\n"
        for sandbox in served.core.sandboxes.all():
            await sandbox.kill()
        assert served.core.admission.waiting == 0
        assert [owner.running for owner in served.core.keys.owners] == [0, 0]
        assert [owner.sandboxes for owner in served.core.keys.owners] == [0, 0]

        async def tasks() -> int:
            return len(asyncio.all_tasks())

        # Connections that are closing and containers that start have some.
        await eventually(tasks, lambda count: count <= before + 10, within=30)


async def test_key_that_floods_the_server_keeps_no_other_out(engine: ExecutionEngine):
    """Hundreds of runs of one key: another key's run does not wait for all of them, and what is too much gets 429."""
    config = ServerConfig(runs=2, queue=20)
    async with (
        serving(engine, wires=["sandbox-fusion"], config=config) as served,
        httpx.AsyncClient(base_url=served.url, timeout=120, limits=httpx.Limits(max_connections=None)) as client,
    ):

        async def run(key: str) -> httpx.Response:
            body = {"language": "python", "code": "import time; time.sleep(0.1)"}
            return await client.post("/run_code", json=body, headers={"x-api-key": key})

        flood = [asyncio.create_task(run(KEY)) for _ in range(150)]
        await asyncio.sleep(0.3)
        modest = [await run(OTHER_KEY) for _ in range(3)]
        statuses = [answer.status_code for answer in await asyncio.gather(*flood)]
        refused = [answer for answer in await asyncio.gather(*flood) if answer.status_code == 429]
    assert [answer.status_code for answer in modest] == [200, 200, 200]
    assert statuses.count(200) + len(refused) == 150
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


async def test_quotas_hold_for_each_key_alone(engine: ExecutionEngine, tmp_path: Path):
    """Processor time that one key has used up is not missing for another."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY} name=a cpu_seconds=0.05\n{OTHER_KEY} name=b\n")
    async with (
        serving(engine, wires=["sandbox-fusion"], keys=Keys.load(file)) as served,
        httpx.AsyncClient(base_url=served.url, timeout=60) as client,
    ):
        body = {"language": "python", "code": "import time\nwhile time.process_time() < 0.3: pass"}
        found = [await client.post("/run_code", json=body, headers={"x-api-key": key}) for key in (KEY, KEY, OTHER_KEY)]
    assert [answer.status_code for answer in found] == [200, 429, 200]
    assert "cpu_seconds" in found[1].json()["detail"]
    assert served.core.keys.owner(KEY).quota == Quota(cpu_seconds=0.05)


async def test_files_count_towards_the_bytes_of_a_key(engine: ExecutionEngine, tmp_path: Path):
    """Those that come with a run, and those that it makes."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY} name=a bytes=1000\n")
    async with (
        serving(engine, wires=["sandbox-fusion"], keys=Keys.load(file)) as served,
        httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}, timeout=60) as client,
    ):
        makes = {"language": "python", "code": "open('a', 'w').write('x' * 2000)", "fetch_files": ["a"]}
        brings = {"language": "python", "code": "print(1)", "files": {"b": "eHh4"}}
        found = [await client.post("/run_code", json=body) for body in (brings, makes, brings, {**brings, "files": {}})]
    assert [answer.status_code for answer in found] == [200, 200, 429, 200]
    assert len(found[1].json()["files"]["a"]) > 2000


async def test_body_that_is_too_large_is_refused_before_it_is_read(engine: ExecutionEngine):
    """By its announced length, and in the middle where it announces none."""
    async with (
        serving(engine, wires=["sandbox-fusion"], config=ServerConfig(body_limit=1000)) as served,
        httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}) as client,
    ):

        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b" " * 100

        assert (await client.post("/run_code", content=b" " * 1001)).status_code == 413
        with contextlib.suppress(httpx.TransportError):  # it is closed while we write
            assert (await client.post("/run_code", content=pieces())).status_code == 413
        assert (await client.get("/healthz")).text == "ok\n"
