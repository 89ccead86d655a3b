"""The memory of containers and of a client: ``python -m bench.memory [runs]``; as root, on the engine's own host.

The cost of an idle container is the proportional set size of all that it adds to the host: its own processes and the
engine's shim; that of a branch is a twentieth of what twenty of them add. A client's growth is that of its resident
memory over ten thousand runs, after the first fifth.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench._baseline import pid_of
from bench._report import heading, limit, run, told
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import DockerClient

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINERS = 4
WORKERS = 4


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def _field(pid: int, file: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def idle(language: str) -> tuple[float, float]:
    """Return the MiB of one idle container's processes, and of the engine's shim for it."""
    pool = PoolConfig(min_size=CONTAINERS, max_size=CONTAINERS)
    async with (
        await DockerClient.connect() as client,
        ExecutionEngine(EngineConfig(prewarm=(language,), pool=pool)) as engine,
    ):
        await engine.warm()
        await asyncio.sleep(2)
        own: list[float] = []
        shims: list[float] = []
        for container in await client.list_containers(
            labels={"interpreter-tools.owner": engine._use().runtime.owner.id}
        ):
            pid = await pid_of(client, container.id)
            own.append(sum(_field(member, "smaps_rollup", "Pss") for member in _family(pid)))
            shims.append(_field(_parent(pid), "smaps_rollup", "Pss"))
    return sum(own) / len(own), sum(shims) / len(shims)


_HEAP = "import numpy; heap = numpy.ones(64 << 17)"


async def branches(count: int) -> tuple[float, float]:
    """Return the MiB that a branch adds to its container until its first cell, and after a small one."""
    async with (
        await DockerClient.connect() as client,
        ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))) as engine,
        engine.context("python", dependencies=["numpy"]) as context,
    ):
        (await context.run(_HEAP)).check()
        await context.checkpoint()
        labels = {"interpreter-tools.owner": engine._use().runtime.owner.id}
        pids = [await pid_of(client, each.id) for each in await client.list_containers(labels=labels)]

        def held() -> float:
            return sum(_field(member, "smaps_rollup", "Pss") for pid in pids for member in _family(pid))

        await asyncio.sleep(1)
        before = held()
        made = await context.fork(count)
        await asyncio.sleep(1)
        unused = held() - before
        for branch in made:
            (await branch.run("1")).check()
        await asyncio.sleep(1)
        return unused / count, (held() - before) / count


async def growth(runs: int) -> float:
    """Return the MiB by which this process grows over the runs, after a fifth of them."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=WORKERS, max_uses=2 * runs))
    async with ExecutionEngine(config) as engine:

        async def work(count: int) -> None:
            for _ in range(count):
                (await engine.run("python", 'print("hi")', strategy=ContainerStrategy.POOL)).check()

        async def all_work(count: int) -> None:
            await asyncio.gather(*(work(count // WORKERS) for _ in range(WORKERS)))

        await all_work(runs // 5)
        before = _own()
        await all_work(runs - runs // 5)
        return _own() - before


def _own() -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


async def main(runs: int) -> None:
    """Measure all of them."""
    heading()
    for language in ("shell", "python", "javascript"):
        own, shim = await idle(language)
        told(f"an idle {language} container: its processes", own, unit="MiB")
        told(f"an idle {language} container: the engine's shim", shim, unit="MiB")
    unused, used = await branches(20)
    limit("a branch of a context with 64 MiB of numpy, until its first cell", unused, unit="MiB", target=4)
    told("the same, after a cell `1`", used, unit="MiB")
    limit(f"a client's growth over {runs} runs, after {runs // 5}", await growth(runs), unit="MiB", target=2)


if __name__ == "__main__":
    run(main, rounds=10_000)
