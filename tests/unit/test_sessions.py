"""Sessions on a scripted Docker engine: where their files are, what a loss costs, and what they keep of the past."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerLost,
    ContainerStrategy,
    EngineConfig,
    FileRefused,
    PoolConfig,
    SessionBusy,
    SessionClosed,
    UnknownSession,
)
from interpreter_tools._session import workspace
from interpreter_tools._session.turns import _NEXT, State
from interpreter_tools.testing import Answer, Program, ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


PER_SESSION, PER_EXECUTION, POOL = (
    ContainerStrategy.PER_SESSION,
    ContainerStrategy.PER_EXECUTION,
    ContainerStrategy.POOL,
)


def script(program: Program) -> Answer:
    """Do what the code says: make files, show the files, hang, or lose the container."""
    word, _, rest = program.code.partition(" ")
    if word == "make":
        return Answer(files={rest: b"made"})
    if word == "fill":
        sizes = (item.partition(":") for item in rest.split())
        return Answer(files={name: b"x" * int(size) for name, _, size in sizes})
    if word == "lose":
        return Answer(lost=True)
    if word == "hang":
        return Answer(seconds=1000)
    return Answer(stdout=" ".join(sorted(name for name in program.files if not name.startswith("main"))))


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    """An engine whose programs are played."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4))
    async with ScriptedEngine(script, config=config) as engine:
        yield engine


def containers_alive(engine: ScriptedEngine) -> int:
    """Return the number of container objects that something still holds."""
    gc.collect()
    assert engine._running is not None
    return len(engine._running.runtime._containers)


# -- what is kept of the past


@pytest.mark.parametrize(("strategy", "runs"), [(PER_EXECUTION, 1000), (POOL, 50), (PER_SESSION, 50)])
async def test_history_keeps_no_container_alive(engine: ScriptedEngine, strategy: ContainerStrategy, runs: int) -> None:
    """A thousand runs leave facts of a thousand containers, and the objects of those that live."""
    async with engine.session(strategy=strategy) as session:
        for number in range(runs):
            await session.run("python", f"make {number % 10}")
        history = session.info().container_history
        assert len(history) == (1 if strategy is PER_SESSION else runs)
        assert not any(meta.is_running for meta in history[:-1])
        assert containers_alive(engine) <= 5
        assert history[-1].generated_files == {"9"}


async def test_history_tells_which_containers_live(engine: ScriptedEngine) -> None:
    """Also of one that was lost while nobody looked."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.run("python", "make a")
        (found,) = session.info().container_history
        assert found.is_running
        engine.docker.containers[found.container_id].lose()
        assert [meta.is_running for meta in session.info().container_history] == [False]


# -- a loss


@pytest.mark.parametrize("strategy", [PER_SESSION, PER_EXECUTION])
@pytest.mark.parametrize("sharing", ["shared", "isolated"])
async def test_run_that_loses_its_container_tells_it_and_the_next_begins_anew(
    engine: ScriptedEngine, strategy: ContainerStrategy, sharing: str
) -> None:
    """One error for one loss."""
    shared = sharing == "shared"
    async with engine.session(strategy=strategy, workspace_sharing="shared" if shared else "isolated") as session:
        await session.write_file("in", b"in")
        with pytest.raises(ContainerLost):
            await session.run("python", "lose")
        for _ in range(2):
            await session.run("python", "show")


async def test_lost_files_are_told_to_each_call_that_asks_for_them_until_a_run_begins(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    """Nothing is shown as empty that was lost; a clean-up that keeps files does not end the session."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.run("python", "make a")
        with pytest.raises(ContainerLost):
            await session.run("python", "lose")
        for _ in range(2):
            with pytest.raises(ContainerLost, match="gone, with its files"):
                await session.list_workspace_files()
            with pytest.raises(ContainerLost, match="gone, with its files"):
                await session.read_file_binary("a")
        with pytest.raises(ContainerLost):
            await session.aclose(keep_generated=tmp_path)
        assert (await session.run("python", "show")).stdout == ""
        assert await session.list_workspace_files(only_generated=True) == []


async def test_loss_between_two_runs_is_told_by_the_next(engine: ScriptedEngine) -> None:
    """Once; nobody has been told before."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.run("python", "make a")
        engine.docker.containers[session.info().container_history[0].container_id].lose()
        with pytest.raises(ContainerLost, match="gone, with its files"):
            await session.run("python", "show")
        assert (await session.run("python", "show")).stdout == ""


# -- where the files are


async def test_files_wait_on_this_machine_until_a_container_has_them(engine: ScriptedEngine) -> None:
    """They can be read and listed meanwhile, and the first run finds them."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.write_file("a/b", b"text")
        assert engine.docker.containers == {}
        assert await session.read_file_binary("a/b") == b"text"
        assert await session.list_workspace_files() == ["a/b"]
        with pytest.raises(FileRefused, match="a directory"):
            await session.write_file("a", b"")
        assert (await session.run("python", "make c")).session_generated_files == ("c",)
        assert (await session.run("python", "show")).stdout == "a/b c"
        await session.write_file("d", b"d")
        assert await session.list_workspace_files() == ["a/b", "c", "d", "main.py"]
        assert await session.list_workspace_files(only_generated=True) == ["c"]


@pytest.mark.parametrize("strategy", [PER_EXECUTION, POOL])
async def test_each_run_begins_with_the_given_files_only(engine: ScriptedEngine, strategy: ContainerStrategy) -> None:
    """What the last run made is read by callers, not by the next run."""
    async with engine.session(strategy=strategy) as session:
        await session.write_file("in", b"in")
        for name in ("a", "b"):
            await session.run("python", f"make {name}")
            assert await session.read_file_binary(name) == b"made"
        assert (await session.run("python", "show")).stdout == "in"


