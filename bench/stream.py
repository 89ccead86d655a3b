"""The speed of output: ``python -m bench.stream [rounds]``."""

from __future__ import annotations

import asyncio
import functools
import time

from bench._baseline import Counter, plain_spec
from bench._report import heading, ratio_at_least, rounds, run
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import DockerClient
from interpreter_tools._languages import LanguageRegistry

SIZE = 200_000_000
PROGRAM = f"head -c {SIZE} /dev/zero"


async def ours(engine: ExecutionEngine) -> float:
    """Return the megabytes a second through ``async for``."""
    received = 0
    started = time.perf_counter()
    async with engine.stream("shell", PROGRAM, output_limit=None, capture=False, stdin=b"") as execution:
        async for chunk in execution:
            received += len(chunk.data)
        (await execution.result()).check()
    assert received == SIZE
    return SIZE / (time.perf_counter() - started) / 1e6


async def raw(client: DockerClient) -> float:
    """Return the megabytes a second over an attach stream whose bytes are only counted."""
    image = LanguageRegistry.get("shell").default_image
    container = await client.create_container(plain_spec(image, ["sh", "-c", f"read x; {PROGRAM}; read x"]))
    try:
        counter = Counter()
        transport, _ = await client.attach(container, lambda: counter)
        await client.start_container(container)
        started = time.perf_counter()
        transport.write(b"\n")
        await counter.reach(SIZE)
        taken = time.perf_counter() - started
        transport.close()
    finally:
        await client.remove_container(container)
    return SIZE / taken / 1e6


async def main(count: int) -> None:
    """Run the comparison."""
    config = EngineConfig(prewarm=("shell",), pool=PoolConfig(min_size=1))
    async with await DockerClient.connect() as client, ExecutionEngine(config) as engine:

        async def settle() -> None:
            await engine.warm()
            await asyncio.sleep(0.3)

        heading()
        streamed, counted = await rounds(
            functools.partial(ours, engine), functools.partial(raw, client), count=count, settle=settle
        )
        ratio_at_least("200 MB of stdout, async for / raw attach", streamed, counted, unit="MB/s", target=0.75)


if __name__ == "__main__":
    run(main, rounds=7)
