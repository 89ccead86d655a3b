"""Packages in sessions."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, PoolConfig, SessionClosed
from tests.docker.stores import own_store
from tests.docker.toy import make_engine, registered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools import ExecutionEngine
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
async def toys(store: str) -> AsyncIterator[ExecutionEngine]:
    """An engine with a store of its own."""
    with registered():
        async with make_engine(store) as engine:
            yield engine


def fresh(name: str = "pkg") -> str:
    """A package that was never installed."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("strategy", list(ContainerStrategy))
async def test_runs_of_a_session_have_the_packages_that_each_asks_for(
    toys: ExecutionEngine, strategy: ContainerStrategy
) -> None:
    """Files stay, packages are those of the run; the session tells what its container depends on."""
    name = fresh()
    async with toys.session(strategy=strategy) as session:
        await session.write_file("in.txt", b"in")
        with_it = (await session.run("toy", f"{name} > out.txt; cat in.txt", dependencies=[name])).check()
        assert (with_it.stdout, with_it.generated_files) == ("in", ("out.txt",))
        meta = session.info().container_history[-1]
        assert meta.deps_installed
        assert meta.deps_checksum is not None
        assert len(meta.deps_checksum) == 64
        without = await session.run("toy", f"command -v {name}; cat in.txt")
        assert without.stdout == "in"
        assert not session.info().container_history[-1].deps_installed


async def test_failed_installation_costs_the_session_nothing(toys: ExecutionEngine) -> None:
    """Its container and files are there for the next run."""
    async with toys.session(strategy=ContainerStrategy.PER_SESSION) as session:
        await session.run("toy", "echo kept > kept")
        failed = await session.run("toy", "echo lost > kept", dependencies=[fresh("fail")])
        assert failed.outcome == "dependency_error"
        assert (await session.run("toy", "cat kept")).stdout == "kept\n"
        assert len(session.info().container_history) == 1


@pytest.mark.parametrize("keep", [False, True])
async def test_session_that_is_cleaned_up_ends_its_installation(
    toys: ExecutionEngine, tmp_path: Path, keep: bool
) -> None:
    """Who waits for the run is told; the files of the one before are kept all the same."""
    session = toys.session(strategy=ContainerStrategy.PER_SESSION)
    await session.run("toy", "echo made > made")
    name = fresh("endless")
    async with session.stream("toy", name, dependencies=[name]) as execution:
        await anext(execution)
        closing = asyncio.create_task(session.aclose(keep_generated=tmp_path if keep else None))
        with pytest.raises(SessionClosed, match="cleaned up"):
            await execution.result()
        assert await closing == ([tmp_path / "made"] if keep else [])


async def test_turn_waits_for_an_installation(toys: ExecutionEngine) -> None:
    """The runs of a session happen in the order in which they were asked for."""
    name = fresh("slow")
    async with toys.session(strategy=ContainerStrategy.PER_SESSION) as session:
        first = asyncio.create_task(session.run("toy", f"{name} >> log", dependencies=[name]))
        await asyncio.sleep(0.5)
        second = await session.run("toy", "cat log")
        assert second.stdout == f"tool {name}\n"
        assert (await first).outcome == "ok"


@pytest.mark.parametrize("in_session", [False, True])
async def test_run_that_waits_for_packages_stands_in_nobodys_way(docker_client: DockerClient, in_session: bool) -> None:
    """Also where there is one container at a time: it holds none meanwhile."""
    pool = PoolConfig(min_size=0, max_size=1, wait_timeout=10)
    with registered():
        async with own_store(docker_client) as store, make_engine(store, pool=pool) as engine:
            name = fresh("endless")
            runner = engine.session(strategy=ContainerStrategy.PER_EXECUTION) if in_session else engine
            async with runner.stream("toy", name, dependencies=[name]) as execution:
                await anext(execution)
                assert (await engine.run("toy", "echo other")).stdout == "other\n"
