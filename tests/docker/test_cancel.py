"""Stopping early: by cancellation, by ``kill``, by leaving; nothing leaks and the next run is right."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from interpreter_tools import (
    ContainerStrategy,
    EngineClosed,
    EngineConfig,
    ExecutionClosed,
    ExecutionEngine,
    PoolClosed,
    PoolConfig,
)
from tests.watch import ONE_SHOT, busy_container, containers_of, eventually, open_descriptors, owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
FOREVER = "import time\nprint('started', flush=True)\ntime.sleep(99)"
SMALL = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2, wait_timeout=30))


@pytest.fixture
async def small() -> AsyncIterator[ExecutionEngine]:
    """An engine of two containers at most, none of them ahead."""
    async with ExecutionEngine(SMALL) as engine:
        yield engine


async def settled(client: DockerClient, engine: ExecutionEngine) -> None:
    """Wait until the engine is at rest, and has as many containers as it believes."""

    async def look() -> tuple[int, int, int, int]:
        stats = engine.stats()
        return stats.busy, stats.starting, stats.waiting, len(await containers_of(client, engine)) - stats.idle

    await eventually(look, lambda seen: seen == (0, 0, 0, 0))


async def cancelled(action: Callable[[], Awaitable[object]], delay: float) -> bool:
    """Whether cancelling an action after so many seconds came in time; it must end promptly."""
    task = asyncio.ensure_future(action())
    await asyncio.sleep(delay)
    task.cancel()
    before = time.monotonic()
    try:
        await task
    except asyncio.CancelledError:
        return True
    finally:
        assert time.monotonic() - before < 20  # the program sleeps for 99 s
    return False


# -- cancellation


@pytest.mark.parametrize("delay", [0, 0.001, 0.02, 0.06, 0.12, 0.2])
async def test_cancelled_start_loses_no_container(
    small: ExecutionEngine, docker_client: DockerClient, delay: float
) -> None:
    """At whatever step of a container's start: it is kept, or removed."""
    assert await cancelled(lambda: small.run("python", FOREVER), delay)
    assert (await small.run("python", "print('right')")).stdout == "right\n"
    await settled(docker_client, small)


async def test_cancelled_wait_loses_no_container(small: ExecutionEngine, docker_client: DockerClient) -> None:
    """Those who still wait get theirs, in turn."""
    async with small.stream("python", FOREVER) as first, small.stream("python", FOREVER) as second:
        await anext(first)
        await anext(second)
        waiting = [asyncio.create_task(small.run("python", f"print({n})")) for n in range(6)]
        await asyncio.sleep(0.05)
        assert small.stats().waiting == 6
        for task in waiting[::2]:
            task.cancel()
        await asyncio.sleep(0)
        await first.kill()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert [getattr(result, "stdout", result) for result in results[1::2]] == ["1\n", "3\n", "5\n"]
    await settled(docker_client, small)


async def test_cancelled_stream_kills_the_program(small: ExecutionEngine, docker_client: DockerClient) -> None:
    """Its container goes with it."""

    async def stream() -> None:
        async with small.stream("python", FOREVER) as execution:
            async for _ in execution:
                started.set()

    started = asyncio.Event()
    task = asyncio.create_task(stream())
    await started.wait()
    before = busy_container(small)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: containers_of(docker_client, small), lambda found: before not in found)
    await settled(docker_client, small)


