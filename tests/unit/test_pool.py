"""Pools, of the real containers of a scripted Docker engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, EngineConfig, InterpreterToolsError, PoolConfig
from interpreter_tools._docker import users
from interpreter_tools._exceptions import (
    ContainerStartFailed,
    DockerApiError,
    DockerUnavailable,
    MachineError,
    PoolTimeout,
)
from interpreter_tools._pool import pool as pool_module
from interpreter_tools.testing import Answer, Program, ScriptedEngine
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._pool.pool import Pool

POOL = ContainerStrategy.POOL


def engine_with(**pool: object) -> ScriptedEngine:
    """An engine with these sizes, which prewarms nothing."""
    fields: dict[str, object] = {"min_size": 0, **pool}
    return ScriptedEngine(config=EngineConfig(prewarm=(), pool=PoolConfig(**fields)))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def only_pool(engine: ScriptedEngine) -> Pool:
    """The one pool that an engine has."""
    assert engine._running is not None
    (pool,) = engine._running.runtime.pools.values()
    return pool


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    """Raise each of the errors once, the last one always."""
    left = list(errors)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise left.pop(0) if len(left) > 1 else left[0]

    return fail


async def until(look: Callable[[], bool], within: float = 30.0) -> None:
    """Wait until something is so."""

    async def seen() -> bool:
        return look()

    await eventually(seen, bool, within=within)


async def test_idle_containers_beyond_the_floor_expire_after_a_burst() -> None:
    """The timer follows the container that is due next, though it was set for the oldest."""
    async with engine_with(min_size=1, max_size=4, max_idle=0.2, max_age=3600) as engine:
        await engine.warm("python")
        assert len(only_pool(engine)._idle) == 1
        await asyncio.gather(*(engine.run("python", "") for _ in range(4)))
        await until(lambda: len(only_pool(engine)._idle) >= 3)
        await until(lambda: len(only_pool(engine)._idle) == 1)


async def test_container_serves_so_many_runs_and_no_more() -> None:
    """``max_uses`` is kept, and the cause is counted."""
    async with engine_with(max_size=1, max_uses=2) as engine:
        for _ in range(4):
            assert (await engine.run("python", "", strategy=POOL)).outcome == "ok"
        await until(lambda: engine.stats().discards == {"uses": 2})


async def test_container_that_is_too_old_is_not_reset() -> None:
    """It is terminated with the end of its run, not by the timer for idle ones."""
    async with engine_with(max_size=1, max_age=1000) as engine:
        async with engine.stream("python", "", strategy=POOL, stdin="") as execution:
            (container,) = only_pool(engine)._busy
            container.born -= 1001
            await execution.result()
        assert engine.stats().discards == {"age": 1}  # at once
        assert (await engine.run("python", "", strategy=POOL)).outcome == "ok"
        assert engine.stats().discards == {"age": 1}


async def test_pause_between_attempts_grows_until_a_container_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as long each time, up to a bound; a container that has served a run proves that it works again."""
    monkeypatch.setattr(pool_module, "_BACK_OFF", (1000.0, 5000.0))
    async with engine_with(max_size=1) as engine:

        async def pause() -> float:
            """Let an attempt fail; return the pause after it, in thousands of seconds, and end the pause."""
            with pytest.raises(DockerApiError):
                await engine.run("python", "", strategy=POOL)
            pool = only_pool(engine)
            assert pool._retry is not None
            seconds = pool._retry.when() - asyncio.get_running_loop().time()
            pool._retry.cancel()
            pool._try_again()
            return round(seconds / 1000)

        engine.docker.before["create_container"] = failing(DockerApiError("create container", 500, "full"))
        assert [await pause() for _ in range(5)] == [1, 2, 4, 5, 5]
        del engine.docker.before["create_container"]
        assert (await engine.run("python", "", strategy=POOL)).outcome == "ok"
        await until(lambda: len(only_pool(engine)._idle) == 1)
        next(iter(engine.docker.containers.values())).lose()
        engine.docker.before["create_container"] = failing(DockerApiError("create container", 500, "full"))
        assert await pause() == 1


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("strategy", [POOL, ContainerStrategy.PER_EXECUTION])
async def test_next_runs_have_containers_ahead_unless_those_of_these_serve_them(
    strategy: ContainerStrategy, runs: int
) -> None:
    """Containers that are ready right after their runs need no others beside them; those that are used once do."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=8))
    async with ScriptedEngine(lambda _: Answer(seconds=600), config) as engine:
        under_way = [asyncio.create_task(engine.run("python", "", strategy=strategy, timeout=700)) for _ in range(runs)]
        await until(lambda: engine.stats().busy == runs)
        pool = only_pool(engine)
        pool._balance()
        assert len(pool._idle) + pool._starting == (0 if strategy is POOL else runs)
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def test_background_failure_does_not_stop_a_pool() -> None:
    """A task that fails in an unforeseen way leaves the engine as it was."""
    async with engine_with(max_size=2) as engine:
        assert engine._running is not None
        tasks = engine._running.runtime.tasks

        async def fail() -> None:
            raise OSError(28, "No space left on device")

        tasks.spawn(fail)
        await asyncio.sleep(0)
        assert (await engine.run("python", "")).outcome == "ok"
        assert engine.stats().background_failures == 1


async def test_unforeseen_exception_is_a_failed_start() -> None:
    """The caller gets an error of ours, and the pool has room for the next attempt."""
    async with engine_with(max_size=1) as engine:
        engine.docker.before["create_container"] = failing(KeyError("Id"))
        with pytest.raises(ContainerStartFailed, match="KeyError"):
            await engine.run("python", "")
        del engine.docker.before["create_container"]
        assert (await engine.run("python", "")).outcome == "ok"


async def test_callers_get_the_error_at_once_while_the_engine_is_down() -> None:
    """Nobody waits for the end of a pause between two attempts, and each error is fresh."""
    async with engine_with(max_size=4) as engine:
        engine.docker.before["create_container"] = failing(DockerUnavailable("down"))
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(DockerUnavailable):
                await engine.run("python", "")
        results = await asyncio.gather(*(engine.run("python", "") for _ in range(50)), return_exceptions=True)
        assert all(isinstance(result, DockerUnavailable) for result in results)
        assert time.monotonic() - began < 10
        del engine.docker.before["create_container"]
        began = time.monotonic()
        assert (await engine.run("python", "")).outcome == "ok"
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("leaves", [False, True], ids=["early caller stays", "early caller leaves"])
async def test_error_of_an_attempt_is_not_told_to_those_who_came_later(leaves: bool) -> None:
    """A full disk that has room again fails no run that was asked for afterwards."""
    async with engine_with(max_size=1) as engine:
        gate = asyncio.Event()

        async def full_disk() -> None:
            await gate.wait()
            raise DockerApiError("create container", 500, "no space left on device")

        engine.docker.before["create_container"] = full_disk
        early = asyncio.create_task(engine.run("python", ""))
        await until(lambda: engine.docker.calls["create_container"] == 1)
        late = asyncio.create_task(engine.run("python", ""))
        await until(lambda: engine.stats().waiting == 2)
        del engine.docker.before["create_container"]
        if leaves:
            early.cancel()
            await until(lambda: engine.stats().waiting == 1)
        gate.set()
        with pytest.raises(asyncio.CancelledError if leaves else DockerApiError):
            await early
        assert (await late).outcome == "ok"


async def test_engine_that_hangs_is_told_to_all_who_wait() -> None:
    """One attempt that had no answer speaks for all callers; they are not told to raise max_size."""
    async with engine_with(max_size=2) as engine:
        gate = asyncio.Event()

        async def hang() -> None:
            await gate.wait()
            raise DockerApiError("create container", 0, "no answer within 60 s")

        engine.docker.before["create_container"] = hang
        runs = [asyncio.create_task(engine.run("python", "")) for _ in range(10)]
        await until(lambda: engine.stats().waiting == 10)
        gate.set()
        results = await asyncio.gather(*runs, return_exceptions=True)
        assert all(isinstance(result, DockerApiError) and result.status == 0 for result in results)


async def test_hint_of_a_time_out_says_that_the_engine_hangs() -> None:
    """Where no container is busy, a larger pool would not help."""
    async with engine_with(max_size=2, wait_timeout=0.1) as engine:
        gate = asyncio.Event()

        async def hang() -> None:
            await gate.wait()

        engine.docker.before["create_container"] = hang
        with pytest.raises(PoolTimeout) as caught:
            await engine.run("python", "")
        assert "max_size" not in caught.value.hint
        assert "hangs" in caught.value.hint
        gate.set()


async def test_hint_of_a_time_out_names_the_size_while_all_are_busy() -> None:
    """There it would."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1, wait_timeout=0.1))
    async with ScriptedEngine(lambda _: Answer(seconds=5), config) as engine:
        first = asyncio.create_task(engine.run("python", ""))
        await until(lambda: engine.stats().busy == 1)
        with pytest.raises(PoolTimeout) as caught:
            await engine.run("python", "")
        assert "max_size" in caught.value.hint
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first


