"""Output as a stream: every byte, in order, in bounded memory, at the pace of whoever takes it."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from interpreter_tools import ContainerBusy, ContainerStrategy, ExecutionClosed

if TYPE_CHECKING:
    from interpreter_tools import Execution, ExecutionEngine, OutputChunk

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
MIB = 1 << 20


def joined(chunks: list[OutputChunk], stream: Literal["stdout", "stderr"]) -> bytes:
    """One stream's bytes."""
    return b"".join(chunk.data for chunk in chunks if chunk.stream == stream)


async def take(execution: Execution) -> list[OutputChunk]:
    """All chunks."""
    return [chunk async for chunk in execution]


def peak_memory(*, reset: bool = False) -> int:
    """The most resident memory this process ever had, or has had since the last reset; in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


INTERLEAVED = """
import os, random
chance = random.Random(1)
for _ in range(1500):
    for descriptor in (1, 2):
        data = chance.randbytes(chance.randrange(1, 7000))
        while data:
            data = data[os.write(descriptor, data):]
"""


def interleaved() -> tuple[bytes, bytes]:
    """What the program above writes."""
    chance = random.Random(1)
    parts = [chance.randbytes(chance.randrange(1, 7000)) for _ in range(3000)]
    return b"".join(parts[::2]), b"".join(parts[1::2])


async def test_interleaved_streams_keep_every_byte_in_order(engine: ExecutionEngine) -> None:
    """10 MB of any bytes, half of it on each stream."""
    stdout, stderr = interleaved()
    assert len(stdout) + len(stderr) > 10_000_000
    async with engine.stream("python", INTERLEAVED, strategy=POOL) as execution:
        chunks = await take(execution)
        result = await execution.result()
    assert joined(chunks, "stdout") == stdout
    assert joined(chunks, "stderr") == stderr
    assert result.stdout == stdout.decode("utf-8", "replace")
    assert result.stderr == stderr.decode("utf-8", "replace")
    assert (result.outcome, result.truncated) == ("ok", False)


IN_TURNS = {
    "python": "import sys\nfor i in range(20):\n    print('o', i)\n    print('e', i, file=sys.stderr)",
    "javascript": "for (let i = 0; i < 20; i++) { console.log('o', i); console.error('e', i) }",
    "typescript": "for (let i: number = 0; i < 20; i++) { console.log('o', i); console.error('e', i) }",
    "shell": "for i in $(seq 0 19); do echo o $i; echo e $i >&2; done",
}


@pytest.mark.parametrize("strategy", [ContainerStrategy.PER_EXECUTION, POOL])
@pytest.mark.parametrize("language", IN_TURNS)
async def test_merged_output_keeps_the_order_of_forty_writes(
    engine: ExecutionEngine, language: str, strategy: ContainerStrategy
) -> None:
    """All of it is stdout: in the chunks, and in the result."""
    async with engine.stream(language, IN_TURNS[language], merge_output=True, strategy=strategy) as execution:
        chunks = await take(execution)
        result = await execution.result()
    assert result.stdout == "".join(f"o {i}\ne {i}\n" for i in range(20))
    assert joined(chunks, "stdout").decode() == result.stdout
    assert (result.stderr, result.outcome) == ("", "ok")


async def test_merged_output_of_an_error_follows_what_came_before_it(engine: ExecutionEngine) -> None:
    """A traceback is in its place, and counts for the limit as all output does."""
    code = "import os, sys\nprint('before')\nos.write(2, b'now')\nraise SystemExit('after')"
    result = await engine.run("python", code, merge_output=True)
    assert (result.stdout, result.stderr, result.exit_code) == ("before\nnowafter\n", "", 1)
    flood = "import os\nwhile True: os.write(2, b'x' * 1000)"
    result = await engine.run("python", flood, merge_output=True, output_limit=5000)
    assert (result.outcome, len(result.stdout), result.stderr) == ("output_limit", 5000, "")


async def test_streams_do_not_overtake_each_other_by_much(engine: ExecutionEngine) -> None:
    """What is written after a pause comes after what was written before it, on whichever stream."""
    code = "for i in 1 2 3 4 5 6; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done"
    async with engine.stream("shell", code, strategy=POOL) as execution:
        text = "".join([chunk.text async for chunk in execution])
    assert text == "".join(f"out{i}\nerr{i}\n" for i in range(1, 7))


async def test_characters_are_never_split(engine: ExecutionEngine) -> None:
    """Though the program writes them byte by byte, on both streams in turn."""
    text = "aé€😀\u0301日本語\n" * 20
    code = f"""
