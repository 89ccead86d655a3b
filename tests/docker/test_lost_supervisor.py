"""The supervisor's volume is removed while an engine runs, and the event loop is closed without the engine."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import supervisor
from interpreter_tools._exceptions import DockerApiError, MachineError
from interpreter_tools._runtime import runtime
from tests.watch import containers_of, eventually

if TYPE_CHECKING:
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

ORPHAN = """
import asyncio, sys, warnings
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig

engine = ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2)))

async def main():
    await engine.start()
    await engine.run("python", "")
    session = engine.session(strategy="per_session")
    await session.run("shell", "")

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
print("closed", flush=True)
sys.stdin.read()
"""


def with_own_volume(monkeypatch: pytest.MonkeyPatch, words: bytes) -> None:
    """Another program has another volume, which nobody else uses."""
    original = supervisor.load_supervisor

    def load(architecture: str) -> bytes:
        return original(architecture) + words

    monkeypatch.setattr(supervisor, "load_supervisor", load)


@pytest.mark.parametrize("content", ["nothing", "half"])
async def test_volume_without_the_supervisor_is_filled_before_the_first_run(
    docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """An engine that starts takes it unseen; its first container shows what is in it."""
    with_own_volume(monkeypatch, f"\0of another test: {content}".encode())
    found = await supervisor.find_supervisor_volume(docker_client)
    try:
        if content == "half":
            monkeypatch.setattr(supervisor, "_YEAR_2000", 7)  # a time that is not its own
            with contextlib.suppress(MachineError):
                await supervisor.ensure_supervisor_volume(docker_client)
            monkeypatch.undo()
            with_own_volume(monkeypatch, f"\0of another test: {content}".encode())
        config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
        async with ExecutionEngine(config) as engine:
            assert (await engine.run("shell", "echo one")).stdout == "one\n"
            assert engine._running is not None
            assert engine._running.runtime.supervisor.expected is None
    finally:
        await docker_client.remove_volume(found.name)
        await docker_client.remove_image(found.name.replace("-supervisor-", "-supervisor:"))


async def test_removed_supervisor_is_brought_back(docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next container that is started fills the volume again."""
    with_own_volume(monkeypatch, b"\0of a test")
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        assert engine._running is not None
        running = engine._running.runtime
        name = running.supervisor.name
        try:
            assert (await engine.run("shell", "echo one")).stdout == "one\n"
            for pool in running.pools.values():
                await pool.aclose()
            running.pools.clear()

            async def removed() -> bool:
                for container in await containers_of(docker_client, engine):
                    await docker_client.remove_container(container)
                try:
                    await docker_client.remove_volume(name)
                except DockerApiError:  # a container that was starting has it
                    return False
                return True

            await eventually(removed, bool)
            assert (await engine.run("shell", "echo two")).stdout == "two\n"
            assert (await engine.run("python", "print(3)")).stdout == "3\n"
        finally:
            await engine.aclose()
            await docker_client.remove_volume(name)
            await docker_client.remove_image(name.replace("-supervisor-", "-supervisor:"))


async def test_volume_that_another_engine_takes_away_is_filled_again(
    docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that saw it half filled removes it right after this one has filled it, twice."""
    with_own_volume(monkeypatch, b"\0of one more test")
    taken: list[str] = []

    async def fill_and_lose(client: DockerClient) -> supervisor.SupervisorVolume:
        volume = await supervisor.ensure_supervisor_volume(client)
        if len(taken) < 2:
            await client.remove_volume(volume.name)
            taken.append(volume.name)
        return volume

    monkeypatch.setattr(runtime, "ensure_supervisor_volume", fill_and_lose)
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    name = (await supervisor.find_supervisor_volume(docker_client)).name
    try:
        async with ExecutionEngine(config) as engine:
            assert (await engine.run("shell", "echo one")).stdout == "one\n"
        assert taken == [name, name]
    finally:
        await docker_client.remove_volume(name)
        await docker_client.remove_image(name.replace("-supervisor-", "-supervisor:"))


async def test_containers_end_soon_after_the_event_loop_was_closed(docker_client: DockerClient) -> None:
    """Though the process lives on, and holds the engine: and long before the process does."""
    client = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-W", "default", "-c", ORPHAN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert client.stdout is not None
        assert await asyncio.to_thread(client.stdout.readline) == b"closed\n"
        await eventually(
            lambda: docker_client.list_containers(labels={"interpreter-tools.pid": str(client.pid)}),
            lambda found: all(container.state == "created" for container in found),  # none runs
        )
        assert client.poll() is None
    finally:
        client.kill()
        _, errors = await asyncio.to_thread(client.communicate)
    assert b"was closed without" in errors
