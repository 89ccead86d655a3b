"""Files in and out of a session: ``python -m bench.files [rounds]``, against ``docker cp`` of the same."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench._baseline import plain_container
from bench._report import heading, ratio_at_most, rounds
from interpreter_tools import ContainerConfig, ContainerStrategy, EngineConfig, ExecutionEngine, Session
from interpreter_tools._docker import DockerClient

SIZE = 100 << 20


async def copy_in(session: Session, source: Path) -> float:
    """Milliseconds of a copy into the workspace."""
    started = time.perf_counter()
    await session.copy_file_into_workspace(source, "data")
    return (time.perf_counter() - started) * 1e3


async def copy_out(session: Session, target: Path) -> float:
    """Milliseconds of a copy out of the workspace."""
    started = time.perf_counter()
    await session.copy_file_from_workspace("data", target)
    return (time.perf_counter() - started) * 1e3


async def docker_cp(source: str, target: str) -> float:
    """Milliseconds of Docker's own command."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run(["docker", "cp", "-q", source, target], check=True, capture_output=True)
        return (time.perf_counter() - started) * 1e3

    return await asyncio.to_thread(run)


async def main(count: int) -> None:
    """Runs both directions."""
    container = ContainerConfig(workspace_size="150m", memory_limit="512m")
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        source.write_bytes(os.urandom(SIZE))  # noqa: ASYNC240
        async with (
            await DockerClient.connect() as client,
            plain_container(client, "interpreter-tools/shell:1", ["sleep", "1000000"]) as plain,
            ExecutionEngine(EngineConfig(prewarm=())) as engine,
            engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session,
        ):
            await session.run("shell", "true")

            async def settle() -> None:
                await asyncio.sleep(0.3)

            ours_in, docker_in, ours_out, docker_out = await rounds(
                functools.partial(copy_in, session, source),
                functools.partial(docker_cp, str(source), f"{plain.id}:/data"),
                functools.partial(copy_out, session, target),
                functools.partial(docker_cp, f"{plain.id}:/data", str(target)),
                count=count,
                settle=settle,
            )
            assert target.read_bytes() == source.read_bytes()  # noqa: ASYNC240
    heading()
    ratio_at_most("100 MB into the workspace / docker cp", ours_in, docker_in, unit="ms", target=1.0)
    ratio_at_most("100 MB out of the workspace / docker cp", ours_out, docker_out, unit="ms", target=1.0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
