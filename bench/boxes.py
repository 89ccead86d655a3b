"""Sandboxes inside of containers: ``python -m bench.boxes [rounds]``. Each run has a fresh one, made ahead of need.

The verified reset of the same containers is the baseline, in turns.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import sys
import time
from typing import Literal

from bench._baseline import timed_run
from bench._report import heading, ratio_at_least, ratio_at_most, rounds, run, told
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig

CODE = 'print("hi")'
POOL = ContainerStrategy.POOL
WORKERS = 4
RUNS = 200
PACED = 20
PAUSE = 0.02  # seconds

Way = Literal["sandbox", "container"]


def engine_of(way: Way, containers: int) -> ExecutionEngine:
    """An engine whose containers are used as often as a benchmark likes."""
    pool = PoolConfig(min_size=0, max_size=containers, max_uses=1_000_000)
    return ExecutionEngine(EngineConfig(isolation=way, prewarm=(), pool=pool))


async def rate(engine: ExecutionEngine) -> float:
    """Runs a second, by as many callers as there are containers."""

    async def work(count: int) -> None:
        for _ in range(count):
            (await engine.run("python", CODE, strategy=POOL)).check()

    await asyncio.gather(*(work(5) for _ in range(WORKERS)))
    started = time.perf_counter()
    await asyncio.gather(*(work(RUNS // WORKERS) for _ in range(WORKERS)))
    return RUNS / (time.perf_counter() - started)


async def paced(engine: ExecutionEngine) -> float:
    """Milliseconds of a run that comes after a pause; the median of some."""
    taken: list[float] = []
    for _ in range(PACED):
        await asyncio.sleep(PAUSE)
        taken.append(await timed_run(engine.run("python", CODE, strategy=POOL)))
    return statistics.median(taken)


async def bare() -> float:
    """Milliseconds of ``python3 -c`` on this machine; the median of some."""
    taken: list[float] = []
    for _ in range(PACED // 4):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", CODE, stdout=asyncio.subprocess.DEVNULL)
        await process.wait()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


async def main(count: int) -> None:
    """Run every comparison."""
    heading()
    async with engine_of("sandbox", WORKERS) as boxed, engine_of("container", WORKERS) as reset:

        async def settle() -> None:
            await asyncio.sleep(0.1)

        actions = (functools.partial(rate, boxed), functools.partial(rate, reset))
        fresh, again = await rounds(*actions, count=count, settle=settle)
        told("python, runs in fresh sandboxes", fresh, unit="per s")
        ratio_at_least("python, fresh sandboxes / verified resets", fresh, again, unit="per s", target=0.6)
        single, usual, start = await rounds(
            functools.partial(paced, boxed), functools.partial(paced, reset), bare, count=count, settle=settle
        )
        ratio_at_most("python, single run in a fresh sandbox / after a reset", single, usual, unit="ms", target=1.5)
        ratio_at_most("python, single run in a fresh sandbox / bare python3 -c", single, start, unit="ms", target=0.35)
        assert not boxed.stats().discards


if __name__ == "__main__":
    run(main, rounds=5)
