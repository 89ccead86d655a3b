"""The cost of running a compiled program: ``python -m bench.compiled [rounds]``; as root, on an idle machine.

A session compiles the same text once. What is measured is a later run of it, against the bare program on the host,
with the files of a container and none of its walls. The image: ``interpreter-tools setup gcc``.
"""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from bench._baseline import bare, plain_container, timed_run
from bench._report import difference_at_most, heading, rounds, run, told
from interpreter_tools import EngineConfig, ExecutionEngine, LanguageRegistry, PoolConfig
from interpreter_tools._docker import DockerClient

if TYPE_CHECKING:
    from interpreter_tools import Session

CODE = '#include <stdio.h>\nint main(void) { puts("hi"); }\n'
COMPILE = f"printf %s '{CODE}' | gcc -O1 -x c -o /tmp/made - && mv /tmp/made /tmp/hello && exec sleep 1000000"


async def once(session: Session) -> float:
    """Return the milliseconds from the call to the result."""
    return await timed_run(session.run("c", CODE))


async def main(count: int) -> None:
    """Run the comparison."""
    image = LanguageRegistry.get("c").default_image
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2))
    async with (
        await DockerClient.connect() as client,
        plain_container(client, image, ["sh", "-c", COMPILE]) as plain,
        ExecutionEngine(config) as engine,
        engine.session() as session,
    ):
        async with asyncio.timeout(60):
            while not Path(f"/proc/{plain.pid}/root/tmp/hello").exists():  # noqa: ASYNC110, ASYNC240 - it is compiled
                await asyncio.sleep(0.1)
        first = await once(session)
        ours, alone = await rounds(
            functools.partial(once, session),
            functools.partial(bare, plain.pid, "/tmp/hello"),
            count=count,
            settle=functools.partial(asyncio.sleep, 0.05),
        )
    heading()
    told("hello in C, first run in a session: container, compiler, program", first, unit="ms")
    difference_at_most("hello in C, later run of the same text - bare", ours, alone, unit="ms", target=5)


if __name__ == "__main__":
    run(main, rounds=25)
