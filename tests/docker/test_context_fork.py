"""Branches of contexts: each goes its own way with its variables and files, and harms no other one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import CheckpointGone, CheckpointRefused, ConfigurationError, ContextClosed, ContextDied
from tests.docker.conftest import BOTH_WAYS

if TYPE_CHECKING:
    from interpreter_tools import Context, ExecutionEngine
    from tests.docker.codes import Codes
    from tests.docker.conftest import Isolated

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", params=BOTH_WAYS)
def isolation(request: pytest.FixtureRequest) -> Isolated:
    """In both ways: the processes of branches are known and ended in each."""
    return request.param


@pytest.fixture
def context(any_context: Context) -> Context:
    """A context of each language that has branches."""
    return any_context


async def _print(context: Context, code: str) -> str:
    return (await context.run(code)).check().stdout.strip()


async def test_branches_have_variables_and_files_of_their_own(context: Context, codes: Codes) -> None:
    """Also those of a branch of a branch; the context that they came from is as it was."""
    look = codes.show("x", "@f", "@g")
    await _print(context, f"x=1; {codes.write('f', 'root')}")
    branch = await context.fork()
    assert await _print(branch, f"x=2; {codes.append('f', '-one')}; {look}") == "2 root-one -"
    second = await branch.fork()
    assert await _print(second, f"{codes.show('x')}; x=3; {codes.write('g', 'two')}") == "2"
    assert await _print(context, look) == "1 root -"
    assert await _print(branch, look) == "2 root-one -"
    assert await _print(second, look) == "3 root-one two"


async def test_twenty_branches_diverge(context: Context, codes: Codes) -> None:
    """Their cells may be asked for at once. Random numbers and identifiers are each branch's own."""
    begin = {
        "python": "import random, ssl, uuid; random.seed(1)",
        "shell": "RANDOM=1",
    }
    code = {
        "python": "x={}; print(x, random.random(), uuid.uuid4(), ssl.RAND_bytes(8).hex())",
        "shell": "x={}; echo $x $RANDOM-$RANDOM $(</proc/sys/kernel/random/uuid) $SRANDOM",
    }
    await _print(context, begin[codes.language])
    branches = await context.fork(20)
    asked = [_print(branch, code[codes.language].format(number)) for number, branch in enumerate(branches)]
    found = [text.split() for text in await asyncio.gather(*asked)]
    assert [each[0] for each in found] == [str(number) for number in range(20)]
    for place in (1, 2, 3):
        assert len({each[place] for each in found}) == 20


async def test_generators_of_numpy_diverge(shared_engine: ExecutionEngine) -> None:
    """Those that a variable names, of each kind; the context that they came from goes on with its own."""
    async with shared_engine.context("python", timeout=60, dependencies=["numpy"]) as context:
        await _print(
            context,
            "from numpy import random as r\n"
            "a, b, c, d = r.default_rng(1), r.Generator(r.MT19937(1)), r.RandomState(1), r.Philox(1)",
        )
        code = "print(a.integers(1 << 60), b.integers(1 << 60), c.randint(1 << 30), d.random_raw())"
        branches = await context.fork(2)
        found = [(await _print(each, code)).split() for each in (*branches, context)]
        assert all(len(set(each)) == 3 for each in zip(*found, strict=True))
        assert found[2][0] == await _print(context, "print(r.default_rng(1).integers(1 << 60))")


async def test_a_branch_that_dies_harms_no_other(context: Context, codes: Codes) -> None:
    """Its own cells raise; those of the others find their variables."""
    await _print(context, "x=1")
    first, second = await context.fork(2)
    await _print(second, "x=2")
    code = {"python": "import os; os.kill(os.getpid(), 9)", "shell": "kill -9 $$"}
    assert (await first.run(code[codes.language])).signal == 9
    assert (await _print(context, codes.show("x")), await _print(second, codes.show("x"))) == ("1", "2")
    with pytest.raises(ContextDied, match="SIGKILL"):
        await first.run("x=1")
    assert (first.state, second.state) == ("dead", "idle")


async def test_a_branch_that_kills_all_is_told(context: Context, codes: Codes) -> None:
    """Processes of branches are one user's, so a cell can kill those that are parked: their cells say so."""
    branch = await context.fork()
    await _print(branch, codes.kills_all)
    with pytest.raises(ContextDied, match="parked"):
        await context.run("x=1")
    assert await _print(branch, f"x=2; {codes.show('x')}") == "2"


async def test_branches_have_checkpoints_of_their_own(context: Context, codes: Codes) -> None:
    """A rewind of one leaves the others alone."""
    look = codes.show("x")
    await _print(context, "x=1")
    saved = await context.checkpoint()
    branch = await context.fork()
    await _print(branch, "x=2")
    own = await branch.checkpoint()
    await _print(branch, "x=3")
    await _print(context, "x=4")
    await branch.rewind(own)
    assert (await _print(branch, look), await _print(context, look)) == ("2", "4")
    await context.rewind(saved)
    assert (await _print(context, look), await _print(branch, look)) == ("1", "2")
    with pytest.raises(CheckpointGone, match="another context"):
        await branch.rewind(saved)


async def test_a_branch_that_cannot_be_parked_holds_others_up(context: Context, codes: Codes) -> None:
    """By name, until what is in the way is gone; nothing is lost."""
    await _print(context, "child=0")
    branch = await context.fork()
    await _print(branch, codes.child)
    with pytest.raises(CheckpointRefused, match=rf"{codes.child_name}.*{branch.name}"):
        await context.run("x=1")
    await _print(branch, codes.child_ends)
    assert await _print(context, codes.show("child")) == "0"


async def test_branches_are_closed(context: Context, codes: Codes) -> None:
    """Each alone, with a cell that runs; and all with the context that they came from."""
    first, second = await context.fork(2)
    code = {"python": "import time; print(1, flush=True); time.sleep(60)", "shell": "echo 1; sleep 60"}
    async with first.stream(code[codes.language]) as cell:
        await anext(cell)
        await first.aclose()
        assert (await cell.result()).outcome == "killed"
    with pytest.raises(ContextClosed):
        await first.run("x=1")
    assert await _print(second, f"x=1; {codes.show('x')}") == "1"
    with pytest.raises(CheckpointRefused, match="branches"):
        await context.restart()
    await context.aclose()
    with pytest.raises(ContextClosed):
        await second.run("x=1")


async def test_a_branch_is_found_by_its_id(shared_engine: ExecutionEngine, context: Context, codes: Codes) -> None:
    """It is a context of the session."""
    await _print(context, "x=1")
    branch = await context.fork()
    assert (await shared_engine.run_cell(branch.id, codes.show("x"))).stdout == "1\n"
    assert [entry.kind for entry in branch.history().entries] == ["start", "cell", "cell"]


async def test_a_cancelled_cell_of_a_branch_leaves_all_whole(context: Context, codes: Codes) -> None:
    """Whenever it is cancelled: while processes take turns, too."""
    await _print(context, "x=0")
    branch = await context.fork()
    await _print(branch, "x=1")
    code = {"python": "import time; time.sleep(0.05)", "shell": "sleep 0.05"}
    for delay in (0, 0.001, 0.005, 0.02):
        for one in (context, branch):
            task = asyncio.ensure_future(one.run(code[codes.language]))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.wait([task])
    assert (await _print(context, codes.show("x")), await _print(branch, codes.show("x"))) == ("0", "1")


async def test_numbers_of_branches_are_checked(context: Context) -> None:
    """Before anything starts."""
    for count in (0, 1001):
        with pytest.raises(ConfigurationError, match="count"):
            await context.fork(count)
