"""Installations on a scripted Docker engine: who waits for one, how it ends, and what it leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerLost, EngineClosed, EngineConfig, Execution, PoolConfig, StoreFailed
from interpreter_tools.testing import Answer, Program, ScriptedEngine
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SLOW = Answer(seconds=300)


class Installer:
    """Plays the program of runs, and those of installers.

    Attributes:
        answer: how the programs of installers go.
        begun: how many of them have begun.
    """

    def __init__(self) -> None:
        self.answer = Answer(stdout="installing\n")
        self.begun = 0

    def __call__(self, program: Program) -> Answer:
        """Answer a program."""
        if program.code == "print(1)":
            return Answer(stdout="ran")
        self.begun += 1
        return self.answer


class Forgetful(set[str]):
    """A store whose entries are gone at once."""

    def add(self, element: str, /) -> None:
        """Keep nothing."""


@pytest.fixture
def installer() -> Installer:
    """What the programs do."""
    return Installer()


@pytest.fixture
async def engine(installer: Installer) -> AsyncIterator[ScriptedEngine]:
    """An engine whose store is empty."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4))
    async with ScriptedEngine(installer, config=config) as engine:
        engine.docker.store = set()
        yield engine


def stream(engine: ScriptedEngine) -> Execution:
    """A run that needs a package."""
    return engine.stream("python", "print(1)", stdin=b"", dependencies=["six"])


async def begun(installer: Installer) -> None:
    """Wait until an installation has begun."""

    async def look() -> int:
        return installer.begun

    await eventually(look, bool)


def installers(engine: ScriptedEngine) -> list[str]:
    """The containers that install."""
    return [name for found in engine.docker.containers.values() if "-install-" in (name := found.name)]


async def no_installer(engine: ScriptedEngine) -> None:
    """Wait until no container installs any more."""

    async def look() -> list[str]:
        return installers(engine)

    await eventually(look, lambda found: not found)


async def test_runs_share_one_installation(engine: ScriptedEngine, installer: Installer) -> None:
    """Each has its output, from the beginning; a later run finds the entry."""
    alone = await engine.run("python", "print(1)", dependencies=["six"])
    programs, engine.docker.store, installer.begun = installer.begun, set(), 0
    runs = (engine.run("python", "print(1)", dependencies=["six"]) for _ in range(3))
    results = await asyncio.gather(*runs)
    assert installer.begun == programs
    assert {result.stdout for result in results} == {"ran"}
    assert {result.dependency_stdout for result in results} == {alone.dependency_stdout}
    assert "installing" in alone.dependency_stdout
    later = await engine.run("python", "print(1)", dependencies=["six"])
    assert (later.dependency_stdout, installer.begun) == ("", programs)
    await no_installer(engine)


async def test_failed_installation_is_a_result_and_is_tried_again(engine: ScriptedEngine, installer: Installer) -> None:
    """The store has no entry of it, and no program of the run began."""
    installer.answer = Answer(stderr="no such package\n", exit_code=1)
    result = await engine.run("python", "print(1)", dependencies=["six"])
    assert (result.outcome, result.exit_code, result.stdout) == ("dependency_error", 1, "")
    assert "no such package" in result.dependency_stderr
    assert engine.docker.store == set()
    installer.answer = Answer()
    assert (await engine.run("python", "print(1)", dependencies=["six"])).stdout == "ran"


async def test_installation_ends_with_its_last_waiter(engine: ScriptedEngine, installer: Installer) -> None:
    """Not before; and the next run begins another one."""
    installer.answer = SLOW
    async with stream(engine) as first:
        await begun(installer)
        async with stream(engine):
            pass
        assert len(installers(engine)) == 1
        assert repr(first) == "<Execution installing>"
    await no_installer(engine)
    installer.answer = Answer()
    assert (await engine.run("python", "print(1)", dependencies=["six"])).stdout == "ran"


async def test_kill_ends_a_run_that_waits_for_packages(engine: ScriptedEngine, installer: Installer) -> None:
    """At once, with a result; nobody else waits, so the installation ends as well."""
    installer.answer = SLOW
    async with stream(engine) as execution:
        await begun(installer)
        await execution.kill()
        assert (await execution.result()).outcome == "killed"
    await no_installer(engine)


async def test_lost_installer_is_told_to_all_that_wait(engine: ScriptedEngine, installer: Installer) -> None:
    """It is no result, as nothing is known of the packages."""
    installer.answer = Answer(lost=True)
    runs = (engine.run("python", "print(1)", dependencies=["six"]) for _ in range(2))
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert all(isinstance(result, ContainerLost) for result in results)
    installer.answer = Answer()
    assert (await engine.run("python", "print(1)", dependencies=["six"])).stdout == "ran"


async def test_end_of_the_engine_ends_installations(engine: ScriptedEngine, installer: Installer) -> None:
    """Those that wait are told; no container is left."""
    installer.answer = SLOW
    waiting = asyncio.create_task(engine.run("python", "print(1)", dependencies=["six"]))
    await begun(installer)
    await engine.aclose()
    with pytest.raises(EngineClosed):
        await waiting
    assert engine.docker.containers == {}


async def test_packages_that_are_never_there_are_not_installed_for_ever(
    engine: ScriptedEngine, installer: Installer
) -> None:
    """A store that loses its entries is told after three tries."""
    await engine.run("python", "print(1)", dependencies=["six"])
    programs, installer.begun = installer.begun, 0
    engine.docker.store = Forgetful()
    with pytest.raises(StoreFailed, match="not in the dependency store"):
        await engine.run("python", "print(1)", dependencies=["six"])
    assert installer.begun == 3 * programs


async def test_another_client_that_installs_the_same_is_waited_for(
    engine: ScriptedEngine, installer: Installer
) -> None:
    """Its container has the name; when it is gone, the packages are looked for, and installed if they are not there."""
    installer.answer = SLOW
    async with stream(engine):
        await begun(installer)
        (name,) = installers(engine)
    await no_installer(engine)
    installer.answer = Answer()
    other = await engine.docker.create_container({}, name=name)
    waiting = asyncio.create_task(engine.run("python", "print(1)", dependencies=["six"]))
    installer.begun = 0
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert installer.begun == 0
    await engine.docker.remove_container(other)
    result = await waiting
    assert result.stdout == "ran"
    assert result.dependency_stderr.count("another client installs the same") == 1
