"""Background tasks."""

from __future__ import annotations

import asyncio

import pytest

from interpreter_tools._background import BackgroundTasks, beside


async def test_failing_task_takes_nothing_else_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody expected is logged and counted; tasks before and after it go on."""
    tasks = BackgroundTasks()
    done: list[str] = []

    async def fail() -> None:
        raise OSError(28, "No space left on device")

    async def work(name: str) -> None:
        await asyncio.sleep(0.01)
        done.append(name)

    assert tasks.spawn(work, "before")
    assert tasks.spawn(fail)
    await asyncio.sleep(0)
    assert tasks.spawn(work, "after")
    await tasks.aclose(deadline=5)
    assert done == ["before", "after"]
    assert tasks.failures == 1
    assert "No space left on device" in caplog.text


async def test_task_that_ends_may_spawn_another_while_all_are_closed() -> None:
    """What cleans up is waited for as well; afterwards nothing is spawned."""
    tasks = BackgroundTasks()
    done: list[str] = []

    async def clean_up() -> None:
        await asyncio.sleep(0)
        done.append("cleaned")

    async def work() -> None:
        await asyncio.sleep(0)
        assert tasks.spawn(clean_up)

    tasks.spawn(work)
    await tasks.aclose(deadline=5)
    assert done == ["cleaned"]
    assert not tasks.spawn(work)


async def test_task_that_does_not_end_is_cancelled_at_the_deadline() -> None:
    """Also when the task shields itself from anyio's cancellation."""
    tasks = BackgroundTasks()
    cancelled: list[bool] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    tasks.spawn(hang)
    await tasks.aclose(deadline=0.05)
    assert cancelled == [True]


async def test_cancellation_at_the_end_of_a_block_is_raised() -> None:
    """A caller who is cancelled while what ran beside its block ends does not go on."""
    steps: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            steps.append("ended")

    async def call() -> None:
        async with beside(stubborn()):
            await asyncio.sleep(0)
        steps.append("went on")

    task = asyncio.create_task(call())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["ended"]


async def test_what_runs_beside_a_block_fails_in_its_place() -> None:
    """Its exception reaches the caller."""

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        async with beside(fail()):
            await asyncio.sleep(0)
