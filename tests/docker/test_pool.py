"""Warm containers: lent without asking Docker, replaced, given up in time."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ContainerConfig,
    ContainerStrategy,
    EngineClosed,
    EngineConfig,
    EngineStats,
    ExecutionEngine,
    InterpreterBoot,
    LanguageConfig,
    LanguageRegistry,
    PoolClosed,
    PoolConfig,
    PoolTimeout,
)
from tests.relay import Relay
from tests.watch import containers_of, eventually, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interpreter_tools._config.model import RunStrategy
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL


async def when(engine: ExecutionEngine, right: Callable[[EngineStats], bool], *, within: float = 60) -> EngineStats:
    """The statistics as soon as they are right."""

    async def look() -> EngineStats:
        return engine.stats()

    return await eventually(look, right, within=within)


def engine_of(
    prewarm: tuple[str, ...] = ("python",),
    container: ContainerConfig | None = None,
    strategy: RunStrategy = "auto",
    **pool: float,
) -> ExecutionEngine:
    """An engine whose pool is as told."""
    sizes = PoolConfig(**pool)  # pyright: ignore[reportArgumentType]
    return ExecutionEngine(
        EngineConfig(prewarm=prewarm, container=container or ContainerConfig(), strategy=strategy, pool=sizes)
    )


# -- lending


async def test_engine_warms_what_it_is_told(docker_client: DockerClient) -> None:
    """Ahead of the first run, and no more than that."""
    async with engine_of(("python", "shell"), min_size=2, max_size=4) as engine:
        await engine.warm()
        stats = engine.stats()
        assert (stats.idle, stats.busy, stats.starting, stats.refills, stats.discards) == (4, 0, 0, 4, {})
        assert sorted(pool.shape.split()[0] for pool in stats.pools) == ["python", "shell"]
        found = await containers_of(docker_client, engine)
        assert list(found.values()) == ["running"] * 4


async def test_warm_lease_asks_docker_nothing(tmp_path: Path) -> None:
    """Though its engine does not answer any more, the warm ones run code."""
    async with Relay(tmp_path / "docker.sock") as relay:
        config = EngineConfig(docker_host=relay.address, pool=PoolConfig(min_size=2, max_size=2))
        async with ExecutionEngine(config) as engine:
            await engine.warm()
            relay.calls.clear()
            async with engine.stream("python", "print('warm')") as execution:
                first = await anext(execution)
                assert relay.calls == []
            assert first.text == "warm\n"
            stats = engine.stats()
            assert (stats.hits, stats.misses) == (1, 0)


async def test_used_ones_are_replaced_ahead_of_the_next_run(docker_client: DockerClient) -> None:
    """Each run has a container of its own, and finds it warm."""
    async with engine_of(min_size=2, max_size=4, strategy=ContainerStrategy.PER_EXECUTION) as engine:
        await engine.warm()
        for number in range(4):
            assert (await engine.run("python", f"print({number})")).stdout == f"{number}\n"
            await when(engine, lambda stats: stats.idle >= 2 and stats.starting == 0)
        stats = engine.stats()
        assert (stats.hits, stats.misses, stats.refills, stats.discards) == (4, 0, 6, {"used": 4})
        await eventually(lambda: containers_of(docker_client, engine), lambda found: len(found) == 2)
        assert "0 busy, 2 idle, 0 starting" in repr(
            engine._running and next(iter(engine._running.runtime.pools.values()))
        )


async def test_pool_grows_with_demand_and_shrinks_again() -> None:
    """Between ``min_size`` and ``max_size``."""
    async with engine_of(min_size=1, max_size=4, max_idle=1) as engine:
        await engine.warm()
        await asyncio.gather(*(engine.run("shell", "sleep 0.3", strategy=POOL) for _ in range(4)))
        await when(engine, lambda stats: stats.pools[1].idle == 4)
        stats = await when(engine, lambda stats: stats.pools[1].idle == 0 and stats.idle == 1)
        assert stats.discards == {"idle": 4}


async def test_callers_are_served_in_turn() -> None:
    """First come, first served."""
    async with engine_of((), min_size=0, max_size=2) as engine:
        order: list[int] = []

        async def one(number: int) -> None:
            async with engine.stream("shell", "sleep 0.02", strategy=POOL) as execution:
                order.append(number)
                await execution.result()

        tasks: list[asyncio.Task[None]] = []
        async with engine.stream("shell", "read x", strategy=POOL), engine.stream("shell", "read x", strategy=POOL):
            for number in range(30):
                tasks.append(asyncio.create_task(one(number)))
                await asyncio.sleep(0.001)
            assert engine.stats().waiting == 30
        await asyncio.gather(*tasks)
        assert order == list(range(30))
        assert engine.stats().misses == 32


async def test_last_used_is_lent_first() -> None:
    """So that the others can expire."""
    async with engine_of(min_size=3, max_size=3) as engine:
        await engine.warm()
        code = "import os; print(os.stat('/').st_dev)"  # of the container: a sandbox in it has a workspace of its own
        devices: set[str] = set()
        await asyncio.gather(*(engine.run("python", code, strategy=POOL) for _ in range(3)))
        await when(engine, lambda stats: stats.busy == 0 and stats.starting == 0)
        for _ in range(6):
            devices.add((await engine.run("python", code, strategy=POOL)).stdout)
            await when(engine, lambda stats: stats.busy == 0 and stats.starting == 0)
        assert len(devices) == 1


async def test_waiting_has_a_limit() -> None:
    """It is told with what there is and what to do; the one that comes later is not lost."""
    async with engine_of((), min_size=0, max_size=1, wait_timeout=5) as engine:
        async with engine.stream("shell", "read line", strategy=POOL) as execution:
            with pytest.raises(PoolTimeout, match=r"shell \[1 busy, 0 idle, 0 starting\].*within 5 s") as caught:
                await engine.run("shell", "", strategy=POOL)
            assert (caught.value.waited, isinstance(caught.value, TimeoutError)) == (5, True)
            assert "max_size" in caught.value.hint
            await execution.close_stdin()
            await execution.result()
        assert (await engine.run("shell", "echo 1", strategy=POOL)).stdout == "1\n"


async def test_hundred_callers_get_their_own_answers() -> None:
    """On four containers."""
    async with engine_of(min_size=2, max_size=4) as engine:
        results = await asyncio.gather(*(engine.run("python", f"print({n})", strategy=POOL) for n in range(100)))
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(100)]
        stats = engine.stats()
        assert stats.hits + stats.misses == 100
        assert stats.discards == {}


async def test_shapes_have_pools_of_their_own(docker_client: DockerClient) -> None:
    """Limits, image and reuse tell them apart; the timeout or variables of a run do not."""
    async with engine_of((), min_size=0, max_size=2) as engine:
        for options in ({}, {"timeout": 3}, {"environment": {"A": "1"}}, {"stdin": b""}, {"output_limit": 9}):
            await engine.run("python", "", strategy=POOL, **options)  # pyright: ignore[reportArgumentType]
        assert len(engine.stats().pools) == 1
        for number, options in enumerate(
            ({"memory_limit": "128m"}, {"cpu_limit": 1}, {"strategy": ContainerStrategy.PER_EXECUTION})
        ):
            await engine.run("python", "", **{"strategy": POOL, **options})  # pyright: ignore[reportArgumentType]
            assert len(engine.stats().pools) == number + 2
        await engine.run("shell", "", strategy=POOL)
        await engine.run("bash", "", strategy=POOL)  # the same image, and nothing is booted ahead
        assert len(engine.stats().pools) == 5
        assert len(await containers_of(docker_client, engine)) <= 10


# -- expiry


async def test_idle_ones_beyond_the_floor_expire() -> None:
    """After ``max_idle`` seconds."""
    async with engine_of(min_size=1, max_size=3, max_idle=0.8) as engine:
        await engine.warm()
        await asyncio.gather(*(engine.run("python", "import time; time.sleep(0.3)", strategy=POOL) for _ in range(3)))
        stats = await when(engine, lambda stats: stats.discards.get("idle", 0) >= 3)
        assert set(stats.discards) == {"idle"}
        assert (await when(engine, lambda stats: stats.starting == 0)).idle == 1  # the prewarmed one, of another shape


async def test_old_ones_are_replaced(docker_client: DockerClient) -> None:
    """After ``max_age`` seconds, idle or used."""
    async with engine_of(min_size=2, max_size=4, max_age=2.0) as engine:
        await engine.warm()
        before = set(await containers_of(docker_client, engine))
        await when(engine, lambda stats: stats.discards.get("age", 0) >= 2 and stats.idle + stats.starting == 2)
        await eventually(lambda: containers_of(docker_client, engine), before.isdisjoint)
        await engine.run("shell", "sleep 2.1", strategy=POOL)
        await when(engine, lambda stats: stats.discards.get("age", 0) >= 3)


async def test_often_used_ones_are_replaced() -> None:
    """After ``max_uses`` runs."""
    async with engine_of((), min_size=0, max_size=1, max_uses=3) as engine:
        for _ in range(7):
            await engine.run("shell", "", strategy=POOL)
        stats = engine.stats()
        assert (stats.refills, stats.discards) == (3, {"uses": 2})


# -- containers that die


@pytest.mark.parametrize("command", [["rm", "-fv"], ["kill"], ["stop", "-t", "0"]])
async def test_idle_ones_that_die_are_replaced(docker_client: DockerClient, command: list[str]) -> None:
    """Before anybody asks for them."""
    async with engine_of(min_size=2, max_size=3) as engine:
        await engine.warm()
        victims = list(await containers_of(docker_client, engine))
        await asyncio.to_thread(subprocess.run, ["docker", *command, *victims], check=True, capture_output=True)
        await when(engine, lambda stats: stats.discards == {"lost": 2} and stats.idle == 2)
        assert (await engine.run("python", "print(1)")).stdout == "1\n"
        await eventually(lambda: containers_of(docker_client, engine), lambda found: not set(victims) & set(found))


async def test_those_that_die_again_and_again_are_replaced_slowly() -> None:
    """They start, but die before anybody asks for them: each time it takes longer until the next is tried."""
    boot = InterpreterBoot(mode="single", command=("sh", "-c", "printf r >&3; sleep 0.05"))
    mayfly = LanguageConfig(
        language="mayfly",
        default_image="interpreter-tools/shell:1",
        code_filename="main.txt",
        run_command=("cat", "{file}"),
        boot=boot,
    )
    LanguageRegistry.register(mayfly)
    began = time.monotonic()
    async with engine_of(("mayfly",), min_size=1, max_size=2) as engine:
        await when(engine, lambda stats: stats.discards.get("lost", 0) >= 6)
        assert time.monotonic() - began > 0.1 + 0.2 + 0.4 + 0.8 + 1.6


async def test_close_drains(docker_client: DockerClient) -> None:
    """Nothing is left of idle, busy and starting ones; whoever waited is told."""
    async with engine_of(min_size=2, max_size=8) as engine:
        owner = owner_of(engine)
        await engine.warm()
        runs = [asyncio.create_task(engine.run("python", "import time; time.sleep(9)")) for _ in range(5)]
        await asyncio.sleep(0.1)
    assert await containers_of(docker_client, owner) == {}
    for error in await asyncio.gather(*runs, return_exceptions=True):
        assert isinstance(error, (EngineClosed, PoolClosed))
