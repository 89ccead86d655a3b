"""The fresh containers a second: ``python -m bench.fresh [rounds]``."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING

import aiodocker

from bench._baseline import plain_spec
from bench._report import heading, ratio_at_least, rounds, run
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PARALLEL = 4
RUNS = 40
CODE = {"shell": "echo hi", "python": 'print("hi")'}


async def _in_parallel(action: Callable[[], Awaitable[None]], count: int) -> None:
    pending = iter(range(count))

    async def worker() -> None:
        for _ in pending:
            await action()

    await asyncio.gather(*(worker() for _ in range(PARALLEL)))


async def ours(engine: ExecutionEngine, language: str) -> float:
    """Return the runs a second, each in a container of its own, once those that were warm are used up."""

    async def run() -> None:
        (await engine.run(language, CODE[language])).check()

    await _in_parallel(run, 2 * PARALLEL)
    started = time.perf_counter()
    await _in_parallel(run, RUNS)
    return RUNS / (time.perf_counter() - started)


async def raw(docker: aiodocker.Docker, language: str) -> float:
    """Return the plain containers a second: created, started, deleted."""
    image = LanguageRegistry.get(language).default_image

    async def cycle() -> None:
        container = await docker.containers.create(plain_spec(image, ["sleep", "1000000"]))
        await container.start()  # pyright: ignore[reportUnknownMemberType]
        await container.delete(force=True)

    started = time.perf_counter()
    await _in_parallel(cycle, RUNS)
    return RUNS / (time.perf_counter() - started)


async def main(count: int) -> None:
    """Run the comparison for a language that boots nothing, and for one that boots an interpreter."""
    pool = PoolConfig(min_size=0, max_size=2 * PARALLEL, parallel_creates=PARALLEL)
    config = EngineConfig(prewarm=(), pool=pool, strategy=ContainerStrategy.PER_EXECUTION)
    async with aiodocker.Docker() as docker, ExecutionEngine(config) as engine:

        async def settle() -> None:
            await asyncio.sleep(2)  # refills and removals end

        heading()
        for language in CODE:
            fresh, plain = await rounds(
                functools.partial(ours, engine, language),
                functools.partial(raw, docker, language),
                count=count,
                settle=settle,
            )
            name = f"fresh {language} containers, run / create+start+delete"
            ratio_at_least(name, fresh, plain, unit="per s", target=0.9)


if __name__ == "__main__":
    run(main, rounds=5)
