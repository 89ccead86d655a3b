"""The end of a session, in the middle of whatever happens in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from anyio.lowlevel import checkpoint

from interpreter_tools import (
    EngineClosed,
    EngineConfig,
    ExecutionEngine,
    PoolConfig,
    SessionClosed,
    SessionConfig,
    SessionExists,
)
from tests.watch import PER_EXECUTION, PER_SESSION, POOL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools import Session

pytestmark = pytest.mark.docker

KINDS = {
    "execution": SessionConfig(strategy=PER_EXECUTION),
    "execution-shared": SessionConfig(strategy=PER_EXECUTION, workspace_sharing="shared"),
    "pool": SessionConfig(strategy=POOL),
    "session": SessionConfig(strategy=PER_SESSION),
    "session-shared": SessionConfig(strategy=PER_SESSION, workspace_sharing="shared"),
}


def names_in(directory: Path) -> list[str]:
    """What is there, sorted."""
    return sorted(path.name for path in directory.iterdir())


async def until_a_container_starts(engine: ExecutionEngine) -> None:
    """Return long before it has started."""
    assert engine._running is not None
    while engine._running.runtime._creating.borrowed_tokens == 0:
        await checkpoint()


async def stalls() -> AsyncIterator[bytes]:
    """A source of which more never comes."""
    yield b"x"
    await asyncio.sleep(1000)


async def writing(session: Session) -> asyncio.Task[None]:
    """A transfer that is under way, and never ends."""
    task = asyncio.create_task(session.write_file("stalled", stalls()))
    while not session.busy:
        await checkpoint()
    return task


async def test_cleanup_kills_what_runs_and_turns_others_away(own_engine: ExecutionEngine) -> None:
    """The run has a result, as it was killed; those who wait are told that the session is gone."""
    session = own_engine.session(strategy=PER_SESSION)
    async with session.stream("shell", "echo; sleep 1000") as execution:
        await anext(execution)
        waiting = asyncio.create_task(session.run("shell", "ls"))
        await asyncio.sleep(0.05)
        await session.aclose()
        assert (await execution.result()).outcome == "killed"
    with pytest.raises(SessionClosed):
        await waiting
    await session.aclose()
    with pytest.raises(SessionClosed):
        await session.run("shell", "ls")


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_cleanup_ends_a_run_that_waits_for_its_container(
    own_engine: ExecutionEngine, tmp_path: Path, kind: str, keep: bool
) -> None:
    """It is told; neither container nor volume nor lease is left."""
    session_id = await own_engine.create_session(KINDS[kind])
    run = asyncio.create_task(own_engine.execute_code(session_id, language="shell", code="sleep 4"))
    await until_a_container_starts(own_engine)
    await own_engine.cleanup_session(session_id, keep_generated=tmp_path if keep else False)
    with pytest.raises(SessionClosed):
        await run
    assert own_engine.stats().busy == 0


async def test_engine_that_closes_ends_a_run_that_waits_for_its_container(own_engine: ExecutionEngine) -> None:
    """It is told that it was the engine."""
    session = own_engine.session(KINDS["session-shared"])
    run = asyncio.create_task(session.run("shell", "sleep 4"))
    await until_a_container_starts(own_engine)
    await own_engine.aclose()
    with pytest.raises(EngineClosed):
        await run


@pytest.mark.parametrize("run_first", [False, True])
async def test_cleanup_ends_a_transfer_that_stalls(
    own_engine: ExecutionEngine, tmp_path: Path, run_first: bool
) -> None:
    """What was made is kept all the same, and the half file is not."""
    session_id = await own_engine.create_session(KINDS["session"])
    if run_first:
        await own_engine.execute_code(session_id, language="shell", code="echo made > made")
    session = own_engine.session(KINDS["session"], session_id=session_id)
    transfer = await writing(session)
    async with asyncio.timeout(30):
        await own_engine.cleanup_session(session_id, keep_generated=tmp_path)
    assert names_in(tmp_path) == (["made"] if run_first else [])
    with pytest.raises(SessionClosed, match="cleaned up"):
        await transfer


async def test_engine_closes_while_a_transfer_stalls_and_files_are_to_be_kept(tmp_path: Path) -> None:
    """All who wait are told, or have what they asked for."""
    engine = await ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0))).start()
    session_id = await engine.create_session(KINDS["session"])
    await engine.execute_code(session_id, language="shell", code="echo made > made")
    transfer = await writing(engine.session(KINDS["session"], session_id=session_id))
    cleanup = asyncio.create_task(engine.cleanup_session(session_id, keep_generated=tmp_path))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await engine.aclose()
        assert await cleanup == tmp_path
        with pytest.raises((SessionClosed, EngineClosed)):
            await transfer
    assert (tmp_path / "made").read_text() == "made\n"


async def test_files_are_kept_of_a_run_whose_output_nobody_takes(own_engine: ExecutionEngine, tmp_path: Path) -> None:
    """Its caller, who made it wait, is told; its container is not given up for that."""
    session = own_engine.session(KINDS["session"])
    async with session.stream("shell", "echo made > made; echo; yes", output_limit=None) as execution:
        await anext(execution)
        await asyncio.sleep(0.5)  # the program waits for us now
        await session.aclose(keep_generated=tmp_path)
    assert (tmp_path / "made").read_text() == "made\n"


async def test_two_cleanups_at_once_are_one(own_engine: ExecutionEngine, tmp_path: Path) -> None:
    """The second has what the first has, or is told that there is nothing."""
    places = [tmp_path / "first", tmp_path / "second"]
    for keep in (places[0], False):
        session_id = await own_engine.create_session(KINDS["session"], session_id="twice")
        await own_engine.execute_code(session_id, language="shell", code="echo made > made")
        first, second, third = await asyncio.gather(
            own_engine.cleanup_session(session_id, keep_generated=keep),
            own_engine.cleanup_session(session_id, keep_generated=places[1]),
            own_engine.cleanup_session(session_id),
            return_exceptions=True,
        )
        assert (first, third) == (keep or None, None)
        if keep:
            assert second == keep
            assert (keep / "made").read_text() == "made\n"
        else:
            assert isinstance(second, SessionClosed)
    assert not places[1].exists()


async def test_cleanup_that_keeps_files_can_be_cancelled(own_engine: ExecutionEngine, tmp_path: Path) -> None:
    """The session is there still, with its files; meanwhile its name is not used again."""
    config = SessionConfig(strategy=PER_SESSION, session_id="kept")
    session = own_engine.session(config)
    await session.run("shell", "head -c 50m /dev/zero > made")
    cleanup = asyncio.create_task(own_engine.cleanup_session("kept", keep_generated=tmp_path))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(SessionExists, match="being cleaned up"):
        await own_engine.create_session(config)
    cleanup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cleanup
    assert session.is_active
    assert names_in(tmp_path) == []
    assert (await session.run("shell", "stat -c %s made")).stdout == f"{50 << 20}\n"
    await own_engine.cleanup_session("kept", keep_generated=tmp_path)
    assert (tmp_path / "made").stat().st_size == 50 << 20


async def test_cleanup_that_cannot_keep_leaves_the_session(own_engine: ExecutionEngine, tmp_path: Path) -> None:
    """And who waits beside it without keeping cleans it up."""
    (tmp_path / "made").mkdir()
    session = own_engine.session(KINDS["session"])
    await session.run("shell", "echo made > made")
    with pytest.raises(OSError, match="made"):
        await session.aclose(keep_generated=tmp_path)
    assert session.is_active
    keeping, closing = await asyncio.gather(
        session.aclose(keep_generated=tmp_path), session.aclose(), return_exceptions=True
    )
    assert isinstance(keeping, OSError)
    assert closing == []
    assert not session.is_active


async def test_cleanup_that_was_ended_with_the_event_loop_can_be_done_again(
    own_engine: ExecutionEngine, tmp_path: Path
) -> None:
    """All its tasks are cancelled then, perhaps before they have begun; who cleans up after that does not hang."""
    session = own_engine.session(KINDS["session"])
    keeping = asyncio.create_task(session.aclose(keep_generated=tmp_path))
    while session._cleanup is None:
        await checkpoint()
    session._cleanup._task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert session.is_active
    await session.aclose()
    assert not session.is_active