import os, time
for n, byte in enumerate({text.encode()!r}):
    os.write(1, bytes([byte]))
    os.write(2, bytes([byte]))
    if n < 60: time.sleep(0.002)
"""
    async with engine.stream("python", code, strategy=POOL) as execution:
        chunks = await take(execution)
    assert "\ufffd" not in "".join(chunk.text for chunk in chunks)
    assert joined(chunks, "stdout") == joined(chunks, "stderr") == text.encode()
    assert len(chunks) > 30


@pytest.mark.parametrize(
    "raw", [b"\xff", b"a\xc3", b"\xf0\x9f\x98", b"\xe2\x28\xa1", b"\x80" * 7 + b"z", b"\xed\xa0\x80"]
)
async def test_invalid_utf8_is_replaced_once(engine: ExecutionEngine, raw: bytes) -> None:
    """As one decoder over the whole would, in whatever pieces it comes; the bytes are untouched."""
    code = f"import os, time\nfor byte in {raw!r}:\n    os.write(1, bytes([byte])); time.sleep(0.005)"
    async with engine.stream("python", code, strategy=POOL) as execution:
        chunks = await take(execution)
        result = await execution.result()
    assert joined(chunks, "stdout") == raw
    assert result.stdout == raw.decode("utf-8", "replace")


async def test_nul_bytes_are_bytes_like_others(engine: ExecutionEngine) -> None:
    """A million of them, and one in the middle of a text."""
    result = await engine.run("python", "print('a\\0b'); import os; os.write(2, bytes(1000000))", strategy=POOL)
    assert result.stdout == "a\0b\n"
    assert result.stderr == "\0" * 1_000_000


async def test_every_byte_arrives_of_a_program_that_ends_at_once(engine: ExecutionEngine) -> None:
    """Write any number of bytes, then ``_exit``: a few hundred times."""
    chance = random.Random(2)
    sizes = [
        chance.choice((chance.randrange(1, 100), chance.randrange(60_000, 70_000), chance.randrange(300_000)))
        for _ in range(300)
    ]
    code = "import os\nleft = {}\nwhile left: left -= os.write(1, b'x' * left)\nos._exit(7)"
    results = await asyncio.gather(*(engine.run("python", code.format(size), strategy=POOL) for size in sizes))
    assert [len(result.stdout) for result in results] == sizes
    assert {result.exit_code for result in results} == {7}


# -- limits


@pytest.mark.parametrize(
    ("written", "outcome"), [(9_999, "ok"), (10_000, "ok"), (10_001, "output_limit"), (10**9, "output_limit")]
)
async def test_output_limit_counts_both_streams(engine: ExecutionEngine, written: int, outcome: str) -> None:
    """Exactly as many bytes come through; one more ends the program."""
    code = f"""
import os
os.write(2, b"e" * 1000)
left = {written - 1000}
while left:
    left -= os.write(1, b"o" * min(left, 65536))
"""
    result = await engine.run("python", code, output_limit=10_000, strategy=POOL)
    assert result.outcome == outcome
    assert result.truncated == (outcome == "output_limit")
    assert len(result.stdout) + len(result.stderr) == min(written, 10_000)
    assert (await engine.run("python", "print('right')", strategy=POOL)).stdout == "right\n"


@pytest.mark.alone
@pytest.mark.parametrize("byte", ["x", "\\0"])
async def test_endless_output_without_a_newline_is_bounded(engine: ExecutionEngine, byte: str) -> None:
    """1 GiB in one line: the limit ends it; memory does not grow by more than what is kept, and the loop goes on."""
    code = f"import os\ndata = b'{byte}' * 65536\nfor _ in range(1 << 14): os.write(1, data)"
    lags: list[float] = []
    ticker = asyncio.create_task(measure_lags(lags))
    try:
        before = peak_memory(reset=True)
        result = await engine.run("python", code, strategy=POOL)
        grown = peak_memory() - before
    finally:
        ticker.cancel()
    assert (result.outcome, result.truncated, result.signal) == ("output_limit", True, 9)
    assert len(result.stdout) == 16 * MIB
    assert grown < 16 * MIB * 4  # the pieces, the bytes, the text, and room for an allocator
    assert max(lags) < 2  # without breaks it would be the time of the whole run


async def measure_lags(lags: list[float]) -> None:
    """How much later than asked for the event loop comes around."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        lags.append(time.monotonic() - before - 0.005)


