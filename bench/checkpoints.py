"""The time of checkpoints, rewinds and forks: ``python -m bench.checkpoints [rounds]``. Run it on an idle machine.

The heap is 64 MiB of numpy, the workspace 10 MiB in 100 files.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench._baseline import timed
from bench._report import heading, limit, run
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig

if TYPE_CHECKING:
    from interpreter_tools import Context

_STATE = """
import numpy as np, os
heap = np.ones(64 << 17)
for number in range(100):
    with open(f"file{number}", "wb") as file:
        _ = file.write(os.urandom(105_000))
"""


async def checkpoint_and_rewind(context: Context) -> tuple[float, float]:
    """Return the milliseconds of a checkpoint, and of a rewind to it, with a cell and a changed file between them."""
    await context.run("open('file0', 'wb').write(os.urandom(105_000))")
    saving, saved = await timed(context.checkpoint())
    await context.run("heap[:100] += 1; open('file1', 'wb').write(b'changed')")
    rewinding, _ = await timed(context.rewind(saved))
    return saving, rewinding


async def fork(context: Context, count: int) -> float:
    """Return the milliseconds until so many branches are there; they are closed again."""
    taken, branches = await timed(context.fork(count))
    for branch in branches:
        await branch.aclose()
    return taken


async def main(count: int) -> None:
    """Measure all of them."""
    config = EngineConfig(pool=PoolConfig(min_size=1, max_size=2))
    async with (
        ExecutionEngine(config) as engine,
        engine.context("python", dependencies=["numpy"], checkpoint_limit=4) as context,
    ):
        heading()
        (await context.run(_STATE)).check()
        pairs = [await checkpoint_and_rewind(context) for _ in range(count)]
        limit(
            "checkpoint (numpy, 64 MiB; 10 MiB in 100 files)",
            statistics.median(pair[0] for pair in pairs),
            unit="ms",
            target=5,
        )
        limit("rewind (the same)", statistics.median(pair[1] for pair in pairs), unit="ms", target=5)
        limit(
            "fork of one branch", statistics.median([await fork(context, 1) for _ in range(count)]), unit="ms", target=8
        )
        limit(
            "fork of 20 branches",
            statistics.median([await fork(context, 20) for _ in range(count)]),
            unit="ms",
            target=150,
        )


if __name__ == "__main__":
    run(main, rounds=50)
