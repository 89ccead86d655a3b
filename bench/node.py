"""JavaScript without a pause between the runs: ``python -m bench.node [rounds]``; as root, on the engine's own host.

Each program has a Node.js of its own, which boots ahead of need. So many runs in a row go as fast as Node.js boots.
The baseline is ``node -e`` in the same image without any walls, one after the other.

A run takes 33 ms of processor time, 28 of them for the boot, so two cores make 60 a second at best. What was tried to
make the boot of Node.js 24 cheaper, in ms of processor time and page faults, where ``node -e`` takes 28 to 31 ms and
3,480 faults:

- A start-up snapshot (``--build-snapshot``, of a file with one line): 38 and 6,370. It has 6 MB, which are read,
  checked and relocated in place of the snapshot that is part of Node.js already. Most of that is its compile cache.
  Without it (``"withoutCodeCache": true``), with all of ``boot.js`` and the modules of a console: 39 and 4,660 when it
  waits; with ``--no-rehash-snapshot --no-verify-snapshot-checksum`` on top 36, where ``boot.js`` is at 35. It is at 31
  before it opens the streams and loads a file. What these need is compiled without a cache, as is each module that is
  not in the file, and ``node:http`` cannot be in one: V8 refuses its objects. So a program gains nothing.
- A Node.js that forks before its first thread (a preloaded library waits at the first ``pthread_create``; libraries are
  linked by then, OpenSSL and ICU set up, V8 not begun): 28.8 and 2,460 when it waits, in place of 32.6 and 3,680. By
  that a run would be at 0.52 of ``node -e``, for a library in machine code that fits each C library of an image.
- Memory that is touched in advance, V8's pages by ``MAP_POPULATE`` and the heap by ``MADV_POPULATE_WRITE``: no less, as
  a fault costs by its page. 517 faults of ``node -e`` are V8's copy of its own code, which a sandbox does not make: its
  heap has less than 2 GB.
- ``--no-rehash-snapshot`` alone: 2.6 less in the boot, which looks for primes for 2.7 ms, and 6 more after it: any flag
  of V8 makes the compile cache of Node.js's own modules useless. That holds for most flags below, too.
- ``boot.js`` itself costs 5 to 7: 1 for its text (the part for TypeScript is left out for JavaScript), 3 for the
  streams of a console, which every program needs, 1 for a file that is loaded in advance. To format objects in
  advance took 1.7 more, and no run was sooner by that.
- ``--v8-pool-size=0``, ``--single-threaded``, ``--single-threaded-gc``, ``--max-lazy``, ``--no-opt``,
  ``--disable-sigusr1``, ``--no-verify-snapshot-checksum``, ``OPENSSL_CONF=/dev/null``: no less, some more.
- ``--jitless``: 23, and programs without a compiler.
- An end without clean-up: 2 to 4 less by SIGKILL, which hides the exit code; nothing by ``process.execve``.
- ``GLIBC_TUNABLES`` (huge pages, one arena, a larger heap at once), semi-spaces of 1 and of 8 MB, ``LD_BIND_NOW``,
  ``--no-addons``: no less, and 2 % fewer faults at best. 1,900 of the faults are of the heap, others of the program's
  text, which ``--use-largepages=on`` copies: 74 in place of 32, and 14,100 faults. ``node --version`` alone takes 6.
- Two boots at once on two cores: 19 to 25 ms a run in place of 24 to 33. This is done: ``_pool/resets.py``.

In a session there is one boot at a time: a parked Node.js is the session's user from the start, so none may wait beside
a program of that user, which could reach it.

A process without threads that forks, as Python's does, is what would go below the boot. Node.js always has a thread
more, of its own scheduler, and the state of its random numbers would be that of every fork.
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
    """Return the milliseconds of a run, of many in a row, each in a fresh sandbox."""
    await engine.warm("javascript", strategy=POOL)
    started = time.perf_counter()
    for _ in range(RUNS):
        (await engine.run("javascript", CODE, strategy=POOL)).check()
    return (time.perf_counter() - started) * 1e3 / RUNS


async def kept(session: Session) -> float:
    """Return the milliseconds of a run, of many in a row in one session."""
    (await session.run("javascript", CODE)).check()
    started = time.perf_counter()
    for _ in range(RUNS):
        (await session.run("javascript", CODE)).check()
    return (time.perf_counter() - started) * 1e3 / RUNS


async def unwalled(pid: int) -> float:
    """Return the milliseconds of ``node -e``."""
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
