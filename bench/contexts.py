"""The time of a cell of a context: ``python -m bench.contexts [rounds]``. Run it as root, on an idle machine."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from typing import TYPE_CHECKING

from bench._baseline import plain_container, timed
from bench._report import difference_at_most, heading, limit, rounds, run
from bench.latency import ECHO
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import DockerClient
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from interpreter_tools import Context, Session

_AT_ONCE = 8
_INTERRUPTS = 1000


async def cell(context: Context) -> float:
    """Return the milliseconds from the call to the result of a small cell."""
    taken, result = await timed(context.run("x + 1"))
    assert result.text == "42"
    return taken


async def new_context(session: Session) -> float:
    """Return the milliseconds until another context of a warm container is ready for its first cell."""
    context = session.context("python")
    taken, _ = await timed(context.start())
    await context.aclose()
    return taken


async def at_once(contexts: list[Context], count: int) -> list[float]:
    """Return the milliseconds of each cell of contexts that run side by side."""

    async def many(context: Context) -> list[float]:
        return [await cell(context) for _ in range(count)]

    return [taken for each in await asyncio.gather(*map(many, contexts)) for taken in each]


async def interrupt(context: Context) -> float:
    """Return the milliseconds from the interrupt of an endless loop to its result."""
    async with context.stream("while True: pass") as endless:
        await asyncio.sleep(0.005)
        started = time.perf_counter()
        await context.interrupt()
        result = await endless.result()
        taken = (time.perf_counter() - started) * 1e3
    assert result.error is not None
    assert result.error.name == "KeyboardInterrupt"
    return taken


async def go_on() -> None:
    """Wait for nothing: the next round follows at once."""


async def settle() -> None:
    """Let what was begun before come to its end."""
    await asyncio.sleep(0.01)


async def main(count: int) -> None:
    """Run every comparison."""
    config = EngineConfig(pool=PoolConfig(min_size=1, max_size=4))
    image = LanguageRegistry.get("python").default_image
    async with (
        await DockerClient.connect() as client,
        plain_container(client, image, ["python3", "-uc", ECHO]) as plain,
        ExecutionEngine(config) as engine,
        engine.context("python") as context,
    ):
        heading()
        await context.run("x = 41")
        echo = functools.partial(plain.echo, b"print(41 + 1)\n", 3)
        ours, raw = await rounds(functools.partial(cell, context), echo, count=count, settle=go_on)
        difference_at_most("cell x + 1 - raw attach, a line for a python3", ours, raw, unit="ms", target=1.0)
        ours, raw = await rounds(functools.partial(cell, context), echo, count=count, settle=settle)
        difference_at_most("the same, each after 10 ms of quiet", ours, raw, unit="ms", target=1.0)
        session = engine.get_session(context.session_id)
        (fresh,) = await rounds(functools.partial(new_context, session), count=count, settle=settle)
        limit("new context in a warm container", fresh, unit="ms", target=10)
        contexts = [session.context("python") for _ in range(_AT_ONCE)]
        for each in contexts:
            await each.run("x = 41")
        every = sorted(await at_once(contexts, count))
        limit(f"{_AT_ONCE} contexts at once, p99 of a cell", every[int(len(every) * 0.99)], unit="ms", target=5)
        taken = [await interrupt(context) for _ in range(_INTERRUPTS)]
        limit(
            f"interrupt of an endless loop, median of {_INTERRUPTS:,}", statistics.median(taken), unit="ms", target=50
        )
        limit(f"interrupt of an endless loop, slowest of {_INTERRUPTS:,}", max(taken), unit="ms", target=50)
        assert (await context.run("x")).text == "41"


if __name__ == "__main__":
    run(main, rounds=200)
