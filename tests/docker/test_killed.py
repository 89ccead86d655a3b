"""Clients that are killed or stopped: nothing of theirs stays, and nothing wrong comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import EngineConfig, ExecutionEngine
from tests.watch import CLIENTS, containers_of_process, eventually, inspect_container

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

# Keeps creating, starting, running, resetting and removing, all at once.
BUSY = """
import asyncio
from interpreter_tools import *
config = EngineConfig(pool=PoolConfig(min_size=2, max_size=3, max_uses=3))
STRATEGIES = (ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL)
async def caller(engine, strategy):
    while True:
        await engine.run("python", "import time; time.sleep(0.05)", strategy=strategy)
async def in_contexts(engine):
    while True:
        async with engine.context("python") as context:
            for _ in range(5):
                await context.run("import time; time.sleep(0.05)")
async def main():
    print("importing done", flush=True)
    async with ExecutionEngine(config) as engine:
        callers = [caller(engine, strategy) for strategy in STRATEGIES for _ in range(3)]
        await asyncio.gather(*callers, in_contexts(engine))
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def client_of(code: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A client in a process of its own, when it has imported everything; it does not outlive the context."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    CLIENTS.add(process.pid)
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"importing done"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_killed_clients_leave_no_container(docker_client: DockerClient) -> None:
    """At whatever moment of its life: one that runs ends by itself, the next engine removes those never started."""
    chance = random.Random(7)

    async def kill_one(delay: float) -> None:
        async with client_of(BUSY) as process:
            await asyncio.sleep(delay)

        async def look() -> list[str]:
            ids = await containers_of_process(docker_client, process.pid)
            inspected = await asyncio.gather(*map(partial(inspect_container, docker_client), ids))
            return [found["State"]["Status"] for found in inspected if found is not None]

        await eventually(look, lambda states: set(states) <= {"created"})

    for _ in range(4):
        await asyncio.gather(*(kill_one(0.05 + chance.random() * 0.9) for _ in range(3)))
    async with ExecutionEngine(EngineConfig(prewarm=())):
        for pid in tuple(CLIENTS):
            await eventually(lambda pid=pid: containers_of_process(docker_client, pid), lambda ids: not ids)


async def test_terminated_client_leaves_no_container(docker_client: DockerClient) -> None:
    """Ctrl-C closes the engine on its way out."""
    async with client_of(BUSY) as process:
        await eventually(lambda: containers_of_process(docker_client, process.pid), lambda ids: len(ids) >= 2)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            await process.wait()
    assert await containers_of_process(docker_client, process.pid) == []


async def test_stopped_client_gets_the_right_result() -> None:
    """Though it slept through its time limit, and everything that is added to it."""
    code = """
import asyncio
from interpreter_tools import *
from interpreter_tools._execution import execution
execution._BACKSTOP = 2.0
async def main():
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1))) as engine:
        await engine.warm()
        print("importing done", flush=True)
        result = await engine.run("python", "import time; time.sleep(0.5); print('right')", timeout=2)
        print(result.outcome, result.stdout.strip())
asyncio.run(main())
"""
    async with client_of(code) as process:
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(5)
        process.send_signal(signal.SIGCONT)
        stdout, _ = await process.communicate()
    assert stdout == b"ok right\n"
