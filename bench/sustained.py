"""Fresh containers that are asked for at a rate, as a service sees it: ``python -m bench.sustained [seconds]``.

Runs arrive at random, so many a second on average, whether or not the last has ended. Below the edge of what the
machine can start, a run finds a warm container; above it, every run waits for those before it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time

from bench._baseline import timed_run
from bench._report import heading, limit, run, told
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig

RATES = (2, 5, 8, 12)
TARGETS = {2: 20.0, 5: 60.0}
"""Milliseconds that 99 of 100 runs may take, where two cores keep up."""


async def arrivals(rate: int, seconds: int) -> tuple[list[float], float]:
    """Return the milliseconds of each run, sorted, and the share of runs that found a container waiting."""
    chance = random.Random(rate)
    taken: list[float] = []
    config = EngineConfig(pool=PoolConfig(min_size=4, max_size=16, wait_timeout=120))
    async with ExecutionEngine(config) as engine:
        await engine.warm()
        await asyncio.sleep(2)

        async def one() -> None:
            run = engine.run("python", 'print("hi")', strategy=ContainerStrategy.PER_EXECUTION)
            taken.append(await timed_run(run))

        async with asyncio.TaskGroup() as tasks:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                tasks.create_task(one())
                await asyncio.sleep(chance.expovariate(rate))
        stats = engine.stats()
    return sorted(taken), stats.hits / (stats.hits + stats.misses)


async def main(seconds: int) -> None:
    """Run each rate for so many seconds."""
    heading()
    for rate in RATES:
        taken, hits = await arrivals(rate, seconds)
        late = taken[min(len(taken) - 1, round(0.99 * len(taken)))]
        told(f"fresh Python runs, {rate} a second: half of them within", statistics.median(taken), unit="ms")
        if rate in TARGETS:
            limit(f"fresh Python runs, {rate} a second: 99 % within", late, unit="ms", target=TARGETS[rate])
        else:
            told(f"fresh Python runs, {rate} a second: 99 % within", late, unit="ms")
        told(f"fresh Python runs, {rate} a second: found a warm container", 100 * hits, unit="%")


if __name__ == "__main__":
    run(main, rounds=20)
