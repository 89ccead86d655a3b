"""Data science with modules that the waiting Python has imported: ``python -m bench.data [rounds]``.

Runs in fresh warm containers of one image (``interpreter-tools setup data``), with ``ContainerConfig(preload=...)`` and
without. Run it on an idle machine.
"""

from __future__ import annotations

import asyncio
import functools

from bench._baseline import timed, timed_run
from bench._report import heading, limit, ratio_at_most, rounds, run, told
from interpreter_tools import ContainerConfig, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools.setup import KNOWN_IMAGES

IMAGE = next(known.image for known in KNOWN_IMAGES if known.name == "data")
PANDAS = "import pandas as pd; print(pd.DataFrame({'a': [1, 2]}).a.sum())"
PLOT = "import matplotlib.pyplot as plt; plt.plot([1, 2, 3]); plt.show()"


def make_engine(*preload: str) -> ExecutionEngine:
    """Make an engine whose Python has imported these modules before a run asks for it."""
    container = ContainerConfig(image=IMAGE, preload=preload)
    return ExecutionEngine(EngineConfig(container=container, pool=PoolConfig(min_size=2, max_size=3)))


async def count_rows(engine: ExecutionEngine) -> float:
    """Return the milliseconds of a program that uses pandas."""
    return await timed_run(engine.run("python", PANDAS), stdout="3\n")


async def plot(engine: ExecutionEngine) -> float:
    """Return the milliseconds until the picture of a chart is there."""

    async def draw() -> bytes | None:
        (shown,) = (await engine.run("python", PLOT)).check().results
        return shown.png

    taken, png = await timed(draw())
    assert png is not None
    assert png.startswith(b"\x89PNG")
    return taken


async def main(count: int) -> None:
    """Run both comparisons."""
    async with make_engine("numpy", "pandas", "matplotlib.pyplot") as ahead, make_engine() as plain:

        async def settle() -> None:
            await ahead.warm()
            await plain.warm()
            await asyncio.sleep(0.5)

        preloaded, imported, chart, slow_chart = await rounds(
            functools.partial(count_rows, ahead),
            functools.partial(count_rows, plain),
            functools.partial(plot, ahead),
            functools.partial(plot, plain),
            count=count,
            settle=settle,
        )
    heading()
    ratio_at_most("a program with pandas, preloaded / imported", preloaded, imported, unit="ms", target=0.05)
    limit("plt.plot(); plt.show() to the PNG, matplotlib preloaded", chart, unit="ms", target=120)
    told("plt.plot(); plt.show() to the PNG, matplotlib imported", slow_chart, unit="ms")


if __name__ == "__main__":
    run(main, rounds=11)