async def test_user_ids_in_use_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long-lived user keeps its ids to itself, however many others come and go."""
    monkeypatch.setattr(users, "_PAIRS", 10)
    mine = users.take_uid()
    others: set[int] = set()
    for _ in range(30):
        other = users.take_uid()
        others |= {other, users.other_uid(other)}
        users.give_back_uid(users.other_uid(other))
    assert not {mine, users.other_uid(mine)} & others
    users.give_back_uid(mine)


async def test_no_user_id_left_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not search for ever. Users without a name come last."""
    monkeypatch.setattr(users, "NAMED", 2)
    monkeypatch.setattr(users, "_PAIRS", 3)
    monkeypatch.setattr(users, "_in_use", set[int]())
    assert [bool(users.account_files(users.take_uid())) for _ in range(3)] == [True, True, False]
    with pytest.raises(MachineError, match="user ids"):
        users.take_uid()


async def test_user_ids_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """By containers that were reset, used up, lost or closed."""
    in_use: set[int] = set()
    monkeypatch.setattr(users, "_in_use", in_use)

    def script(program: Program) -> Answer:
        return Answer(lost="lose" in program.code)

    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2))
    async with ScriptedEngine(script, config) as engine:
        for _ in range(5):
            await engine.run("python", "", strategy=POOL)
            await engine.run("python", "")
        with pytest.raises(InterpreterToolsError):
            await engine.run("python", "lose")
        assert 0 < len(in_use) <= 6
    assert not in_use


