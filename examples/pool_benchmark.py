"""Twenty rounds through a pool, for Python and for JavaScript.

Each is in a fresh sandbox, or in a container that was reset and proved clean where there can be no sandboxes.
"""

import asyncio
import statistics
import time

from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig

ROUNDS = 20
CODE = {
    "python": "print(sum(range(1000)))",
    "javascript": "console.log([...Array(1000).keys()].reduce((a, b) => a + b))",
}


async def measure(language: str) -> float:
    """Return the median of a round, in milliseconds."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        await engine.run(language, CODE[language], strategy=ContainerStrategy.POOL)  # starts the container
        rounds: list[float] = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            result = await engine.run(language, CODE[language], strategy=ContainerStrategy.POOL)
            rounds.append((time.perf_counter() - started) * 1000)
            assert result.check().stdout == "499500\n"
    return statistics.median(rounds)


async def main() -> None:
    """Print the median of a round for each language."""
    for language in CODE:
        print(f"{language}: {ROUNDS} rounds, median {await measure(language):.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
