"""An engine, or a way to it, that garbles, delays, cuts and hangs: every error is one of ours, and comes in time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from typing import TYPE_CHECKING, Self

import pytest

from interpreter_tools import (
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    InterpreterToolsError,
    PoolConfig,
)
from interpreter_tools._container import container
from interpreter_tools._docker import DockerClient
from tests.watch import containers_of, eventually, owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.docker

CASES = 200
AT_ONCE = 8
DEADLINE = 3.0  # seconds that the engine is given for a call
PATIENCE = 40.0  # seconds, beyond which a call hangs; the machine may be busy
CLOSE = 31.0  # seconds; 30 are promised

TARGETS = (
    r"GET /v[\d.]+/info",
    r"POST /v[\d.]+/volumes/create",
    r"GET /v[\d.]+/images/\S+/json",
    r"POST /v[\d.]+/containers/create",
    r"POST /v[\d.]+/containers/\w+/start",
    r"POST /v[\d.]+/containers/\w+/attach",
    r"DELETE /v[\d.]+/containers/",
    r"HEAD /v[\d.]+/containers/",
    r"GET /v[\d.]+/containers/json",
    r"GET /v[\d.]+/volumes",
    r"POST ",
    r"GET ",
    r"",
)
"""What is spoilt: the first requests that look like this."""

BODIES = (
    b"",
    b"[]",
    b"null",
    b"{}",
    b"5",
    b'"yes"',
    b'{"Id": 5}',
    b'{"Id": null, "Warnings": 1}',
    b'{"message": 5}',
    b'{"message": "no"}',
    b'[{"Id": "a", "Created": "x", "Labels": []}]',
    b'{"Id": "',
    b"<html><body>Bad Gateway</body></html>",
    b"\xff\xfe\x00" * 50,
    b"[" * 5000,
    b'{"Volumes": [1], "Name": {}, "Size": "x", "Architecture": []}',
)
STATUSES = (200, 201, 204, 301, 304, 400, 401, 404, 409, 500, 502, 503)
NOISE = (b"\x00" * 64, b"\xff" * 64, b"HTTP/1.1 200 OK\r\n\r\n", b"\x01\x00\x00\x00\x00\x00\x00\x08" + b"\xff" * 8)


class Proxy:
    """Docker's socket behind somebody who does one kind of harm to one kind of request."""

    def __init__(self, path: Path, seed: int) -> None:
        self.address = f"unix://{path}"
        self._path = path
        self._random = random.Random(seed)
        self._target = re.compile(self._random.choice(TARGETS).encode())
        self._harm = self._random.choice(
            (self._answer, self._answer, self._cut, self._cut_late, self._hang, self._delay, self._noise, self._stall)
        )
        self._left = self._random.choice((1, 1, 2, 5, 1000))
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<Proxy {self._target.pattern!r} {self._harm.__name__} {self._left} times>"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
        back = asyncio.create_task(self._copy(up_reader, writer))
        try:
            while data := await reader.read(1 << 16):
                if self._left and b" HTTP/1.1\r\n" in data and self._target.match(data):
                    self._left -= 1
                    if await self._harm(data, writer, up_writer, back):
                        return
                    continue
                up_writer.write(data)
                await up_writer.drain()
        except OSError:
            pass
        finally:
            back.cancel()
            for sink in (writer, up_writer):
                sink.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    # Each returns whether the connection ends.

    async def _answer(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """An answer that makes no sense, in place of the engine's, which may have done what was asked."""
        if self._random.random() < 0.5:
            back.cancel()
            up_writer.write(data)
        body, status = self._random.choice(BODIES), self._random.choice(STATUSES)
        kind = self._random.choice(("application/json", "text/plain"))
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + (b"" if status in {204, 304} else body))
        with contextlib.suppress(OSError):
            await writer.drain()
        await asyncio.sleep(0.05)
        return True

    async def _cut(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """The connection breaks before the answer."""
        del data, writer, up_writer, back
        return True

    async def _cut_late(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """It breaks a moment after what was asked has arrived."""
        del writer, back
        up_writer.write(data)
        await asyncio.sleep(self._random.uniform(0, 0.5))
        return True

    async def _hang(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """Nothing comes."""
        del data, writer, up_writer, back
        await asyncio.sleep(3600)
        return True

    async def _delay(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """It comes late."""
        del writer, back
        await asyncio.sleep(self._random.uniform(0.1, 1.5 * DEADLINE))
        up_writer.write(data)
        return False

    async def _noise(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """Bytes that mean nothing come before it, or after."""
        del back
        if self._random.random() < 0.5:
            writer.write(self._random.choice(NOISE))
        up_writer.write(data)
        await asyncio.sleep(self._random.uniform(0, 0.5))
        writer.write(self._random.choice(NOISE))
        return False

    async def _stall(
        self, data: bytes, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter, back: asyncio.Task[None]
    ) -> bool:
        """The stream stops after a while, in both directions, and nobody is told."""
        del writer
        up_writer.write(data)
        await asyncio.sleep(self._random.uniform(0, 0.6))
        back.cancel()
        await asyncio.sleep(3600)
        return True


class HurriedEngine(ExecutionEngine):
    """An engine that gives Docker a few seconds for each call."""

    def __init__(self, config: EngineConfig, *, brief: bool) -> None:
        super().__init__(config)
        self._brief = brief

    async def _connect(self) -> DockerClient:
        return await DockerClient.connect(
            self.config.docker_host, deadline=DEADLINE, connect_deadline=DEADLINE, brief=self._brief
        )


class Case:
    """One kind of harm, and what is done meanwhile."""

    def __init__(self, seed: int, path: Path) -> None:
        self.seed = seed
        self.proxy = Proxy(path, seed)
        self._random = random.Random(seed + 1_000_000)
        self.faults: list[str] = []
        self.owner = ""
        self.right = self.typed = 0

    async def run(self) -> None:
        """Start an engine, use it, close it."""
        room = self._random.choice((1, 1, 1, 2))  # where there is room, the pool starts a second one ahead of need
        sizes = PoolConfig(min_size=0, max_size=room, wait_timeout=10.0)
        limits = ContainerConfig(memory_limit="128m")
        config = EngineConfig(docker_host=self.proxy.address, prewarm=(), pool=sizes, container=limits)
        async with self.proxy:
            engine = HurriedEngine(config, brief=self._random.random() < 0.5)  # as the command line connects
            try:
                if await self._try("start", self._start(engine)):
                    for _ in range(self._random.randint(1, 3)):
                        use = self._random.choice((self._one_shot, self._pool, self._stream, self._session))
                        await self._try(use.__name__, use(engine))
            finally:
                began = time.monotonic()
                await self._try("aclose", engine.aclose())
                if time.monotonic() - began > CLOSE:
                    self.faults.append(f"aclose took {time.monotonic() - began:.1f} s")

    async def _try(self, what: str, call: object) -> bool:
        assert asyncio.iscoroutine(call)
        try:
            async with asyncio.timeout(PATIENCE):
                await call
        except InterpreterToolsError as error:
            self.typed += 1
            if not error.message:
                self.faults.append(f"{what}: {error!r} says nothing")
            return False
        except TimeoutError:
            self.faults.append(f"{what}: hung")
            return False
        except Exception as error:  # noqa: BLE001 - these are what the test looks for
            self.faults.append(f"{what}: {error!r}")
            return False
        self.right += 1
        return True

    async def _start(self, engine: ExecutionEngine) -> None:
        await engine.start()
        self.owner = owner_of(engine)

    async def _one_shot(self, engine: ExecutionEngine) -> None:
        result = await engine.run("shell", "echo one", timeout=4)
        self._check(result.stdout, "one\n", result.outcome)

    async def _pool(self, engine: ExecutionEngine) -> None:
        result = await engine.run("shell", "echo two", timeout=4, strategy=ContainerStrategy.POOL)
        self._check(result.stdout, "two\n", result.outcome)

    async def _stream(self, engine: ExecutionEngine) -> None:
        async with engine.stream("shell", "echo three; sleep 0.1; echo four", timeout=4) as execution:
            text = "".join([chunk.text async for chunk in execution])
            result = await execution.result()
        self._check(text, "three\nfour\n", result.outcome)

    async def _session(self, engine: ExecutionEngine) -> None:
        async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
            await session.write_file("a", b"abc")
            result = await session.run("shell", "cat a; echo > b", timeout=4)
            self._check(result.stdout, "abc", result.outcome)
            assert await session.read_file_binary("a") == b"abc"

    def _check(self, found: str, right: str, outcome: str) -> None:
        if (found, outcome) != (right, "ok") and outcome != "timeout":
            self.faults.append(f"a wrong result: {found!r} {outcome}")


@pytest.fixture
async def direct() -> AsyncIterator[DockerClient]:
    """The engine without anybody in between."""
    async with await DockerClient.connect() as client:
        yield client


@pytest.mark.timeout(900)
async def test_harm_on_the_way_to_the_engine_is_told_in_time(
    tmp_path: Path, direct: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call gives its result or an error of ours within its deadline, and nothing is left that runs."""
    monkeypatch.setattr(container, "_START_DEADLINE", 8.0)
    turns = asyncio.Semaphore(AT_ONCE)
    cases = [Case(seed, tmp_path / f"{seed}.sock") for seed in range(CASES)]

    async def run(case: Case) -> None:
        async with turns:
            await case.run()

    await asyncio.gather(*map(run, cases))
    faults = [f"seed {case.seed}, {case.proxy}: {fault}" for case in cases for fault in case.faults]
    assert not faults, "\n".join(faults)
    assert sum(case.right for case in cases) > CASES  # it was no storm in which nothing worked
    assert sum(case.typed for case in cases) > CASES // 4
    for owner in {case.owner for case in cases} - {""}:
        await eventually(lambda owner=owner: _running(direct, owner), lambda found: not found, within=30)
        for left in await containers_of(direct, owner):
            await direct.remove_container(left)


async def _running(client: DockerClient, owner: str) -> list[str]:
    return [left for left, state in (await containers_of(client, owner)).items() if state == "running"]
