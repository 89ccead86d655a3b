"""Any cells, tool calls, interrupts, restarts, deaths, checkpoints, rewinds and forks leave what a model has.

The model is what running everything anew would leave: the variables and files of each context.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpreter_tools import CheckpointGone, CheckpointRefused
from tests.docker.codes import LANGUAGES, Codes

if TYPE_CHECKING:
    from interpreter_tools import Checkpoint, Context, ExecutionEngine

pytestmark = pytest.mark.docker

_NAMES = "abc"
_KINDS = (
    *("set", "set", "write", "write", "remove", "call", "fail"),
    *("interrupt", "timeout", "leave", "restart", "die"),
    *("checkpoint", "checkpoint", "rewind", "rewind", "fork", "crash"),
)
_STEPS = st.lists(st.tuples(st.sampled_from(_KINDS), st.integers(0, 7), st.integers(0, 99)), max_size=14)

Model = tuple[dict[str, int], dict[str, int]]
"""Variables and files, by name."""


def double(value: int) -> int:
    """Double a number."""
    return 2 * value


async def hang() -> None:
    """Never return."""
    await asyncio.Event().wait()


class _Line:
    """A context, and what it must hold."""

    def __init__(self, context: Context, codes: Codes, model: Model) -> None:
        self.context = context
        self.codes = codes
        self.model = model
        self.saved: list[tuple[Checkpoint, Model]] = []
        self.is_alone = True  # it has no branches, and is none

    async def take(self, kind: str, number: int, value: int) -> _Line | None:
        """Take one step, here and in the model; return a branch."""
        name, codes, (variables, files) = _NAMES[number % len(_NAMES)], self.codes, self.model
        if kind == "set":
            assert (await self.context.run(f"{name}={value}")).ok
            variables[name] = value
        elif kind == "write":
            assert (await self.context.run(codes.write(name, str(value)))).ok
            files[name] = value
        elif kind == "remove":
            assert (await self.context.run(codes.remove(name))).ok == (name in files)
            files.pop(name, None)
        elif kind == "call":
            result = await self.context.run(codes.call(name, "double", value))
            assert [call.outcome for call in result.tool_calls] == ["ok"]
            variables[name] = 2 * value
        elif kind == "fail":
            assert (await self.context.run(f"{name}={value}\n{codes.fail()}")).exit_code == 1
            variables[name] = value
        elif kind == "checkpoint":
            self.saved.append((await self.context.checkpoint(), copy.deepcopy(self.model)))
        elif kind == "rewind":
            await self._rewind(number)
        elif kind == "fork":
            self.is_alone = False
            branch = _Line(await self.context.fork(), codes, copy.deepcopy(self.model))
            branch.is_alone = False
            return branch
        elif kind in {"interrupt", "timeout", "leave"}:
            await self._stop(kind, codes.busy[number % len(codes.busy)], value / 5000)
        else:
            await self._end(kind, number, value)
        return None

    async def _stop(self, kind: str, code: str, seconds: float) -> None:
        """Stop a cell that would not end: the state stays."""
        if kind == "timeout":
            assert (await self.context.run(code, timeout=0.05 + seconds)).outcome == "timeout"
            return
        async with self.context.stream(code) as cell:
            await asyncio.sleep(seconds)
            if kind == "interrupt":
                await self.context.interrupt()
                assert (await cell.result()).exit_code == 130

    async def _end(self, kind: str, number: int, value: int) -> None:
        """End the process: the variables are gone, or come back with a checkpoint."""
        if kind == "crash":
            if self._held():
                assert not (await self.context.run(self.codes.die(7))).ok
                await self._rewind(number)
        elif not self.is_alone:
            with pytest.raises(CheckpointRefused, match="branches"):
                await self.context.restart()
        else:
            if kind == "restart":
                await self.context.restart()
            else:
                assert (await self.context.run(self.codes.die(value))).exit_code == value
            self.model[0].clear()
            if kind == "restart":
                self.saved.clear()
            elif self._held():
                await self.context.restart()
                self.saved.clear()

    def _held(self) -> list[tuple[Checkpoint, Model]]:
        return [each for each in self.saved if each[0] in self.context.checkpoints()]

    async def _rewind(self, number: int) -> None:
        held = self._held()
        for gone, _ in self.saved:
            if gone not in self.context.checkpoints():
                with pytest.raises(CheckpointGone):
                    await self.context.rewind(gone)
        if held:
            saved, model = held[number % len(held)]
            await self.context.rewind(saved)
            self.model = copy.deepcopy(model)

    async def check(self) -> None:
        """Compare the context with the model."""
        variables, files = self.model
        shown = [f"{name} {variables.get(name, '-')} {files.get(name, '-')}" for name in _NAMES]
        result = await self.context.run(self.codes.look(_NAMES))
        assert result.stdout.splitlines() == shown, result


@pytest.mark.parametrize("language", LANGUAGES)
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=_STEPS)
async def test_state_is_that_of_a_model(
    engine: ExecutionEngine, language: str, steps: list[tuple[str, int, int]]
) -> None:
    """After each step, in the context that took it; in all at the end."""
    codes = Codes(language)
    async with engine.context(
        language, timeout=60, checkpoint_limit=3, on_death="restart", tools=[double, hang]
    ) as context:
        lines = [_Line(context, codes, ({}, {}))]
        for kind, number, value in steps:
            line = lines[number % len(lines)]
            branch = await line.take(kind, number, value)
            if branch is not None:
                lines.append(branch)
            await line.check()
        for line in lines:
            await line.check()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_long_ring_has_flat_memory(engine: ExecutionEngine, language: str) -> None:
    """After a hundred checkpoints there are as many processes, descriptors and bytes as after twenty."""
    look = {
        "python": "import os; print(sum(name.isdigit() for name in os.listdir('/proc')), "
        "len(os.listdir('/proc/self/fd')), int(open('/proc/self/statm').read().split()[1]) * 4096)",
        "shell": "pids=(/proc/[0-9]*); fds=(/proc/$PPID/fd/*); read -r _ pages _ </proc/$PPID/statm\n"
        "echo ${#pids[@]} ${#fds[@]} $((pages * 4096))",
    }[language]
    codes = Codes(language)

    async def numbers() -> list[int]:
        return [int(word) for word in (await context.run(look)).check().stdout.split()]

    async with engine.context(language, timeout=60, checkpoint_limit=4) as context:
        before: list[int] = []
        for number in range(100):
            if number % 10 == 0:
                assert (await context.run(f"{codes.write('f', 'x' * 10_000)}; n={number}")).ok
            await context.checkpoint()
            if number == 20:
                before = await numbers()
        after = await numbers()
        assert after[0] <= before[0] + 2
        assert after[1] <= before[1] + 1
        assert after[2] <= before[2] + (4 << 20)
