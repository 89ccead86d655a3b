"""Files of a run that come along with its result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, SessionConfig
from tests.watch import PER_EXECUTION, PER_SESSION, POOL, eventually

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker

MAKE = "mkdir -p out/deep; printf 1 > a.txt; printf 2 > out/deep/b.txt; printf 3 > out/c.csv; printf 4 > d.bin"


@pytest.mark.parametrize("strategy", [PER_EXECUTION, POOL])
async def test_files_of_a_run_come_with_its_result(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """Those that match, again and again in containers that are used again."""
    for _ in range(3):
        result = await engine.run("shell", MAKE, collect=["*.txt", "out/*"], strategy=strategy)
        assert result.files == {"a.txt": b"1", "out/c.csv": b"3", "out/deep/b.txt": b"2"}
        assert not result.files_partial
        plain = await engine.run("shell", MAKE, strategy=strategy)
        assert (plain.files, plain.files_partial) == ({}, False)


@pytest.mark.parametrize("strategy", [PER_SESSION, PER_EXECUTION, POOL])
async def test_files_of_a_run_in_a_session(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """Of this run alone; the session goes on as ever."""
    async with engine.session(SessionConfig(strategy=strategy)) as session:
        assert (await session.run("shell", MAKE, collect=["*.csv"])).files == {"out/c.csv": b"3"}
        again = await session.run("python", "open('e.csv', 'w').write('5'); print('ok')", collect=["*.csv"])
        assert (again.stdout, again.files) == ("ok\n", {"e.csv": b"5"})
        assert await session.read_file_binary("e.csv") == b"5"


async def test_files_of_a_program_that_fails(engine: ExecutionEngine) -> None:
    """What it had made is there, and what the files of the caller became."""
    code = "printf x >> given; printf log > log; printf no > secret; chmod 0 secret; exit 3"
    result = await engine.run("shell", code, files={"given": b"1", "other": b"2"}, collect=["**"])
    assert (result.exit_code, result.files) == (3, {"given": b"1x", "log": b"log"})
    assert result.files_partial


async def test_more_than_may_come(engine: ExecutionEngine) -> None:
    """Is left out, and that is told."""
    code = "for i in range(1100): open(f'{i:04}', 'w').close()"
    many = await engine.run("python", code, collect=["*"])
    assert (len(many.files), many.files_partial) == (1000, True)
    code = "truncate -s 60M a; truncate -s 60M b; printf small > c"
    large = await engine.run("shell", code, collect=["*"])
    assert ({path: len(data) for path, data in large.files.items()}, large.files_partial) == (
        {"a": 60 << 20, "c": 5},
        True,
    )


async def test_stream_that_is_left_while_files_come(own_engine: ExecutionEngine) -> None:
    """At any moment: its container is given back, and the next run finds a clean one."""
    for steps in range(12):
        async with own_engine.stream("shell", "truncate -s 20M a; echo", collect=["a"], strategy=POOL) as execution:
            async for _ in execution:
                break
            while execution._found.exited is None:  # noqa: ASYNC110 - each step of the loop counts
                await asyncio.sleep(0)
            for _ in range(steps):
                await asyncio.sleep(0)
        await eventually(lambda: asyncio.sleep(0, own_engine.stats().busy), lambda busy: busy == 0, within=60)
    result = await own_engine.run("shell", "ls; printf 1 > b", collect=["*"], strategy=POOL)
    assert (result.stdout, result.files) == ("main.sh\n", {"b": b"1"})