async def test_files_of_a_run_in_a_pool_are_kept_up_to_a_bound(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them together, in the order of their names; the next run's files take their place."""
    monkeypatch.setattr(workspace, "_MOST_KEPT", 10)
    async with engine.session(strategy=POOL) as session:
        await session.run("python", "fill a:6 b:5 c:4")
        assert [await session.read_file_binary(name) for name in ("a", "c")] == [b"x" * 6, b"x" * 4]
        with pytest.raises(FileRefused):
            await session.read_file_binary("b")
        await session.run("python", "fill b:10")
        assert await session.list_workspace_files() == ["b"]
        with pytest.raises(FileRefused):
            await session.read_file_binary("a")


async def test_files_of_a_run_in_a_pool_that_are_lost_are_told(engine: ScriptedEngine) -> None:
    """The container goes away before they are copied: the caller who asks for them learns it; the next run works."""
    async with engine.session(strategy=POOL) as session:
        await session.run("python", "fill old:1")
        async with session.stream("python", "fill new:1", stdin="") as execution:
            result = await execution.result()
            for container in tuple(engine.docker.containers.values()):
                container.lose()
        assert result.generated_files == ("new",)
        for name in ("old", "new"):
            with pytest.raises(ContainerLost):
                await session.read_file_binary(name)
        assert (await session.run("python", "fill third:1")).outcome == "ok"
        assert await session.read_file_binary("third") == b"x"


async def test_file_is_not_written_from_a_reader_of_its_own_session(engine: ScriptedEngine) -> None:
    """It would wait for its own turn; what another session reads is written."""
    async with engine.session() as session, engine.session() as other:
        await session.write_file("a", b"1")
        with pytest.raises(ConfigurationError, match="same session"):
            await session.write_file("b", session.read_file("a"))
        await other.write_file("b", session.read_file("a"))
        assert await other.read_file_binary("b") == b"1"


async def test_copies_go_both_ways(engine: ScriptedEngine, tmp_path: Path) -> None:
    """Files and directories, with the bytes that were copied."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(b"12345")
    told: list[tuple[int, int | None]] = []
    async with engine.session(strategy=PER_SESSION) as session:
        await session.run("python", "make made")
        await session.copy_file_into_workspace(
            tmp_path / "in" / "x", "x", progress=lambda done, total: told.append((done, total))
        )
        assert await session.copy_directory_into_workspace(tmp_path / "in", "deep") == ["deep/x"]
        await session.copy_file_from_workspace("x", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"12345"
        assert told[-1] == (5, 5)
        assert await session.copy_directory_from_workspace(tmp_path / "all", "deep") == [tmp_path / "all" / "x"]
        kept = await session.aclose(keep_generated=tmp_path / "kept")
    assert kept == [tmp_path / "kept" / "made"]


# -- states and turns


async def test_states_change_in_one_method_that_names_both(engine: ScriptedEngine) -> None:
    """Each change that is no step of the life of a session is refused."""
    session = engine.session()
    turns = session._turns
    for before, after in itertools.product(State, State):
        turns.state = before
        if after in _NEXT[before]:
            turns.change(after)
            assert turns.state is after
        else:
            with pytest.raises(AssertionError, match=f"{before.name} cannot become {after.name}"):
                turns.change(after)
    turns.state = State.OPEN
    await session.aclose()


async def test_call_is_refused_while_a_run_has_the_turn_of_a_session_that_does_not_queue(
    engine: ScriptedEngine,
) -> None:
    """And after the end of the session."""
    session = engine.session(strategy=PER_SESSION, when_busy="error")
    async with session.stream("python", "hang") as execution:
        with pytest.raises(SessionBusy, match="something runs"):
            await session.list_workspace_files()
        await execution.kill()
        await execution.result()
    assert await session.list_workspace_files() == ["main.py"]
    await session.aclose()
    with pytest.raises(SessionClosed, match="is closed"):
        await session.list_workspace_files()
    with pytest.raises(SessionClosed, match="is closed"):
        session.stream("python", "")


async def test_calls_that_wait_are_told_of_the_end_of_the_session(engine: ScriptedEngine) -> None:
    """One that waits for its turn, and the run that has it."""
    session = engine.session(strategy=PER_SESSION)
    async with session.stream("python", "hang") as execution:
        waiting = asyncio.create_task(session.read_file_binary("a"))
        await asyncio.sleep(0)
        await session.aclose()
        assert (await execution.result()).outcome == "killed"
        with pytest.raises(SessionClosed):
            await waiting


async def test_commands_are_those_of_a_session_that_keeps_its_container(engine: ScriptedEngine) -> None:
    """There is one set of them; sessions of other strategies have none."""
    async with engine.session(strategy=PER_SESSION) as session:
        assert session.commands() is session.commands()
        assert session.commands().working_dir() == "/workspace"
    with pytest.raises(SessionClosed):
        session.commands().working_dir()
    async with engine.session(strategy=PER_EXECUTION) as session:
        with pytest.raises(ConfigurationError, match="PER_SESSION"):
            session.commands()


async def test_time_in_which_the_client_was_stopped_is_no_idle_time(engine: ScriptedEngine) -> None:
    """A session that was just used is there afterwards; it expires when nobody uses it from then on."""
    session_id = await engine.create_session(strategy=PER_SESSION, idle_timeout=1.0)
    await engine.execute_code(session_id, language="python", code="make a")
    time.sleep(2.2)  # noqa: ASYNC251 - as SIGSTOP would
    await asyncio.sleep(0.05)
    result = await engine.execute_code(session_id, language="python", code="show")
    assert result.stdout == "a"
    await asyncio.sleep(1.5)
    with pytest.raises(UnknownSession):
        engine.get_session(session_id)
