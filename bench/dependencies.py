"""Runs with packages: cached ones against none, a first installation against plain pip.

``python -m bench.dependencies [rounds]``; needs the network. Where the default Python image has uv, the target of the
installation is that of uv; ``INTERPRETER_TOOLS_IMAGE_PYTHON`` names another image.
"""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from typing import TYPE_CHECKING, Unpack

from bench._baseline import timed
from bench._report import heading, ratio_at_most, rounds, run
from interpreter_tools import EngineConfig, ExecutionEngine, LanguageRegistry, PoolConfig
from interpreter_tools._container.images import image_name
from interpreter_tools._dependencies.public_store import DependencyStore
from interpreter_tools._docker import DockerClient

if TYPE_CHECKING:
    from interpreter_tools import RunOptions

SIX = ["six"]
OF_SIX = "functools, importlib.util, itertools, operator, struct, sys, types"
PIP = ("python3", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore")


def make_engine(store: str, size: int = 2) -> ExecutionEngine:
    """Make an engine with a store of its own."""
    pool = PoolConfig(min_size=size, max_size=size + 2)
    return ExecutionEngine(EngineConfig(pool=pool, dependency_store=store))


async def run_once(engine: ExecutionEngine, code: str, **options: Unpack[RunOptions]) -> float:
    """Return the milliseconds of one run in a fresh, warm container."""
    taken, result = await timed(engine.run("python", code, **options))
    assert result.check().dependency_time == 0
    return taken


async def compare_cached(store: str, name: str, count: int) -> None:
    """Compare a run with cached packages, without any, with an import of them, and with a search of its imports."""
    async with make_engine(store) as engine:

        async def settle() -> None:
            await engine.warm()
            await asyncio.sleep(0.3)

        cached, without, imported, its_own, found = await rounds(
            functools.partial(run_once, engine, "print('hi')", dependencies=SIX),
            functools.partial(run_once, engine, "print('hi')"),
            functools.partial(run_once, engine, "import six; print('hi')", dependencies=SIX),
            functools.partial(run_once, engine, f"import {OF_SIX}; print('hi')"),
            functools.partial(run_once, engine, "import six; print('hi')", auto_dependencies=True),
            count=count,
            settle=settle,
        )
    ratio_at_most(f"{name}: cached six / none", cached, without, unit="ms", target=1.3)
    ratio_at_most(f"{name}: import six / import what it imports", imported, its_own, unit="ms", target=1.3)
    ratio_at_most(f"{name}: six found by its import / named", found, imported, unit="ms", target=1.15)


async def first_install(store: str) -> float:
    """Return the seconds from asking for numpy to its first use, in an empty store, with a warm container."""
    async with make_engine(store, size=1) as engine:
        await engine.warm()
        started = time.perf_counter()
        (await engine.run("python", "import numpy", dependencies=["numpy"])).check()
        taken = time.perf_counter() - started
    async with DependencyStore(EngineConfig(dependency_store=store)) as opened:
        await opened.prune(older_than=0)
    return taken


async def plain_install(image: str) -> float:
    """Return the seconds that ``docker run`` takes for ``pip install numpy`` and its first use."""
    command = ("docker", "run", "--rm", image, "sh", "-c", f"{' '.join(PIP)} numpy && python3 -c 'import numpy'")
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0
    return time.perf_counter() - started


async def has_uv(image: str) -> bool:
    """Return True if an image installs with uv."""
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        "docker", "run", "--rm", "--network=none", image, "uv", "--version", stdout=nowhere, stderr=nowhere
    )
    return await process.wait() == 0


async def compare_install(store: str, count: int) -> None:
    """Compare a first installation with plain pip, in the same image."""
    image = image_name(LanguageRegistry.get("python"), override=None, images={})
    ours, plain = await rounds(
        functools.partial(first_install, store),
        functools.partial(plain_install, image),
        count=count,
        settle=functools.partial(asyncio.sleep, 1),
    )
    uv = await has_uv(image)
    name = f"first numpy, {'uv' if uv else 'pip'} / docker run pip install"
    ratio_at_most(name, ours, plain, unit="s", target=0.5 if uv else 1.2)


async def main(count: int) -> None:
    """Run every comparison, with a store that is removed at the end."""
    store = f"interpreter-tools-bench-{uuid.uuid4().hex[:12]}"
    heading()
    async with make_engine(store) as engine:
        (await engine.run("python", "import six", dependencies=SIX)).check()
    await compare_cached(store, "python", count)
    await compare_cached(store, "after a client restart", count)
    await compare_install(store, max(3, count // 5))
    async with await DockerClient.connect() as client:
        await client.remove_volume(store)


if __name__ == "__main__":
    run(main, rounds=15)
