"""Sandboxes inside of containers: ``python -m bench.boxes [rounds]``. Each run has a fresh one, made ahead of need.

The verified reset of the same containers is the baseline, in turns. A run that asks for no socket but local ones leaves
its network namespace as it was made, and the next sandbox takes it over (``network_namespace="checked"``). The cost of
a new one for each is measured apart. The memory of a sandbox is measured as root, on the engine's own host.
"""

from __future__ import annotations

import asyncio
import functools
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Literal

from bench._baseline import pid_of, timed_run
from bench._report import heading, limit, ratio_at_least, ratio_at_most, rounds, run, told
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import DockerClient

CODE = 'print("hi")'
POOL = ContainerStrategy.POOL
WORKERS = 4
RUNS = 200
PACED = 20
PAUSE = 0.02  # seconds

Way = Literal["sandbox", "container"]


def engine_of(way: Way, containers: int, network: Literal["checked", "new"] = "checked") -> ExecutionEngine:
    """Make an engine whose containers are used as often as a benchmark likes."""
    pool = PoolConfig(min_size=0, max_size=containers, max_uses=1_000_000)
    return ExecutionEngine(EngineConfig(isolation=way, network_namespace=network, prewarm=(), pool=pool))


async def rate(engine: ExecutionEngine) -> float:
    """Return the runs a second, by as many callers as there are containers."""

    async def work(count: int) -> None:
        for _ in range(count):
            (await engine.run("python", CODE, strategy=POOL)).check()

    await asyncio.gather(*(work(5) for _ in range(WORKERS)))
    started = time.perf_counter()
    await asyncio.gather(*(work(RUNS // WORKERS) for _ in range(WORKERS)))
    return RUNS / (time.perf_counter() - started)


async def paced(engine: ExecutionEngine) -> float:
    """Return the milliseconds of a run that comes after a pause; the median of some."""
    taken: list[float] = []
    for _ in range(PACED):
        await asyncio.sleep(PAUSE)
        taken.append(await timed_run(engine.run("python", CODE, strategy=POOL)))
    return statistics.median(taken)


async def bare() -> float:
    """Return the milliseconds of ``python3 -c`` on this machine; the median of some."""
    taken: list[float] = []
    for _ in range(PACED // 4):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", CODE, stdout=asyncio.subprocess.DEVNULL)
        await process.wait()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        found += map(int, Path(f"/proc/{member}/task/{member}/children").read_text().split())
    return found


def _pss(pid: int) -> float:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _kernel(pid: int) -> float:
    """Return the MiB of the kernel's own that are charged to the container of a process."""
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    if "memory" in groups:
        return int(Path(f"/sys/fs/cgroup/memory{groups['memory']}/memory.kmem.usage_in_bytes").read_text()) / 2**20
    told = Path(f"/sys/fs/cgroup{groups['']}/memory.stat").read_text()
    return int(told.partition("\nkernel ")[2].split()[0]) / 2**20


async def memory(way: Way) -> tuple[float, float]:
    """Return the MiB of a container that waits for its next run: those of its processes, and the kernel's for them."""
    async with await DockerClient.connect() as client, engine_of(way, WORKERS) as engine:
        await rate(engine)
        await asyncio.sleep(2)
        processes: list[float] = []
        kernel: list[float] = []
        for container in await client.list_containers(
            labels={"interpreter-tools.owner": engine._use().runtime.owner.id}
        ):
            family = _family(await pid_of(client, container.id))
            processes.append(sum(map(_pss, family)))
            kernel.append(_kernel(family[0]))
    return statistics.mean(processes), statistics.mean(kernel)


async def main(count: int) -> None:
    """Run every comparison."""
    heading()
    async with (
        engine_of("sandbox", WORKERS) as boxed,
        engine_of("sandbox", WORKERS, "new") as renewed,
        engine_of("container", WORKERS) as reset,
    ):

        async def settle() -> None:
            await asyncio.sleep(0.1)

        actions = (functools.partial(rate, boxed), functools.partial(rate, reset))
        fresh, again = await rounds(*actions, count=count, settle=settle)
        told("python, runs in fresh sandboxes", fresh, unit="per s")
        ratio_at_least("python, fresh sandboxes / verified resets", fresh, again, unit="per s", target=0.6)
        single, usual, start = await rounds(
            functools.partial(paced, boxed), functools.partial(paced, reset), bare, count=count, settle=settle
        )
        ratio_at_most("python, single run in a fresh sandbox / after a reset", single, usual, unit="ms", target=1.5)
        ratio_at_most("python, single run in a fresh sandbox / bare python3 -c", single, start, unit="ms", target=0.35)
        actions = (functools.partial(rate, renewed), functools.partial(rate, boxed))
        new, kept = await rounds(*actions, count=count, settle=settle)
        ratio_at_least("python, fresh sandboxes, a new network each / checked", new, kept, unit="per s", target=0.5)
        assert not boxed.stats().discards
    with_box, without = await memory("sandbox"), await memory("container")
    told("memory of an idle container with a sandbox, the kernel's included", sum(with_box), unit="MiB")
    limit("what the ready sandbox, launcher and keeper are of it", sum(with_box) - sum(without), unit="MiB", target=1.0)


if __name__ == "__main__":
    run(main, rounds=5)
