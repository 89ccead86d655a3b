"""Branches of contexts: each goes its own way with its variables and files, and harms no other one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import CheckpointGone, CheckpointRefused, ConfigurationError, ContextClosed, ContextDied
from tests.docker.conftest import BOTH_WAYS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context, ExecutionEngine
    from tests.docker.conftest import Isolated

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", params=BOTH_WAYS)
def isolation(request: pytest.FixtureRequest) -> Isolated:
    """In both ways: the processes of branches are known and ended in each."""
    return request.param


@pytest.fixture
async def context(shared_engine: ExecutionEngine) -> AsyncGenerator[Context]:
    """A context of Python in a session of its own."""
    async with shared_engine.context("python", timeout=60, checkpoint_limit=4) as context:
        yield context


async def _value(context: Context, code: str) -> str | None:
    result = await context.run(code)
    assert result.ok, result.stderr
    return result.text


async def test_branches_have_variables_and_files_of_their_own(context: Context) -> None:
    """Also those of a branch of a branch; the context that they came from is as it was."""
    await _value(context, "x = ['root']; open('f', 'w').write('root')")
    branch = await context.fork()
    assert await _value(branch, "x.append('one'); open('f', 'a').write(' one'); x") == "['root', 'one']"
    second = await branch.fork()
    assert await _value(second, "x.append('two'); open('g', 'w').close(); x") == "['root', 'one', 'two']"
    look = "import os; x, open('f').read(), os.path.exists('g')"
    assert await _value(context, look) == "(['root'], 'root', False)"
    assert await _value(branch, look) == "(['root', 'one'], 'root one', False)"
    assert await _value(second, look) == "(['root', 'one', 'two'], 'root one', True)"


async def test_twenty_branches_diverge(context: Context) -> None:
    """Their cells may be asked for at once. Random numbers and identifiers are each branch's own."""
    await _value(context, "import random, ssl, uuid; random.seed(1); x = 0")
    branches = await context.fork(20)
    code = "x += {}; x, random.random(), str(uuid.uuid4()), ssl.RAND_bytes(8)"
    texts = await asyncio.gather(*(_value(branch, code.format(number)) for number, branch in enumerate(branches)))
    found = [eval(text or "") for text in texts]
    assert [each[0] for each in found] == list(range(20))
    for place in (1, 2, 3):
        assert len({each[place] for each in found}) == 20
    assert await _value(context, "x, random.random() == random.Random(1).random()") == "(0, True)"


async def test_a_branch_that_dies_harms_no_other(context: Context) -> None:
    """Its own cells raise; those of the others find their variables."""
    await _value(context, "x = 1")
    first, second = await context.fork(2)
    await _value(second, "x = 2")
    assert (await first.run("import os; os.kill(os.getpid(), 9)")).signal == 9
    assert (await _value(context, "x"), await _value(second, "x")) == ("1", "2")
    with pytest.raises(ContextDied, match="SIGKILL"):
        await first.run("x")
    assert (first.state, second.state) == ("dead", "idle")


async def test_a_branch_that_kills_all_is_told(context: Context) -> None:
    """Processes of branches are one user's, so a cell can kill those that are parked: their cells say so."""
    branch = await context.fork()
    await _value(
        branch,
        "import os\nfrom interpreter_tools_cells.parking import others\nfor pid, _ in others([]): os.kill(pid, 9)",
    )
    with pytest.raises(ContextDied, match="parked"):
        await context.run("1")
    assert await _value(branch, "1 + 1") == "2"


async def test_branches_have_checkpoints_of_their_own(context: Context) -> None:
    """A rewind of one leaves the others alone."""
    await _value(context, "x = 1")
    saved = await context.checkpoint()
    branch = await context.fork()
    await _value(branch, "x = 2")
    own = await branch.checkpoint()
    await _value(branch, "x = 3")
    await _value(context, "x = 4")
    await branch.rewind(own)
    assert (await _value(branch, "x"), await _value(context, "x")) == ("2", "4")
    await context.rewind(saved)
    assert (await _value(context, "x"), await _value(branch, "x")) == ("1", "2")
    with pytest.raises(CheckpointGone, match="another context"):
        await branch.rewind(saved)


async def test_a_branch_that_cannot_be_parked_holds_others_up(context: Context) -> None:
    """By name, until what is in the way is gone; nothing is lost."""
    branch = await context.fork()
    await _value(branch, "import subprocess; child = subprocess.Popen(['sleep', '60'])")
    with pytest.raises(CheckpointRefused, match=rf"'sleep'.*{branch.name}"):
        await context.run("1")
    await _value(branch, "child.kill(); _ = child.wait()")
    assert await _value(context, "'child' in globals()") == "False"


async def test_branches_are_closed(context: Context) -> None:
    """Each alone, with a cell that runs; and all with the context that they came from."""
    first, second = await context.fork(2)
    async with first.stream("import time; time.sleep(60)") as cell:
        await asyncio.sleep(0.3)
        await first.aclose()
        assert (await cell.result()).outcome == "killed"
    with pytest.raises(ContextClosed):
        await first.run("1")
    assert await _value(second, "1") == "1"
    with pytest.raises(CheckpointRefused, match="branches"):
        await context.restart()
    await context.aclose()
    with pytest.raises(ContextClosed):
        await second.run("1")


async def test_a_branch_is_found_by_its_id(shared_engine: ExecutionEngine, context: Context) -> None:
    """It is a context of the session."""
    await _value(context, "x = 1")
    branch = await context.fork()
    assert (await shared_engine.run_cell(branch.id, "x")).text == "1"
    assert [entry.kind for entry in branch.history().entries] == ["start", "cell", "cell"]


async def test_a_cancelled_cell_of_a_branch_leaves_all_whole(context: Context) -> None:
    """Whenever it is cancelled: while processes take turns, too."""
    await _value(context, "x = 0")
    branch = await context.fork()
    await _value(branch, "x = 1")
    for delay in (0, 0.001, 0.005, 0.02):
        for one in (context, branch):
            task = asyncio.ensure_future(one.run("import time; time.sleep(0.05)"))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.wait([task])
    assert (await _value(context, "x"), await _value(branch, "x")) == ("0", "1")


async def test_numbers_of_branches_are_checked(context: Context) -> None:
    """Before anything starts."""
    for count in (0, 1001):
        with pytest.raises(ConfigurationError, match="count"):
            await context.fork(count)