async def test_known_image_does_not_wait_for_the_inspection_of_another() -> None:
    """One slow look-up delays no run in an image that is known."""
    async with engine_with(max_size=2) as engine:
        assert (await engine.run("python", "")).outcome == "ok"
        gate = asyncio.Event()

        async def slow() -> None:
            await gate.wait()

        engine.docker.before["inspect_image"] = slow
        other = asyncio.create_task(engine.run("javascript", ""))
        await until(lambda: engine.docker.calls["inspect_image"] == 2)
        async with asyncio.timeout(30):
            assert (await engine.run("python", "")).outcome == "ok"
        gate.set()
        assert (await other).outcome == "ok"


@pytest.mark.parametrize(
    ("cpus", "memory", "size"),
    [(1, 0, 8), (2, 8 << 30, 8), (8, 64 << 30, 32), (64, 1 << 40, 64), (8, 1 << 30, 4), (2, 1, 2)],
)
def test_size_follows_the_machine(cpus: int, memory: int, size: int) -> None:
    """Cores decide, within what the memory can hold; a size that is given is the size."""
    assert PoolConfig().size_on(cpus=cpus, memory=memory) == size
    assert PoolConfig(max_size=3).size_on(cpus=cpus, memory=memory) == 3


async def test_burst_waits_its_turn_on_a_default_engine() -> None:
    """To wait is not to fail."""
    async with ScriptedEngine(lambda _: Answer(seconds=0.05), EngineConfig(prewarm=())) as engine:
        results = await asyncio.gather(*(engine.run("python", "") for _ in range(100)))
        assert {result.outcome for result in results} == {"ok"}