async def test_every_method_that_waits_can_be_cancelled(engine: ExecutionEngine) -> None:
    """And the execution goes on as if nobody had asked."""
    code = "import sys, time; print(1, flush=True); time.sleep(0.5); print(len(sys.stdin.read()))"
    async with engine.stream("python", code, strategy=POOL) as execution:
        await anext(execution)
        for wait in (execution.__anext__, lambda: execution.send_stdin(bytes(1_000_000)), execution.result):
            assert await cancelled(wait, 0.05)
        await execution.close_stdin()
        result = await execution.result()
    assert (result.outcome, result.stdout) == ("ok", "1\n1000000\n")


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_cancelled_at_any_moment(
    docker_client: DockerClient, strategy: ContainerStrategy, record_property: Callable[[str, object], None]
) -> None:
    """Hundreds of times: no output crosses into another run, and nothing is lost or left."""
    chance = random.Random(6)
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4))
    async with ExecutionEngine(config) as engine:
        counts = {True: 0, False: 0}

        async def one(number: int) -> None:
            seen: list[str] = []

            async def stream() -> None:
                code = f"import sys\nfor _ in range(300): print('run {number}', flush=True)\nsys.stdin.read()"
                async with engine.stream("python", code, stdin=b"x" * 1000, strategy=strategy) as execution:
                    seen.extend([chunk.text async for chunk in execution])
                    await execution.result()

            await asyncio.sleep(chance.random() * 3)
            if number % 10:
                counts[await cancelled(stream, chance.random() * 0.1)] += 1
            else:  # on a busy machine no other would come to its end
                await stream()
                counts[False] += 1
            assert set("".join(seen).split("\n")[:-1]) <= {f"run {number}"}

        await asyncio.gather(*(one(number) for number in range(300)))
        results = await asyncio.gather(*(engine.run("python", f"print({n})", strategy=strategy) for n in range(8)))
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(8)]
        await settled(docker_client, engine)
        owner = owner_of(engine)
    record_property("cancelled", counts[True])
    assert min(counts.values()) > 0
    assert await containers_of(docker_client, owner) == {}


async def test_time_outs_of_the_caller_are_cancellations(engine: ExecutionEngine) -> None:
    """Those of asyncio and those of anyio."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await engine.run("python", FOREVER, strategy=POOL)
    with anyio.move_on_after(0.2) as scope:
        await engine.run("python", FOREVER, strategy=POOL)
    assert scope.cancelled_caught
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run, "python", FOREVER)
        await anyio.sleep(0.2)
        group.cancel_scope.cancel()
    assert (await engine.run("python", "print(1)", strategy=POOL)).stdout == "1\n"


# -- kill, and leaving


async def test_kill_ends_everything_and_says_so(engine: ExecutionEngine) -> None:
    """At once; once more does nothing."""
    code = "import os, time\nfor _ in range(4): os.fork()\nos.write(1, b'x')\ntime.sleep(99)"
    async with engine.stream("python", code, strategy=POOL) as execution:
        await anext(execution)
        before = time.monotonic()
        await execution.kill()
        await execution.kill()
        result = await execution.result()
        assert time.monotonic() - before < 20
        await execution.kill()
    assert (result.outcome, result.signal, result.exit_code) == ("killed", 9, 137)
    assert (await engine.run("python", "print(1)", strategy=POOL)).stdout == "1\n"


async def test_kill_after_the_end_reaches_nobody(engine: ExecutionEngine) -> None:
    """Neither the run that has ended, nor the next one in the same container."""
    for _ in range(20):
        async with engine.stream("shell", "echo 1", strategy=POOL) as execution:
            assert (await execution.result()).outcome == "ok"
            next_run = asyncio.create_task(engine.run("shell", "echo 2", strategy=POOL))
            await execution.kill()
            assert (await next_run).stdout == "2\n"


async def test_leaving_early_ends_the_run(small: ExecutionEngine, docker_client: DockerClient) -> None:
    """By ``break``, by an exception, or at once."""
    async with small.stream("python", FOREVER) as execution:
        async for _ in execution:
            break
    with pytest.raises(ExecutionClosed, match="left before it ended"):
        await execution.result()
    with pytest.raises(LookupError):
        async with small.stream("python", FOREVER):
            raise LookupError
    async with small.stream("python", FOREVER) as execution:
        await execution.aclose()
        await execution.aclose()
    await settled(docker_client, small)
    assert (await small.run("python", "print('right')")).stdout == "right\n"


async def test_execution_that_is_never_started_holds_nothing(small: ExecutionEngine) -> None:
    """No container is leased for it."""
    small.stream("python", FOREVER)
    assert small.stats().pools == ()


# -- many at once


@pytest.mark.parametrize(
    ("strategy", "discards"), [(ContainerStrategy.PER_EXECUTION, {"used": 50}), (ContainerStrategy.POOL, {})]
)
async def test_fifty_runs_on_a_pool_of_four(
    docker_client: DockerClient, strategy: ContainerStrategy, discards: dict[str, int]
) -> None:
    """All are right, and never more than four containers are alive."""
    config = EngineConfig(prewarm=("shell",), strategy=strategy, pool=PoolConfig(min_size=4, max_size=4))
    async with ExecutionEngine(config) as engine:
        alive: list[int] = []

        async def count() -> None:
            while True:
                stats = engine.stats()
                alive.append(stats.idle + stats.busy + stats.starting)
                await asyncio.sleep(0.005)  # more often would take the processor from the runs

        counter = asyncio.create_task(count())
        results = await asyncio.gather(*(engine.run("shell", f"echo $(({n} ** 2))") for n in range(50)))
        counter.cancel()
        assert [result.stdout for result in results] == [f"{n**2}\n" for n in range(50)]
        assert max(alive) == 4
        await settled(docker_client, engine)
        assert engine.stats().discards == discards


async def test_nothing_leaks(docker_client: DockerClient) -> None:
    """Tasks, descriptors and containers are as many after an engine's life as before, however its runs ended."""
    await containers_of(docker_client, "")  # its connection is open from here on
    tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
    for _ in range(2):
        async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=2, max_size=4))) as engine:
            owner = owner_of(engine)
            for strategy in ONE_SHOT:
                await asyncio.gather(*(engine.run("python", "print(1)", strategy=strategy) for _ in range(6)))
                await cancelled(lambda strategy=strategy: engine.run("python", FOREVER, strategy=strategy), 0.05)
                async with engine.stream("python", FOREVER, strategy=strategy) as execution:
                    await anext(execution)
            left = asyncio.create_task(engine.run("python", FOREVER))
            await asyncio.sleep(0.3)
        assert await containers_of(docker_client, owner) == {}
        with pytest.raises((EngineClosed, PoolClosed)):  # it was running, or waiting
            await left
        del left
    gc.collect()
    assert len(asyncio.all_tasks()) == tasks

    async def open_now() -> int:
        return open_descriptors()

    await eventually(open_now, lambda count: count <= descriptors)  # a transport closes in the loop's next turn


