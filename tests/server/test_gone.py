"""Work that ends with its client: a request's own task does it, so one cancellation must not be taken for another."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest
from starlette.requests import ClientDisconnect, Request

from interpreter_tools.server._gone import unless_gone
from interpreter_tools.server._serve import rare_collections

if TYPE_CHECKING:
    from starlette.types import Message


def _request(left: asyncio.Event) -> Request:
    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


async def test_work_of_a_client_that_stays_gives_its_result() -> None:
    """Nothing of the watch is left behind, and the task counts as one that nobody has cancelled."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 42

    tasks = asyncio.all_tasks()
    assert await unless_gone(_request(asyncio.Event()), work()) == 42
    assert asyncio.all_tasks() == tasks
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_work_of_a_client_that_goes_is_cancelled() -> None:
    """The work may clean up; then the client's absence is what is told, and the task goes on."""
    left, cleaned = asyncio.Event(), False

    async def work() -> None:
        nonlocal cleaned
        left.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    with pytest.raises(ClientDisconnect):
        await unless_gone(_request(left), work())
    assert cleaned
    await asyncio.sleep(0)  # no cancellation is left over


@pytest.mark.parametrize("goes", [False, True])
async def test_a_cancellation_of_the_request_is_raised(goes: bool) -> None:
    """A server that stops cancels the task, also one whose client goes in the same moment."""
    left, began = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)

    task = asyncio.create_task(unless_gone(_request(left), work()))
    await began.wait()
    if goes:
        left.set()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_of_the_work_is_raised() -> None:
    """The watch hides no error, also when the client goes as it is raised."""
    left = asyncio.Event()

    async def work() -> None:
        left.set()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless_gone(_request(left), work())


def test_rare_collections_end_with_the_server() -> None:
    """The process has its own thresholds again, and no object stays out of sight."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with rare_collections():
        assert gc.get_threshold() != before
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
