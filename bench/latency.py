"""The time of a warm run: ``python -m bench.latency [rounds]``. Run it as root, on an idle machine."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiodocker

from bench._baseline import Executor, bare, pid_of, plain_container, timed, timed_run
from bench._report import difference_at_most, heading, limit, ratio_at_most, rounds, run
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._config.options import RunOptions, resolve
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._docker import DockerClient
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from bench._report import Settle

LANGUAGES = ("python", "javascript", "shell")
CODE = {"python": 'print("hi")', "javascript": 'console.log("hi")', "shell": "echo hi"}
BARE = {
    "python": ("python3", "-c", CODE["python"]),
    "javascript": ("node", "-e", CODE["javascript"]),
    "shell": ("sh", "-c", CODE["shell"]),
}
ECHO = "import sys\nfor line in sys.stdin: exec(line)"  # waits for code, one line at a time


async def run_once(engine: ExecutionEngine, language: str) -> float:
    """Return the milliseconds from lease to result."""
    return await timed_run(engine.run(language, CODE[language]))


async def first_chunk(engine: ExecutionEngine) -> float:
    """Return the milliseconds from lease to the first chunk of output."""
    started = time.perf_counter()
    async with engine.stream("python", CODE["python"]) as execution:
        async for _ in execution:
            return (time.perf_counter() - started) * 1e3
    raise AssertionError


async def lease_once(engine: ExecutionEngine) -> float:
    """Return the milliseconds until a warm container is ours."""
    runtime = engine._use().runtime
    pool = runtime.pool(await runtime.shape(LanguageRegistry.get("python"), resolve(EngineConfig(), RunOptions())))
    taken, lease = await timed(pool.acquire())
    lease.release(LeaseEnd.LEFT)
    return taken


async def supervisor_memory(client: DockerClient) -> float:
    """Return the resident MiB of the supervisor in an idle warm container; the largest of those that run."""
    largest = 0
    for container in await client.list_containers(labels={"interpreter-tools.owner": None}):
        pid = await pid_of(client, container.id)
        if pid:
            status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240
            found = re.search(r"VmRSS:\s+(\d+) kB", status)
            largest = max(largest, int(found[1]) if found else 0)
    return largest / 1024


async def compare_languages(engine: ExecutionEngine, client: DockerClient, settle: Settle, count: int) -> None:
    """Compare a run to its end with the bare interpreter, and against ``docker exec``."""
    for language in LANGUAGES:
        image = LanguageRegistry.get(language).default_image
        async with plain_container(client, image, ["sleep", "1000000"]) as plain, aiodocker.Docker() as docker:
            executor = Executor(docker, plain.id)
            ours, alone, executed = await rounds(
                functools.partial(run_once, engine, language),
                functools.partial(bare, plain.pid, *BARE[language]),
                functools.partial(executor.run, *BARE[language]),
                count=count,
                settle=settle,
            )
        if language == "python":
            ratio_at_most("python run / bare python3 -c", ours, alone, unit="ms", target=0.3)
            ratio_at_most("python run / docker exec python3 -c", ours, executed, unit="ms", target=0.1)
        elif language == "javascript":
            ratio_at_most("javascript run / bare node -e", ours, alone, unit="ms", target=0.1)
        else:
            difference_at_most("shell run - bare sh -c", ours, alone, unit="ms", target=4)


async def fresh_echo(client: DockerClient, image: str, *command: str, last: bool) -> float:
    """Return the milliseconds from code to its first byte, in a plain container whose Python has booted and waits."""
    async with plain_container(client, image, command) as waiting:
        await asyncio.sleep(0.5)
        return await waiting.echo(b'print("hi")\n', 3, last=last)


async def compare_chunks(engine: ExecutionEngine, client: DockerClient, settle: Settle, count: int) -> None:
    """Compare the first chunk of a stream with what comes back over a raw attach stream.

    The same job first: a waiting Python, in a container that is used once, gets a program. Then less and less of it:
    one line for a loop that runs already, the same for a loop that has answered before, and no program at all.
    """
    image = LanguageRegistry.get("python").default_image
    async with (
        plain_container(client, image, ["python3", "-uc", ECHO]) as waiting,
        plain_container(client, image, ["cat"]) as cat,
    ):
        ours, program, fresh, python, plain = await rounds(
            functools.partial(first_chunk, engine),
            functools.partial(fresh_echo, client, image, "python3", "-u", last=True),
            functools.partial(fresh_echo, client, image, "python3", "-uc", ECHO, last=False),
            functools.partial(waiting.echo, b'print("hi")\n', 3),
            functools.partial(cat.echo, b"hi\n", 3),
            count=count,
            settle=settle,
        )
    ratio_at_most("first chunk / raw attach, a waiting python3", ours, program, unit="ms", target=1.0)
    ratio_at_most("first chunk / raw attach, a line for a fresh loop", ours, fresh, unit="ms", target=1.5)
    ratio_at_most("first chunk / raw attach, another line for it", ours, python, unit="ms", target=1.5)
    ratio_at_most("first chunk / raw attach, cat", ours, plain, unit="ms", target=1.5)


async def main(count: int) -> None:
    """Run every comparison."""
    config = EngineConfig(prewarm=LANGUAGES, pool=PoolConfig(min_size=2))
    async with await DockerClient.connect() as client, ExecutionEngine(config) as engine:

        async def settle() -> None:
            await engine.warm()
            await asyncio.sleep(0.3)  # what removes the last one ends

        heading()
        await compare_languages(engine, client, settle, count)
        await compare_chunks(engine, client, settle, count)
        (lease,) = await rounds(functools.partial(lease_once, engine), count=count, settle=settle)
        limit("lease of a warm container", lease, unit="ms", target=0.1)
        await settle()
        limit("resident memory of an idle supervisor", await supervisor_memory(client), unit="MiB", target=1)


if __name__ == "__main__":
    run(main, rounds=15)
