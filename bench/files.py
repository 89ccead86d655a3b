"""New files in and out of a session: ``python -m bench.files [rounds]``, against ``docker cp`` of the same."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import tempfile
import time
from pathlib import Path

import aiodocker

from bench._baseline import Executor, plain_container, timed
from bench._report import heading, ratio_at_most, rounds, run
from interpreter_tools import ContainerConfig, ContainerStrategy, EngineConfig, ExecutionEngine, Session
from interpreter_tools._docker import DockerClient

SIZE = 100 << 20


async def copy_in(session: Session, source: Path) -> float:
    """Return the milliseconds of a copy into the workspace."""
    return (await timed(session.copy_file_into_workspace(source, "new")))[0]


async def copy_out(session: Session, target: Path) -> float:
    """Return the milliseconds of a copy out of the workspace."""
    return (await timed(session.copy_file_from_workspace("data", target)))[0]


async def docker_cp(source: str, target: str) -> float:
    """Return the milliseconds of Docker's own command."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run(["docker", "cp", "-q", source, target], check=True, capture_output=True)
        return (time.perf_counter() - started) * 1e3

    return await asyncio.to_thread(run)


async def main(count: int) -> None:
    """Run both directions."""
    container = ContainerConfig(workspace_size="250m", memory_limit="512m")
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        source.write_bytes(os.urandom(SIZE))  # noqa: ASYNC240
        async with (
            aiodocker.Docker() as docker,
            await DockerClient.connect() as client,
            plain_container(client, "interpreter-tools/shell:1", ["sleep", "1000000"]) as plain,
            ExecutionEngine(EngineConfig(prewarm=())) as engine,
            engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session,
        ):
            await session.run("shell", "true")
            await session.copy_file_into_workspace(source, "data")
            await session.copy_file_from_workspace("data", target)
            assert target.read_bytes() == source.read_bytes()  # noqa: ASYNC240
            await docker_cp(str(source), f"{plain.id}:/data")
            executor = Executor(docker, plain.id)

            async def settle() -> None:
                """Remove what a copy made, so that the next one replaces nothing."""
                (await session.run("shell", "rm -f new")).check()
                await executor.run("rm", "-f", "/new")
                target.unlink(missing_ok=True)  # noqa: ASYNC240
                await asyncio.sleep(0.3)

            ours_in, docker_in, ours_out, docker_out = await rounds(
                functools.partial(copy_in, session, source),
                functools.partial(docker_cp, str(source), f"{plain.id}:/new"),
                functools.partial(copy_out, session, target),
                functools.partial(docker_cp, f"{plain.id}:/data", str(target)),
                count=count,
                settle=settle,
            )
    heading()
    ratio_at_most("100 MB into the workspace / docker cp", ours_in, docker_in, unit="ms", target=1.0)
    ratio_at_most("100 MB out of the workspace / docker cp", ours_out, docker_out, unit="ms", target=1.0)


if __name__ == "__main__":
    run(main, rounds=7)
