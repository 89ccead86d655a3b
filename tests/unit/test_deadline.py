"""Deadlines of a process that may be stopped."""

from __future__ import annotations

import asyncio
import time

import pytest

from interpreter_tools._deadline import awake_timeout


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


async def test_no_limit_is_none() -> None:
    """None waits for as long as it takes."""
    async with awake_timeout(None):
        await asyncio.sleep(0)
