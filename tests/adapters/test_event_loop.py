"""The engine beside the packages that frameworks bring along."""

from __future__ import annotations

import asyncio

import sniffio

from interpreter_tools._background import BackgroundTasks


async def test_background_task_is_spawned_from_a_callback() -> None:
    """Where sniffio is installed, anyio asks it for the event loop, and it knows none outside of tasks."""
    assert sniffio.current_async_library() == "asyncio"
    host, ran = BackgroundTasks(), asyncio.Event()

    async def run() -> None:
        ran.set()

    asyncio.get_running_loop().call_soon(host.spawn, run)
    await asyncio.wait_for(ran.wait(), 10)
    await host.aclose(deadline=1)
