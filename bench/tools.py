"""The time of a program's call of a function of its host: ``python -m bench.tools [rounds]``. Run it as root."""

from __future__ import annotations

import functools
import statistics

from bench._baseline import plain_container
from bench._report import at_least, difference_at_most, heading, rounds, run
from bench.contexts import settle
from bench.latency import ECHO
from interpreter_tools import EngineConfig, ExecutionEngine, HostTool, PoolConfig
from interpreter_tools._docker import DockerClient
from interpreter_tools._languages import LanguageRegistry

_CALLS = 2000
_ONE_BY_ONE = f"""
import time, tools
tools.echo(0)
for _ in range({_CALLS}):
    started = time.perf_counter()
    tools.echo(1)
    print((time.perf_counter() - started) * 1e3)
"""
_AT_ONCE = f"""
import asyncio, time, tools
async def main():
    started = time.perf_counter()
    for _ in range({_CALLS // 100}):
        await asyncio.gather(*[tools.echo.call(1) for _ in range(100)])
    print({_CALLS} / (time.perf_counter() - started))
asyncio.run(main())
"""


async def echo(value: int) -> int:
    """Return what was given."""
    return value


async def calls(engine: ExecutionEngine, code: str) -> float:
    """Return the median of what a program prints, which calls tools."""
    result = (await engine.run("python", code, tools=[HostTool(echo, max_calls=_CALLS + 1)], timeout=60)).check()
    return statistics.median(map(float, result.stdout.split()))


async def main(count: int) -> None:
    """Run every comparison."""
    image = LanguageRegistry.get("python").default_image
    async with (
        await DockerClient.connect() as client,
        plain_container(client, image, ["python3", "-uc", ECHO]) as plain,
        ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1, max_size=4))) as engine,
    ):
        heading()
        line = functools.partial(plain.echo, b"print(41 + 1)\n", 3)
        (raw,) = await rounds(line, count=20 * count, settle=settle)
        (ours,) = await rounds(functools.partial(calls, engine, _ONE_BY_ONE), count=count, settle=settle)
        difference_at_most("call of a tool - raw attach, a line for a python3", ours, raw, unit="ms", target=0.5)
        (rate,) = await rounds(functools.partial(calls, engine, _AT_ONCE), count=count, settle=settle)
        at_least("calls of a tool, 100 at once", rate, unit="per s", target=1500)


if __name__ == "__main__":
    run(main, rounds=3)
