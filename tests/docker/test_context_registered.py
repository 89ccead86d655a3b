"""Contexts of a language that is registered from outside of the package: Ruby, by irb's own machinery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.ruby import RUBY
from interpreter_tools import ConfigurationError, LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context, ExecutionEngine
    from tests.docker.workplace import Workplace

pytestmark = pytest.mark.docker


@pytest.fixture
async def context(workplace: Workplace) -> AsyncGenerator[Context]:
    """A context of Ruby."""
    LanguageRegistry.register(RUBY)
    async with workplace.context("ruby", timeout=30) as context:
        yield context


async def test_ruby_keeps_variables(context: Context) -> None:
    """Results, errors, input, files and completion, by one object."""
    assert (await context.run("def add(n) = n + 1\nx = 41")).results == ()
    assert (await context.run("add(x)")).text == "42"
    result = await context.run("puts 'out'; warn 'err'; raise ArgumentError, 'bad'")
    assert (result.stdout, result.outcome) == ("out\n", "error")
    assert result.stderr.startswith("err\n")
    assert "bad (ArgumentError)" in result.stderr
    assert result.error is not None
    assert (result.error.name, result.error.value) == ("ArgumentError", "bad")
    assert (await context.run("[gets, $stdin.read]", stdin=b"1\n2\n")).text == '["1\\n", "2\\n"]'
    assert (await context.run("File.write('a.txt', 'x')")).generated_files == ("a.txt",)
    assert (await context.run("exit 3")).exit_code == 3
    assert "x.times" in (await context.complete("x.tim")).matches


@pytest.mark.parametrize("code", ["loop {}", "sleep", "`sleep 100`", "gets"])
async def test_an_interrupt_keeps_the_variables(context: Context, code: str) -> None:
    """As Ctrl-C does in irb."""
    await context.run("kept = 7")
    async with context.stream(code, timeout=0.3) as cell:
        assert (await cell.result()).outcome == "timeout"
    assert (await context.run("kept")).text == "7"


async def test_a_language_without_a_runner_says_so(engine: ExecutionEngine) -> None:
    """With the languages that have one."""
    with pytest.raises(ConfigurationError, match="perl") as caught:
        engine.context("perl")
    assert "javascript" in str(caught.value)
