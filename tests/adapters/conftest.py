"""The tool that the adapters' tests share, over a real engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import pytest

from interpreter_tools import CodeExecutionTool, ContainerStrategy, create_code_execution_tool
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from interpreter_tools import ExecutionEngine

    Work: TypeAlias = Coroutine[object, object, object]
    Cancelling: TypeAlias = Callable[[Work], Coroutine[object, object, None]]

HELLO = {"language": "python", "code": "print(6 * 7)"}
BROKEN = {"language": "python", "code": "import numpy_of_tests"}
WRONG = {"language": "cobol", "code": "DISPLAY 42."}
STATE = [{"language": "python", "code": code} for code in ("x = 41", "x / 0", "x + 1")]
"""Calls of one live interpreter: the last one prints 42."""
ENDLESS = {"language": "python", "code": "print('begun', flush=True)\nimport time; time.sleep(600)"}


@pytest.fixture
def tool(engine: ExecutionEngine) -> CodeExecutionTool:
    """A tool over the engine that all tests share."""
    return create_code_execution_tool(engine=engine, strategy=ContainerStrategy.POOL)


@pytest.fixture
async def stateful(engine: ExecutionEngine) -> AsyncIterator[CodeExecutionTool]:
    """A tool whose variables stay from call to call."""
    async with create_code_execution_tool(engine=engine, stateful=True) as tool:
        yield tool


@pytest.fixture
def cancelling(engine: ExecutionEngine) -> Cancelling:
    """Cancel what runs ENDLESS, once that runs, and prove that the run ends with it."""

    async def busy() -> int:
        return engine.stats().busy

    async def cancel(work: Work) -> None:
        task = asyncio.ensure_future(work)
        await eventually(busy, lambda count: count == 1 or task.done(), within=60)
        await asyncio.sleep(0.2)  # it is on its way into the container, or there
        assert not task.done(), task
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(busy, lambda count: count == 0, within=60)

    return cancel
