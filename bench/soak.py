"""Many runs, half of them hostile: ``python -m bench.soak [runs]``; as root, on the engine's own host.

Each run is in a fresh sandbox. After each hostile one comes an innocent one, which must see nothing of it. It tells of
the kernel's memory, namespaces, the containers' memory and the client's descriptors, at the beginning, on the way and
at the end: all must be flat. The kernel's memory is that of the whole host, and so of what runs beside. A sandbox that
is ready has a network of its own, or the checked one of the run before. 50,000 runs take ten minutes and more.
``python -m bench`` leaves it out unless it is named.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench._baseline import pid_of
from bench._report import difference_at_most, heading, run, told
from interpreter_tools import ContainerConfig, ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import DockerClient

POOL = ContainerStrategy.POOL
WORKERS = 4
LOOKS = 10
"""The number of looks while the runs go on; the first tenth of the runs does not count."""

INNOCENT = {
    "python": (
        "import os; print(os.listdir(), os.listdir('/dev/shm'), os.listdir('/tmp'))",
        "['main.py'] [] ['home']\n",
    ),
    "shell": ("ls; ls /dev/shm /tmp", "main.sh\n/dev/shm:\n\n/tmp:\nhome\n"),
}
HOSTILE = {
    "python": (
        "import os\nfor n in range(500): open(f'/tmp/{n}', 'w').write('x')\nopen('big', 'wb').write(bytes(8 << 20))",
        "import os\nfor _ in range(200): os.mkdir('d'); os.chdir('d')",
        "import os\nif os.fork() == 0:\n    os.setsid(); os.closerange(0, 3)\n    while True: os.fork()",
        "import os, time\nfor _ in range(20):\n    if os.fork() == 0: time.sleep(99)",
        "import _socket as s\nk = [s.socket() for _ in range(100)]; k[0].bind(('127.0.0.1', 80 + 8000)); k[0].listen()",
        "import _socket as s\nk = s.socket(1); k.bind('\\0evil'); k.listen()\na, b = s.socketpair()",
        "import os; os.kill(os.getpid(), 11)",
        "import os; os.kill(-1, 9)",
        "import ctypes\nc = ctypes.CDLL(None)\nwhile c.inotify_init() >= 0: pass",
        "import os\nwhile True: os.open('/dev/null', 0)",
        "x = b'x' * (1 << 30)",
        "import mmap\nm = mmap.mmap(-1, 32 << 20); m[::4096] = b'x' * (8 << 10)",
        "import sys; sys.exit(3)",
    ),
    "shell": (
        "(while :; do :; done) & sleep 0.01; kill -9 $$",
        "mkdir -p a/b/c; ln -s / a/b/c/root; mkfifo f; head -c 1M /dev/zero > /dev/shm/x",
        "trap '' TERM INT; (sleep 99 & sleep 99 &) ; exit 1",
        "ulimit -n 10; exec 3<>/tmp/x; kill -STOP $$ & wait; exit 0",
    ),
}


class Look(NamedTuple):
    """The processes, memory and files of one moment.

    Attributes:
        slab: MiB of the kernel's slabs that cannot be reclaimed.
        percpu: MiB of the kernel's memory per processor.
        networks: network namespaces that the kernel holds for the whole host.
        processes: of our containers.
        spaces: namespaces of processes, files and networks that those processes are in.
        containers: MiB of a container, the mean.
        descriptors: of the client.
    """

    slab: float
    percpu: float
    networks: int
    processes: int
    spaces: int
    containers: float
    descriptors: int


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        found += map(int, Path(f"/proc/{member}/task/{member}/children").read_text().split())
    return found


def _spaces(pids: list[int]) -> int:
    return len({Path(f"/proc/{pid}/ns/{kind}").readlink() for pid in pids for kind in ("pid", "mnt", "net")})


def _networks() -> int:
    found = re.search(r"^net_namespace +(\d+)", Path("/proc/slabinfo").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _meminfo() -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))


def _charged(pid: int) -> float:
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    place = f"memory{groups['memory']}/memory.usage_in_bytes" if "memory" in groups else f"{groups['']}/memory.current"
    return int(Path(f"/sys/fs/cgroup/{place}").read_text()) / 2**20


async def look(client: DockerClient, engine: ExecutionEngine) -> Look:
    """Read them all."""
    meminfo = _meminfo()
    charged: list[float] = []
    pids: list[int] = []
    for container in await client.list_containers(labels={"interpreter-tools.owner": engine._use().runtime.owner.id}):
        pid = await pid_of(client, container.id)
        if pid:
            charged.append(_charged(pid))
            pids += _family(pid)
    return Look(
        slab=int(meminfo["SUnreclaim"]) / 1024,
        percpu=int(meminfo["Percpu"]) / 1024,
        networks=_networks(),
        processes=len(pids),
        spaces=_spaces(pids),
        containers=statistics.mean(charged) if charged else 0.0,
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208
    )


async def main(count: int) -> None:
    """Run so many, and look ten times."""
    heading()
    container = ContainerConfig(memory_limit="256m", pids_limit=64)
    pool = PoolConfig(min_size=0, max_size=WORKERS, max_uses=1_000_000, max_age=1_000_000, wait_timeout=300)
    config = EngineConfig(isolation="sandbox", container=container, prewarm=(), pool=pool)
    wrong: list[str] = []
    outcomes: dict[str, int] = {}
    async with await DockerClient.connect() as client, ExecutionEngine(config) as engine:

        async def pair(number: int) -> None:
            language = "shell" if number % 8 == 0 else "python"
            codes = HOSTILE[language]
            result = await engine.run(language, codes[number // 8 % len(codes)], strategy=POOL, timeout=0.5)
            outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
            code, wanted = INNOCENT[language]
            after = await engine.run(language, code, strategy=POOL, timeout=60)
            if (after.stdout, after.isolation) != (wanted, "sandbox"):
                wrong.append(f"{codes[number // 8 % len(codes)]!r}: {after!r}")

        async def work(numbers: range) -> None:
            for number in numbers:
                await pair(number)

        looks: list[Look] = []
        share = count // (2 * LOOKS)
        started = time.perf_counter()
        for turn in range(LOOKS):
            first = turn * share
            await asyncio.gather(*(work(range(first + k, first + share, WORKERS)) for k in range(WORKERS)))
            await asyncio.sleep(1)
            looks.append(await look(client, engine))
            sys.stderr.write(f"{(turn + 1) * share * 2:>6} runs: {looks[-1]}\n")
        taken = time.perf_counter() - started
        discards = sum(engine.stats().discards.values())
    first, last = looks[0], looks[-1]
    told("hostile and innocent runs, in turns", 2 * share * LOOKS / taken, unit="per s")
    limited = sum(number for outcome, number in outcomes.items() if outcome not in {"ok", "error"})
    told("hostile runs that ended by a limit", limited, unit="runs")
    difference_at_most("innocent runs that were wrong", len(wrong), 0, unit="runs", target=0)
    difference_at_most("containers that were given up", discards, 0, unit="", target=0)
    difference_at_most("the kernel's slabs, not to be reclaimed", last.slab, first.slab, unit="MiB", target=32)
    difference_at_most("the kernel's memory per processor", last.percpu, first.percpu, unit="MiB", target=8)
    difference_at_most("network namespaces of the host", last.networks, first.networks, unit="", target=100)
    difference_at_most("processes of the containers", last.processes, first.processes, unit="", target=0)
    difference_at_most("namespaces of the containers", last.spaces, first.spaces, unit="", target=2 * WORKERS)
    difference_at_most("memory of a container", last.containers, first.containers, unit="MiB", target=4)
    difference_at_most("descriptors of the client", last.descriptors, first.descriptors, unit="", target=4)
    assert not wrong, wrong[0]


if __name__ == "__main__":
    run(main, rounds=50_000)
