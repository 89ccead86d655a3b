"""JavaScript without a pause between the runs: ``python -m bench.node [rounds]``; as root, on the engine's own host.

Each program has a Node.js of its own, which boots ahead of need. So many runs in a row go as fast as Node.js boots.
The baseline is ``node -e`` in the same image without any walls, one after the other.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from bench._baseline import bare, plain_container
from bench._report import heading, ratio_at_most, rounds, run
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import DockerClient
from interpreter_tools._languages.node import NODE_IMAGE

if TYPE_CHECKING:
    from interpreter_tools import Session

CODE = 'console.log("hi")'
RUNS = 20
POOL = ContainerStrategy.POOL


async def fresh(engine: ExecutionEngine) -> float:
    """Milliseconds of a run, of many in a row, each in a fresh sandbox."""
    await engine.warm("javascript", strategy=POOL)
    started = time.perf_counter()
    for _ in range(RUNS):
        (await engine.run("javascript", CODE, strategy=POOL)).check()
    return (time.perf_counter() - started) * 1e3 / RUNS


async def kept(session: Session) -> float:
    """Milliseconds of a run, of many in a row in one session."""
    (await session.run("javascript", CODE)).check()
    started = time.perf_counter()
    for _ in range(RUNS):
        (await session.run("javascript", CODE)).check()
    return (time.perf_counter() - started) * 1e3 / RUNS


async def unwalled(pid: int) -> float:
    """Milliseconds of ``node -e``."""
    return sum([await bare(pid, "node", "-e", CODE) for _ in range(RUNS)]) / RUNS


async def main(count: int) -> None:
    """Run every comparison."""
    heading()
    config = EngineConfig(isolation="sandbox", prewarm=(), pool=PoolConfig(min_size=2, max_size=4, max_uses=100_000))
    async with (
        await DockerClient.connect() as client,
        ExecutionEngine(config) as engine,
        engine.session(strategy=ContainerStrategy.PER_SESSION) as session,
        plain_container(client, NODE_IMAGE, ["sleep", "100000"]) as plain,
    ):

        async def settle() -> None:
            await engine.warm("javascript", strategy=POOL)

        actions = (
            functools.partial(fresh, engine),
            functools.partial(kept, session),
            functools.partial(unwalled, plain.pid),
        )
        new, same, base = await rounds(*actions, count=count, settle=settle)
    ratio_at_most("javascript, back to back in fresh sandboxes / bare node -e", new, base, unit="ms", target=0.5)
    ratio_at_most("javascript, back to back in a session / bare node -e", same, base, unit="ms", target=0.5)


if __name__ == "__main__":
    run(main, rounds=5)
