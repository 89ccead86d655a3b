"""What a run whose supervisor is the test has to say, and how fast."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools import ContainerBusy, OutputChunk
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._protocol import Exited, Files, Output
from interpreter_tools._protocol.constants import Ended
from interpreter_tools.testing.executions import execution_of, exited, out, started
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED

if TYPE_CHECKING:
    from interpreter_tools._config.results import Outcome


_KIB = 1024


# -- output and its end


async def test_chunks_come_in_order() -> None:
    """As they were written, over both streams; then the iteration ends and the result is there."""
    sandbox = Sandbox()
    async with execution_of(sandbox) as execution:
        sandbox.say(out(b"1"), Output("stderr", b"2"), out(b"3\xc3"))
        sandbox.say(out(b"\xa9"), EXITED)
        chunks = [chunk async for chunk in execution]
        result = await execution.result()
    assert chunks == [
        OutputChunk("stdout", b"1"),
        OutputChunk("stderr", b"2"),
        OutputChunk("stdout", b"3"),
        OutputChunk("stdout", "é".encode()),
    ]
    assert (result.stdout, result.stderr, result.outcome) == ("13é", "2", "ok")
    assert sandbox.released == [LeaseEnd.CLEAN]


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_output_is_whole_however_it_comes(data: bytes, cuts: list[int]) -> None:
    """Chunks and text hold all that was written."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [out(data[start:end]) for start, end in itertools.pairwise(edges) if start < end]

    async def main() -> None:
        sandbox = Sandbox()
        execution = await started(sandbox)
        sandbox.say(*pieces, EXITED)
        assert b"".join([chunk.data async for chunk in execution]) == data
        assert (await execution.result()).stdout == data.decode("utf-8", "replace")

    asyncio.run(main())


async def test_consumer_is_woken_by_output() -> None:
    """It waits for nothing else."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    waiting = asyncio.create_task(anext(execution))
    await settle()
    assert not waiting.done()
    sandbox.say(out(b"x"))
    assert await waiting == OutputChunk("stdout", b"x")
    await execution.aclose()


async def test_two_consumers() -> None:
    """The second is turned away, the first goes on."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    first = asyncio.create_task(anext(execution))
    await settle()
    with pytest.raises(ContainerBusy, match="two tasks"):
        await anext(execution)
    sandbox.say(out(b"x"))
    assert await first == OutputChunk("stdout", b"x")
    await execution.aclose()


async def test_cancelled_consumer() -> None:
    """Nothing is lost, and another may come in its place."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    first = asyncio.create_task(anext(execution))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    sandbox.say(out(b"x"), EXITED)
    assert [chunk.data async for chunk in execution] == [b"x"]


async def test_cancelled_result() -> None:
    """It can be asked for again, by several at once."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    first, second, third = (asyncio.create_task(execution.result()) for _ in range(3))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    sandbox.say(EXITED)
    assert await second is await third is await execution.result()


async def test_result_in_the_middle_of_the_output() -> None:
    """Chunks that nobody took are dropped, the text is whole."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(out(b"a"), out(b"b"))
    assert (await anext(execution)).data == b"a"
    asking = asyncio.create_task(execution.result())
    await settle()
    sandbox.say(out(b"c"), EXITED)
    assert (await asking).stdout == "abc"
    assert [chunk async for chunk in execution] == []


async def test_output_that_is_not_captured() -> None:
    """The result says that it is not whole."""
    sandbox = Sandbox()
    execution = await started(sandbox, capture=False)
    sandbox.say(out(b"a"), EXITED)
    assert [chunk.data async for chunk in execution] == [b"a"]
    result = await execution.result()
    assert (result.stdout, result.truncated) == ("", True)


@pytest.mark.parametrize(
    ("end", "outcome", "exit_code", "signal"),
    [
        (exited(), "ok", 0, None),
        (exited(exit_code=3), "error", 3, None),
        (exited(exit_code=-1, signal=11), "error", 139, 11),
        (exited(Ended.TIMEOUT, -1, 9), "timeout", 137, 9),
        (exited(Ended.TIMEOUT, -1, 9, oom_kills=1), "timeout", 137, 9),
        (exited(Ended.KILLED, -1, 9), "killed", 137, 9),
        (exited(Ended.OUTPUT_LIMIT, -1, 9), "output_limit", 137, 9),
        (exited(exit_code=-1, signal=9), "error", 137, 9),
        (exited(exit_code=-1, signal=9, oom_kills=1), "oom", 137, 9),
    ],
)
async def test_outcome(end: Exited, outcome: Outcome, exit_code: int, signal: int | None) -> None:
    """What the supervisor saw, in the words of the result."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(end)
    result = await execution.result()
    assert (result.outcome, result.exit_code, result.signal) == (outcome, exit_code, signal)
    assert result.truncated == (outcome == "output_limit")
    assert sandbox.released == [LeaseEnd.CLEAN]


async def test_numbers_of_the_result() -> None:
    """Seconds and bytes; files by name."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(
        Files(((1, b"b"), (2, b"a/\xff")), partial=True),
        Files(((3, "ä\n".encode()),), partial=False),
        exited(wall_us=1_500_000, cpu_us=250_000, peak_memory=4096),
    )
    result = await execution.result()
    assert (result.execution_time, result.cpu_time, result.peak_memory) == (1.5, 0.25, 4096)
    assert result.generated_files == ("a/\udcff", "b", "ä\n")
    assert result.generated_files_partial


async def test_long_names_of_many_files() -> None:
    """16 MiB of them are kept, and the list is then partial."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    entries = tuple((0, b"d/" * 2000 + b"%02d" % number) for number in range(15))
    for _ in range(400):
        sandbox.say(Files(entries, partial=False))
    sandbox.say(EXITED)
    result = await execution.result()
    assert result.generated_files_partial
    assert 0 < sum(map(len, result.generated_files)) <= 16 * _KIB * _KIB


async def test_unclean_end() -> None:
    """The result counts, the container does not go back."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(exited(unclean=True))
    assert (await execution.result()).outcome == "ok"
    assert sandbox.released == [LeaseEnd.UNCLEAN]


# -- back-pressure


async def test_slow_consumer_makes_the_program_wait() -> None:
    """Reading stops beyond 256 KiB and goes on below 128."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    said = 0
    while sandbox.transport.reading:
        sandbox.say(out(bytes(16 * _KIB)))
        said += 16
        assert said <= 272
    assert said == 272
    while not sandbox.transport.reading:
        await anext(execution)
        said -= 16
    assert said == 112
    sandbox.say(EXITED)
    assert sum([len(chunk.data) async for chunk in execution]) == 112 * _KIB


async def test_result_lets_the_program_go_on() -> None:
    """Nobody takes chunks any more, so nothing has to wait."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    for _ in range(10):
        sandbox.say(out(bytes(32 * _KIB)))
    assert not sandbox.transport.reading
    asking = asyncio.create_task(execution.result())
    await settle()
    assert sandbox.transport.reading
    for _ in range(20):
        sandbox.say(out(bytes(32 * _KIB)))
    assert sandbox.transport.reading
    sandbox.say(EXITED)
    assert len((await asking).stdout) == 30 * 32 * _KIB


async def test_end_leaves_the_channel_reading() -> None:
    """The next run finds it as this one did."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(*(out(bytes(32 * _KIB)) for _ in range(10)), EXITED)
    assert sandbox.transport.reading
    assert sum([len(chunk.data) async for chunk in execution]) == 320 * _KIB
