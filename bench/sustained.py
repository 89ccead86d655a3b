"""Fresh surroundings that are asked for at a rate, as a service sees it: ``python -m bench.sustained [seconds]``.

Runs arrive at random, so many a second on average, whether or not the last has ended. Below the edge of what the
machine can make, a run finds what it needs ready; above it, every run waits for those before it. That edge lies far
higher for sandboxes inside of containers than for containers.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import NamedTuple

from bench._baseline import timed_run
from bench._report import heading, limit, run, told
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig

CODE = 'print("hi")'
RATES = (2, 5, 8, 12)
TARGETS = {2: 20.0, 5: 60.0}
"""Milliseconds that 99 of 100 runs may take, where two cores keep up."""

BOXED_RATE = 100
BOXED_TARGETS = (4.0, 20.0)
"""Milliseconds that half of the runs in fresh sandboxes may take, and 99 of 100."""

SETTLING = 3
"""Seconds of a service's beginning that do not count: the pool learns how many containers the rate takes."""


class Taken(NamedTuple):
    """The milliseconds that half of the runs took at most, and 99 of 100; the percentage that waited for nothing."""

    half: float
    most: float
    hits: float


async def arrivals(config: EngineConfig, strategy: ContainerStrategy, rate: int, seconds: float) -> Taken:
    """Let runs arrive at a rate."""
    chance = random.Random(rate)
    taken: list[float] = []
    async with ExecutionEngine(config) as engine:
        await engine.warm("python", strategy=strategy)

        async def one() -> None:
            taken.append(await timed_run(engine.run("python", CODE, strategy=strategy)))

        async def arrive(seconds: float) -> None:
            async with asyncio.TaskGroup() as tasks:
                due = time.perf_counter()
                end = due + seconds
                while due < end:
                    await asyncio.sleep(due - time.perf_counter())
                    tasks.create_task(one())
                    due += chance.expovariate(rate)

        await arrive(SETTLING)
        await asyncio.sleep(1)
        taken.clear()
        before = engine.stats()
        await arrive(seconds)
        after = engine.stats()
    hits, misses = after.hits - before.hits, after.misses - before.misses
    taken.sort()
    late = taken[min(len(taken) - 1, round(0.99 * len(taken)))]
    return Taken(statistics.median(taken), late, 100 * hits / (hits + misses))


async def main(seconds: int) -> None:
    """Run each rate for so many seconds."""
    heading()
    config = EngineConfig(isolation="sandbox", prewarm=(), pool=PoolConfig(min_size=4, max_size=8, wait_timeout=120))
    taken = await arrivals(config, ContainerStrategy.POOL, BOXED_RATE, seconds)
    name = f"Python runs in fresh sandboxes, {BOXED_RATE} a second"
    limit(f"{name}: half within", taken.half, unit="ms", target=BOXED_TARGETS[0])
    limit(f"{name}: 99 % within", taken.most, unit="ms", target=BOXED_TARGETS[1])
    config = EngineConfig(pool=PoolConfig(min_size=4, max_size=16, wait_timeout=120))
    for rate in RATES:
        taken = await arrivals(config, ContainerStrategy.PER_EXECUTION, rate, seconds)
        told(f"fresh Python runs, {rate} a second: half of them within", taken.half, unit="ms")
        if rate in TARGETS:
            limit(f"fresh Python runs, {rate} a second: 99 % within", taken.most, unit="ms", target=TARGETS[rate])
        else:
            told(f"fresh Python runs, {rate} a second: 99 % within", taken.most, unit="ms")
        told(f"fresh Python runs, {rate} a second: found a warm container", taken.hits, unit="%")


if __name__ == "__main__":
    run(main, rounds=20)
