"""The table of sandboxes, on a real engine."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools.server import Quota, ServerConfig
from interpreter_tools.server._errors import NoSuchSandbox, Refused, Unavailable
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._sandboxes import Sandboxes
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture
async def sandboxes(engine: ExecutionEngine) -> AsyncIterator[Sandboxes]:
    """A table of at most three."""
    table = Sandboxes(engine, ServerConfig(sandboxes=3))
    yield table
    await table.aclose()


async def test_sandbox_keeps_files_and_variables_until_it_is_killed(sandboxes: Sandboxes):
    """A context of the sandbox has its environment; killing it ends all."""
    owner, ended = Owner("a"), list[str]()
    sandbox = await sandboxes.create(owner, environment={"COLOUR": "green"}, metadata={"x": "y"})
    assert sandbox.id.isalnum()
    assert sandbox.id == sandbox.id.lower()
    sandbox.on_end(lambda: ended.append("now"))
    context = sandbox.context("python", "main")
    assert (await context.run("import os; x = os.environ['COLOUR']; x")).text == "'green'"
    await sandbox.session.write_file("a.txt", "here")
    assert (await context.run("open('a.txt').read() + x")).text == "'heregreen'"
    assert sandbox.context("python", "main") is context
    assert sandbox.contexts == {context.id: context}
    assert sandboxes.by_token(sandbox.access_token) is sandbox
    await asyncio.gather(sandbox.kill(), sandbox.kill())
    assert (sandbox.state, ended, owner.sandboxes, len(sandboxes)) == ("ended", ["now"], 0, 0)
    for use in (lambda: sandboxes.get(owner, sandbox.id), lambda: sandbox.context("python"), lambda: sandbox.commands):
        with pytest.raises(NoSuchSandbox):
            use()


async def test_sandboxes_of_another_owner_are_not_there(sandboxes: Sandboxes):
    """Neither by id nor in the list, and a token with another secret leads nowhere."""
    mine, other = Owner("a"), Owner("b")
    sandbox = await sandboxes.create(mine)
    assert sandboxes.list(mine) == [sandbox]
    assert sandboxes.list(other) == []
    with pytest.raises(NoSuchSandbox):
        sandboxes.get(other, sandbox.id)
    with pytest.raises(NoSuchSandbox):
        sandboxes.by_token(f"{sandbox.id}_{'0' * 32}")


async def test_sandbox_ends_at_its_time_unless_it_is_extended(sandboxes: Sandboxes):
    """One timer ends each in its turn; a paused one is kept for longer."""
    owner = Owner("a")
    short = await sandboxes.create(owner, timeout=0.05)
    long = await sandboxes.create(owner, timeout=0.05)
    paused = await sandboxes.create(owner, timeout=0.05, on_timeout="pause")
    long.set_timeout(60)
    long.extend(1)
    assert 50 < (long.ends_at - long.started_at).total_seconds() < 70

    async def states() -> list[str]:
        return [short.state, long.state, paused.state]

    await eventually(states, lambda seen: seen == ["ended", "running", "paused"], within=5)
    paused.resume(0.05)
    await eventually(states, lambda seen: seen == ["ended", "running", "paused"], within=5)
    long.set_timeout(0)
    await eventually(states, lambda seen: seen == ["ended", "ended", "paused"], within=5)


async def test_table_and_owner_hold_no_more_than_they_may(sandboxes: Sandboxes):
    """What is over is told to come again."""
    limited, other = Owner("a", Quota(sandboxes=1)), Owner("b")
    first = await sandboxes.create(limited)
    with pytest.raises(Refused, match="1 sandboxes"):
        await sandboxes.create(limited)
    await sandboxes.create(other)
    await sandboxes.create(other)
    with pytest.raises(Refused, match="as many as the server holds"):
        await sandboxes.create(other)
    await first.kill()
    await sandboxes.create(limited)
    await sandboxes.aclose()
    assert (limited.sandboxes, other.sandboxes) == (0, 0)
    with pytest.raises(Unavailable):
        await sandboxes.create(limited)


async def test_closed_table_has_ended_what_was_on_its_end(sandboxes: Sandboxes):
    """A sandbox whose client has gone while it was killed, too; nothing else holds the work then."""
    sandbox = await sandboxes.create(Owner("a"))
    context = sandbox.context("python")
    await context.start()
    killing = asyncio.create_task(sandbox.kill())
    await asyncio.sleep(0)
    killing.cancel()
    session = sandbox.session
    del sandbox, context, killing
    gc.collect()
    await sandboxes.aclose()
    assert not session.is_active
    assert len(sandboxes) == 0


async def test_many_extensions_leave_no_memory_behind(sandboxes: Sandboxes):
    """Deadlines that no longer count are dropped."""
    sandbox = await sandboxes.create(Owner("a"))
    began = time.monotonic()
    for seconds in range(10_000):
        sandbox.set_timeout(60 + seconds)
    assert len(sandboxes._deadlines) < 200
    assert sandbox.deadline > began + 10_000
