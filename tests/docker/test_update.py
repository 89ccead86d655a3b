"""Limits of a container that runs: changed when they differ, and only then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ContainerConfig,
    ContainerStrategy,
    DockerApiError,
    EngineConfig,
    ExecutionEngine,
    PoolConfig,
)
from tests.relay import Relay
from tests.watch import FORK_ALL, idle_container, inspect_container

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools._container.container import Container
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
MIB = 1 << 20


def limited(memory: str, *, cpu_limit: float | None = None, pids_limit: int = 256) -> ContainerConfig:
    """The container of these tests, with these limits."""
    return ContainerConfig(
        memory_limit=memory, cpu_limit=cpu_limit, pids_limit=pids_limit, workspace_size="32m", tmp_size="8m"
    )


class Held:
    """An engine with one container, whose limits a test changes while it waits.

    Attributes:
        engine: the engine.
        container: its container.
        relay: what the engine asked.
    """

    def __init__(self, engine: ExecutionEngine, container: Container, relay: Relay) -> None:
        self.engine = engine
        self.container = container
        self.relay = relay

    def updates(self) -> int:
        """How often limits were changed."""
        return sum(b"/update" in call for call in self.relay.calls)


@pytest.fixture
async def held(tmp_path: Path, patience: None) -> AsyncIterator[Held]:
    """A container of 256 MiB and all cores, which is the same one for all runs of a test."""
    del patience
    async with Relay(tmp_path / "docker.sock") as relay:
        config = EngineConfig(
            docker_host=relay.address, container=limited("256m"), prewarm=(), pool=PoolConfig(min_size=0, max_size=1)
        )
        async with ExecutionEngine(config) as engine:
            await engine.run("python", "", strategy=POOL)
            yield Held(engine, await idle_container(engine), relay)


async def outcome(held: Held, mebibytes: int) -> str:
    """How a program ends that takes so much memory."""
    return (await held.engine.run("python", f"x = bytearray({mebibytes} << 20)", strategy=POOL)).outcome


async def processes(held: Held) -> int:
    """How many a program can start."""
    return int((await held.engine.run("python", FORK_ALL, strategy=POOL)).check().stdout)


async def limits(client: DockerClient, container: Container) -> tuple[int, int, int]:
    """Memory, memory with swap, and cores, as the engine knows them."""
    inspected = await inspect_container(client, container.id)
    assert inspected is not None
    host = inspected["HostConfig"]
    return host["Memory"], host["MemorySwap"], host["NanoCpus"]


async def test_memory_is_lowered_raised_and_restored(held: Held, docker_client: DockerClient) -> None:
    """Memory and swap together, in whichever order the kernel wants them; the program feels it."""
    container = held.container
    assert await outcome(held, 150) == "ok"
    await container.apply_limits(limited("100m"))
    assert (await limits(docker_client, container))[:2] == (100 * MIB, 100 * MIB)
    assert await outcome(held, 150) == "oom"
    await container.apply_limits(limited("400m"))
    assert (await limits(docker_client, container))[:2] == (400 * MIB, 400 * MIB)
    assert await outcome(held, 300) == "ok"
    await container.restore_limits()
    assert (await limits(docker_client, container))[:2] == (256 * MIB, 256 * MIB)
    assert await outcome(held, 300) == "oom"
    assert await outcome(held, 150) == "ok"
    assert held.engine.stats().refills == 1


async def test_no_request_is_made_where_nothing_changes(held: Held) -> None:
    """It would cost 13 ms."""
    container = held.container
    calls = len(held.relay.calls)
    await container.restore_limits()
    await container.apply_limits(limited("256m"))
    assert len(held.relay.calls) == calls
    await container.apply_limits(limited("200m", cpu_limit=0.5))
    await container.apply_limits(limited("200m", cpu_limit=0.5))
    assert held.updates() == 1
    await container.restore_limits()
    await container.restore_limits()
    assert held.updates() == 2


async def test_cores_are_limited_and_given_back(held: Held) -> None:
    """Where there was no limit before, all of them count as none."""
    spin = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    await held.container.apply_limits(limited("256m", cpu_limit=0.25))
    slow = await held.engine.run("python", spin, strategy=POOL)
    assert slow.cpu_time < 0.6 * slow.execution_time
    await held.container.restore_limits()
    throttled = """
import time
def periods():
    for path in ("/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/cpu.stat", "/sys/fs/cgroup/cpu.stat"):
        try: return int(dict(line.split() for line in open(path)).get("nr_throttled", 0))
        except OSError: pass
before = periods()
end = time.monotonic() + 0.5
while time.monotonic() < end: pass
print(periods() - before)
"""
    assert (await held.engine.run("python", throttled, strategy=POOL)).stdout == "0\n"


async def test_processes_are_limited_and_given_back(held: Held, docker_client: DockerClient) -> None:
    """The kernel counts them anew at once; what else was limited stays so."""
    before = await processes(held)
    await held.container.apply_limits(limited("256m", pids_limit=30))
    assert await processes(held) < 30 <= before
    assert (await limits(docker_client, held.container))[:2] == (256 * MIB, 256 * MIB)
    await held.container.restore_limits()
    assert await processes(held) == before
    assert held.updates() == 2


async def test_limits_that_cannot_be_are_refused_and_leave_the_old_ones(
    held: Held, docker_client: DockerClient
) -> None:
    """By the engine, with a hint; what is set then is asked for anew."""
    container = held.container
    before = await limits(docker_client, container)
    with pytest.raises(DockerApiError, match="cpu_limit"):
        await container.apply_limits(limited("256m", cpu_limit=4000))
    assert await limits(docker_client, container) == before
    assert "in doubt" in repr(container._limits)
    await container.restore_limits()
    assert held.updates() == 2
    assert await outcome(held, 150) == "ok"


async def test_memory_that_is_in_use_is_not_taken_away(held: Held) -> None:
    """The kernel refuses (version 1 of control groups), or ends the program; the container is as good as before."""
    code = "x = bytearray(150 << 20); print('ready', flush=True); input()"
    async with held.engine.stream("python", code, strategy=POOL) as execution:
        await anext(execution)
        try:
            await held.container.apply_limits(limited("100m"))
        except DockerApiError as error:
            assert "memory_limit" in error.hint  # noqa: PT017 - either may happen
            await execution.send_stdin(b"\n")
            assert (await execution.result()).outcome == "ok"
        else:
            assert (await execution.result()).outcome == "oom"
    await held.container.restore_limits()
    assert await outcome(held, 150) == "ok"


async def test_cancelled_change_does_not_overtake_the_next(held: Held, docker_client: DockerClient) -> None:
    """The engine may serve it late: the next one waits for that."""
    container = held.container
    task = asyncio.ensure_future(container.apply_limits(limited("128m")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "in doubt" in repr(container._limits)
    await container.restore_limits()
    assert (await limits(docker_client, container))[:2] == (256 * MIB, 256 * MIB)
    assert "in doubt" not in repr(container._limits)
    assert held.updates() == 2
