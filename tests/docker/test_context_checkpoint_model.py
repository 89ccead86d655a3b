"""Any sequence of cells, checkpoints, rewinds, forks and crashes leaves what running everything anew would leave."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpreter_tools import CheckpointGone

if TYPE_CHECKING:
    from interpreter_tools import Checkpoint, Context, ExecutionEngine

pytestmark = pytest.mark.docker

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "write", "remove", "checkpoint", "rewind", "fork", "crash"]),
        st.integers(0, 7),
        st.integers(0, 99),
    ),
    max_size=14,
)

Model = tuple[dict[str, int], dict[str, int]]
"""Variables and files, by name."""


class _Line:
    """A context, and what it must hold."""

    def __init__(self, context: Context, model: Model) -> None:
        self.context = context
        self.model = model
        self.saved: list[tuple[Checkpoint, Model]] = []

    async def take(self, kind: str, number: int, value: int) -> _Line | None:
        """Take one step, here and in the model; return a branch."""
        name, (variables, files) = "abc"[number % 3], self.model
        if kind == "set":
            assert (await self.context.run(f"{name} = {value}")).ok
            variables[name] = value
        elif kind == "write":
            assert (await self.context.run(f"open('{name}', 'w').write('{value}')")).ok
            files[name] = value
        elif kind == "remove":
            await self.context.run(f"import os; os.remove('{name}')")
            files.pop(name, None)
        elif kind == "checkpoint":
            self.saved.append((await self.context.checkpoint(), copy.deepcopy(self.model)))
        elif kind == "fork":
            return _Line(await self.context.fork(), copy.deepcopy(self.model))
        elif self.saved:
            if kind == "crash":
                assert not (await self.context.run("import os; os._exit(7)")).ok
            await self._rewind(number)
        return None

    async def _rewind(self, number: int) -> None:
        held = [each for each in self.saved if each[0] in self.context.checkpoints()]
        saved, model = held[number % len(held)]
        for gone, _ in self.saved:
            if gone not in self.context.checkpoints():
                with pytest.raises(CheckpointGone):
                    await self.context.rewind(gone)
        await self.context.rewind(saved)
        self.model = copy.deepcopy(model)

    async def check(self) -> None:
        """Compare the context with the model."""
        result = await self.context.run(
            "import os; ({n: globals()[n] for n in 'abc' if n in globals()}, "
            "{n: int(open(n).read()) for n in sorted(os.listdir())})"
        )
        assert result.text == repr((dict(sorted(self.model[0].items())), dict(sorted(self.model[1].items())))), result


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # it keeps nothing
@given(steps=_STEPS)
async def test_state_is_that_of_a_model(engine: ExecutionEngine, steps: list[tuple[str, int, int]]) -> None:
    """After each step, in the context that took it; in all at the end."""
    async with engine.context("python", timeout=60, checkpoint_limit=3) as context:
        await context.start()
        lines = [_Line(context, ({}, {}))]
        for kind, number, value in steps:
            line = lines[number % len(lines)]
            branch = await line.take(kind, number, value)
            if branch is not None:
                lines.append(branch)
            await line.check()
        for line in lines:
            await line.check()


async def test_a_long_ring_has_flat_memory(engine: ExecutionEngine) -> None:
    """After a hundred checkpoints there are as many processes, descriptors and bytes as after twenty."""
    look = (
        "import os; sum(name.isdigit() for name in os.listdir('/proc')), len(os.listdir('/proc/self/fd')), "
        "int(open('/proc/self/statm').read().split()[1]) * 4096"
    )
    async with engine.context("python", timeout=60, checkpoint_limit=4) as context:
        before: tuple[int, int, int] | None = None
        for number in range(100):
            if number % 10 == 0:
                assert (await context.run(f"open('f', 'w').write('x' * 10000); n = {number}")).ok
            await context.checkpoint()
            if number == 20:
                before = eval((await context.run(look)).text or "")
        after: tuple[int, int, int] = eval((await context.run(look)).text or "")
        assert before is not None
        assert after[0] <= before[0] + 2
        assert after[1] <= before[1] + 1
        assert after[2] <= before[2] + (4 << 20)