async def test_much_output_streams_through_a_few_megabytes(engine: ExecutionEngine) -> None:
    """Nothing is kept that is not asked for."""
    code = "import os\ndata = b'x' * 65536\nfor _ in range(1 << 12): os.write(1, data)"
    total = 0
    async with engine.stream("python", code, capture=False, output_limit=None, strategy=POOL) as execution:
        first = await anext(execution)
        total += len(first.data)
        before = peak_memory(reset=True)
        async for chunk in execution:
            total += len(chunk.data)
        grown = peak_memory() - before
        result = await execution.result()
    assert (result.outcome, total) == ("ok", 1 << 28)
    assert grown < 8 * MIB


# -- pace


async def test_slow_consumer_slows_the_program(engine: ExecutionEngine) -> None:
    """It waits in ``write``; little is held for it meanwhile."""
    code = """
import os, sys, time
longest, data = 0, b"x" * 65536
for _ in range(512):
    before = time.monotonic()
    os.write(1, data)
    longest = max(longest, time.monotonic() - before)
print(longest, file=sys.stderr)
"""
    taken, held = 0, 0
    async with engine.stream("python", code, capture=False, output_limit=None, strategy=POOL) as execution:
        first = await anext(execution)
        await asyncio.sleep(1)
        held = execution._found.output.waiting
        chunks = [first, *await take(execution)]
        taken = len(joined(chunks, "stdout"))
        result = await execution.result()
    assert held < 2 * MIB
    assert taken == 512 * 65536
    assert result.outcome == "ok"
    assert float(joined(chunks, "stderr")) > 0.5


async def test_slow_reader_does_not_make_a_fast_program_late(engine: ExecutionEngine) -> None:
    """200 kB, then the end: the pipes hold it, and the time limit is the program's, not the reader's."""
    code = "import os; os.write(1, b'x' * 200_000)"
    async with engine.stream("python", code, timeout=1, strategy=POOL) as execution:
        first = await anext(execution)
        await asyncio.sleep(2.5)
        chunks = [first, *await take(execution)]
        result = await execution.result()
    assert (result.outcome, len(joined(chunks, "stdout"))) == ("ok", 200_000)
    assert result.execution_time < 1


async def test_program_that_waits_for_its_reader_is_not_given_up(
    engine: ExecutionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that stops for longer than the time limit gets the program's end, not a lost container."""
    monkeypatch.setattr("interpreter_tools._execution.execution._BACKSTOP", 3.0)
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    async with engine.stream("python", code, timeout=0.5, output_limit=None, capture=False, strategy=POOL) as execution:
        await anext(execution)
        await asyncio.sleep(5)  # beyond the limit and everything that is added to it
        await take(execution)
        result = await execution.result()
    assert result.outcome == "timeout"


async def test_result_without_reader_does_not_wait_for_one(engine: ExecutionEngine) -> None:
    """Chunks that nobody takes hold nothing up, and are in the result."""
    async with engine.stream("python", "print('x' * 5_000_000)", strategy=POOL) as execution:
        result = await execution.result()
        assert await take(execution) == []
    assert len(result.stdout) == 5_000_001
    async with engine.stream("python", "print('x' * 5_000_000)", strategy=POOL) as execution:
        await anext(execution)
        assert len((await execution.result()).stdout) == 5_000_001
        assert await execution.result() is await execution.result()


async def test_misuse_of_a_stream_is_told(engine: ExecutionEngine) -> None:
    """Not started, started twice, two readers, left early."""
    execution = engine.stream("python", "input()", strategy=POOL)
    with pytest.raises(ExecutionClosed, match="start"):
        await anext(execution)
    with pytest.raises(ExecutionClosed, match="start"):
        await execution.result()
    async with execution:
        with pytest.raises(ExecutionClosed, match="once"):
            await execution.__aenter__()
        reader = asyncio.create_task(take(execution))
        await asyncio.sleep(0.05)
        with pytest.raises(ContainerBusy):
            await anext(execution)
        await execution.close_stdin()
        assert joined(await reader, "stderr").endswith(b"EOFError: EOF when reading a line\n")
        with pytest.raises(StopAsyncIteration):
            await anext(execution)
    async with engine.stream("python", "input()", strategy=POOL) as execution:
        pass
    with pytest.raises(ExecutionClosed, match="left before it ended"):
        await execution.result()
