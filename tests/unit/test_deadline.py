"""Deadlines of a process that may be stopped."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from interpreter_tools._deadline import AwakeTimer, awake_limit, awake_timeout


async def test_block_ends_at_its_deadline() -> None:
    """As with asyncio's own."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with awake_timeout(0.1):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= 0.09


async def test_time_in_which_the_process_was_stopped_is_not_counted() -> None:
    """An answer that comes as soon as the process goes on is in time."""
    answer = asyncio.get_running_loop().create_future()
    async with awake_timeout(0.4):
        time.sleep(0.6)  # noqa: ASYNC251 - as SIGSTOP would
        asyncio.get_running_loop().call_later(0.02, answer.set_result, "here")
        assert await answer == "here"


async def test_each_stop_takes_one_step_at_most() -> None:
    """However long it is: a deadline has at least four steps, and more where it is a long one."""
    called = asyncio.Event()
    timer = AwakeTimer(0.4, called.set)
    for _ in range(3):
        time.sleep(0.5)  # noqa: ASYNC251 - as SIGSTOP would
        await asyncio.sleep(0.001)
    assert not called.is_set()
    await called.wait()
    timer.cancel()


async def test_cancelled_timer_calls_nothing() -> None:
    """Before its first step, and between two."""
    called: list[int] = []
    for pause in (0, 0.03):
        timer = AwakeTimer(0.06, called.append, 1)
        await asyncio.sleep(pause)
        timer.cancel()
        timer.cancel()
    await asyncio.sleep(0.1)
    assert called == []


@pytest.mark.parametrize("seconds", [0.05, None])
async def test_limit_goes_on_behind_the_block(seconds: float | None) -> None:
    """The scope of the caller does not end a shielded block; None means that no time does."""
    steps: list[str] = []
    with anyio.CancelScope() as caller:
        caller.cancel()
        with awake_limit(seconds, shield=True) as scope:
            await (asyncio.sleep(0.2) if seconds is None else asyncio.Event().wait())
            steps.append("slept")
        steps.append("cut" if scope.cancelled_caught else "whole")
    assert steps == (["slept", "whole"] if seconds is None else ["cut"])


async def test_no_limit_is_none() -> None:
    """None waits for as long as it takes."""
    async with awake_timeout(None):
        await asyncio.sleep(0)