@pytest.mark.parametrize("delay", [0, 0.001, 0.01, 0.05])
@pytest.mark.parametrize("how", ["asyncio", "anyio"])
async def test_cancelled_close_is_complete(docker_client: DockerClient, how: str, delay: float) -> None:
    """Whoever stops waiting for it cannot stop it."""
    engine = await ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=2, max_size=4))).start()
    await engine.warm()
    owner, running = owner_of(engine), asyncio.create_task(engine.run("python", FOREVER))
    await asyncio.sleep(0.05)
    if how == "asyncio":
        await cancelled(engine.aclose, delay)
    else:
        with anyio.move_on_after(delay):
            await engine.aclose()
    with pytest.raises(EngineClosed):
        await running
    assert await containers_of(docker_client, owner) == {}


@pytest.mark.parametrize("delay", [0, 0.001, 0.005, 0.02, 0.1, 0.2])
async def test_engine_can_be_closed_while_it_warms(docker_client: DockerClient, delay: float) -> None:
    """Quickly, and what was just starting is gone when it returns."""
    engine = await ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=2, max_size=4))).start()
    owner = owner_of(engine)
    await asyncio.sleep(delay)
    before = time.monotonic()
    await engine.aclose()
    assert time.monotonic() - before < 20  # 30 s are the most that closing takes
    assert await containers_of(docker_client, owner) == {}


@pytest.mark.parametrize("delay", [0, 0.001, 0.005, 0.02, 0.05])
async def test_cancelled_start_of_an_engine_leaves_nothing(delay: float) -> None:
    """It can be closed, and needs not be."""
    tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
    engine = ExecutionEngine(EngineConfig(prewarm=()))
    await cancelled(engine.start, delay)
    await engine.aclose()
    assert len(asyncio.all_tasks()) == tasks

    async def open_now() -> int:
        return open_descriptors()

    await eventually(open_now, lambda count: count <= descriptors)  # a transport closes in the loop's next turn
