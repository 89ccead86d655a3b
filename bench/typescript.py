"""The cost of types: ``python -m bench.typescript [rounds]``, a warm run of TypeScript against one of JavaScript."""

from __future__ import annotations

import asyncio
import functools

from bench._baseline import timed_run
from bench._report import heading, ratio_at_most, rounds, run
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig

CODE = {
    "javascript": 'const word = "hi"; console.log(word)',
    "typescript": 'const word: string = "hi"; console.log(word as string)',
}


async def once(engine: ExecutionEngine, language: str) -> float:
    """Return the milliseconds from lease to result."""
    return await timed_run(engine.run(language, CODE[language]))


async def main(count: int) -> None:
    """Run the comparison."""
    config = EngineConfig(prewarm=tuple(CODE), pool=PoolConfig(min_size=2))
    async with ExecutionEngine(config) as engine:

        async def settle() -> None:
            await engine.warm()
            await asyncio.sleep(0.5)

        typed, plain = await rounds(
            functools.partial(once, engine, "typescript"),
            functools.partial(once, engine, "javascript"),
            count=count,
            settle=settle,
        )
    heading()
    ratio_at_most("typescript run / javascript run", typed, plain, unit="ms", target=1.5)


if __name__ == "__main__":
    run(main, rounds=15)
