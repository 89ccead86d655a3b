"""The event loop of a command."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Result = TypeVar("_Result")


def run(work: Coroutine[object, object, _Result]) -> _Result:
    """Run a command to its end; an interrupt cancels it.

    ``asyncio.run`` cancels in the handler of the signal, which may run in the middle of a step of asyncio's own: a
    future then gets a result after it was cancelled, and says so on stderr. Here the loop does it, between two steps.

    Raises:
        KeyboardInterrupt: the command was interrupted. At a second interrupt nothing is waited for.
    """
    return asyncio.run(_interrupted_by_signal(work))


async def _interrupted_by_signal(work: Coroutine[object, object, _Result]) -> _Result:
    task = asyncio.current_task()
    assert task is not None
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt
        task.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await work
    except asyncio.CancelledError:
        if interrupts:
            raise KeyboardInterrupt from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
