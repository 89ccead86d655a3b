"""Any sequence of cells, tool calls, interrupts, time-outs, restarts and deaths leaves the variables of a model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from interpreter_tools import Context, ExecutionEngine

pytestmark = pytest.mark.docker

_NAMES = st.sampled_from(["a", "b", "c"])
_BUSY = [
    "while True: pass",
    "import time; time.sleep(50)",
    "import asyncio; await asyncio.sleep(50)",
    "!sleep 50",
    "import tools; tools.hang()",
]
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _NAMES, st.integers(0, 99)),
        st.tuples(st.just("call"), _NAMES, st.integers(0, 99)),
        st.tuples(st.just("fail"), _NAMES, st.integers(0, 99)),
        st.tuples(st.just("interrupt"), st.sampled_from(_BUSY), st.integers(0, 20)),
        st.tuples(st.just("timeout"), st.sampled_from(_BUSY), st.integers(0, 20)),
        st.tuples(st.just("leave"), st.sampled_from(_BUSY), st.integers(0, 20)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
        st.tuples(st.just("die"), st.just(""), st.integers(0, 255)),
    ),
    max_size=12,
)


def double(value: int) -> int:
    """Double a number."""
    return 2 * value


async def hang() -> None:
    """Never return."""
    await asyncio.Event().wait()


async def _take(context: Context, model: dict[str, int], step: tuple[str, str, int]) -> None:
    kind, word, number = step
    if kind == "set":
        assert (await context.run(f"{word} = {number}")).ok
        model[word] = number
    elif kind == "call":
        result = await context.run(f"import tools; {word} = tools.double({number})")
        assert [call.outcome for call in result.tool_calls] == ["ok"]
        model[word] = 2 * number
    elif kind == "fail":
        error = (await context.run(f"{word} = {number}\n1 / 0")).error
        assert error is not None
        assert error.name == "ZeroDivisionError"
        model[word] = number
    elif kind == "interrupt":
        async with context.stream(word) as cell:
            await asyncio.sleep(number / 1000)
            await context.interrupt()
            assert (await cell.result()).exit_code == 130
    elif kind == "timeout":
        assert (await context.run(word, timeout=0.05 + number / 1000)).outcome == "timeout"
    elif kind == "leave":
        async with context.stream(word):
            await asyncio.sleep(number / 1000)
    elif kind == "restart":
        await context.restart()
        model.clear()
    else:
        assert (await context.run(f"import os; os._exit({number})")).exit_code == number
        model.clear()


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # it keeps nothing
@given(steps=_STEPS)
async def test_variables_are_those_of_a_model(engine: ExecutionEngine, steps: list[tuple[str, str, int]]) -> None:
    """After each step."""
    async with engine.context("python", on_death="restart", timeout=60, tools=[double, hang]) as context:
        model: dict[str, int] = {}
        for step in steps:
            await _take(context, model, step)
            result = await context.run("{name: globals()[name] for name in 'abc' if name in globals()}")
            assert result.text == repr(dict(sorted(model.items()))), steps
