"""Standard input: by value, or while the program runs."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ConfigurationError, ContainerStrategy, ExecutionClosed

if TYPE_CHECKING:
    from interpreter_tools import Execution, ExecutionEngine

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
LANGUAGES = {
    "python": "for line in __import__('sys').stdin: print('<' + line.strip() + '>')",
    "javascript": "require('readline').createInterface(process.stdin).on('line', (line) => console.log(`<${line}>`))",
    "shell": 'while read -r line; do echo "<$line>"; done',
}


async def read_until(execution: Execution, end: str) -> str:
    """Output up to a text."""
    text = ""
    while not text.endswith(end):
        text += (await anext(execution)).text
    return text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_input_by_value_ends_by_itself(engine: ExecutionEngine, language: str) -> None:
    """The program reads it to its end."""
    result = await engine.run(language, LANGUAGES[language], stdin="a\nbé\n".encode(), strategy=POOL)
    assert (result.outcome, result.stdout) == ("ok", "<a>\n<bé>\n")
    result = await engine.run(language, LANGUAGES[language], strategy=POOL)
    assert (result.outcome, result.stdout) == ("ok", "")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_conversation_goes_both_ways(engine: ExecutionEngine, language: str) -> None:
    """Each line is answered before the next one is sent."""
    async with engine.stream(language, LANGUAGES[language], strategy=POOL) as execution:
        for number in range(50):
            await execution.send_stdin(f"line {number}\n".encode())
            assert await read_until(execution, "\n") == f"<line {number}>\n"
        await execution.close_stdin()
        assert (await execution.result()).outcome == "ok"


async def test_input_that_waits_for_a_program_s_question(engine: ExecutionEngine) -> None:
    """A prompt without a line end is seen at once."""
    async with engine.stream("python", "print('Hello ' + input('Name? '))", strategy=POOL) as execution:
        assert await read_until(execution, "? ") == "Name? "
        await execution.send_stdin(b"World\n")
        assert (await execution.result()).stdout == "Name? Hello World\n"


async def test_megabytes_go_through_unchanged(engine: ExecutionEngine) -> None:
    """By value and in pieces, through ``cat`` and back."""
    data = random.Random(3).randbytes(5_000_000)
    async with engine.stream("shell", "cat", stdin=data, strategy=POOL, capture=False) as execution:
        assert b"".join([chunk.data async for chunk in execution]) == data
    async with engine.stream("shell", "cat", strategy=POOL, capture=False) as execution:
        sender = asyncio.create_task(send_in_pieces(execution, data))
        assert b"".join([chunk.data async for chunk in execution]) == data
        await sender
    digest = await engine.run("shell", "sha256sum", stdin=data, strategy=POOL)
    assert digest.stdout.split()[0] == hashlib.sha256(data).hexdigest()


async def send_in_pieces(execution: Execution, data: bytes) -> None:
    """Send bytes in pieces of any size, then close."""
    chance, at = random.Random(4), 0
    while at < len(data):
        size = chance.choice((1, 100, 65536, 65537, 300_000))
        await execution.send_stdin(data[at : at + size])
        at += size
    await execution.close_stdin()


async def test_senders_keep_their_order(engine: ExecutionEngine) -> None:
    """What was sent first arrives first, though several tasks wait for room."""
    code = "import sys, time; time.sleep(0.1); print(sys.stdin.read(), end='')"
    async with engine.stream("python", code, strategy=POOL) as execution:
        await asyncio.gather(*(execution.send_stdin(bytes([65 + n]) * 50_000) for n in range(20)))
        await execution.close_stdin()
        result = await execution.result()
    assert result.stdout == "".join(chr(65 + n) * 50_000 for n in range(20))


async def test_sender_waits_for_the_program_to_read(engine: ExecutionEngine) -> None:
    """Of what is sent to a program that does not read, a part stays with the sender."""
    code = "import os, sys; print(os.getpid(), flush=True); os.kill(os.getpid(), 19); print(len(sys.stdin.read()))"
    async with engine.stream("python", code, strategy=POOL) as execution:
        await anext(execution)
        sender = asyncio.create_task(execution.send_stdin(b"x" * 3_000_000))
        done, _ = await asyncio.wait([sender], timeout=0.3)
        assert not done
        await execution.kill()
        with pytest.raises(ExecutionClosed):
            await sender


async def test_program_that_never_reads_ends_as_it_likes(engine: ExecutionEngine) -> None:
    """Its result is right; whoever still sends is told."""
    result = await engine.run("python", "print(1)", stdin=bytes(3_000_000), strategy=POOL)
    assert (result.outcome, result.stdout) == ("ok", "1\n")
    async with engine.stream("python", "import time; time.sleep(0.3)", strategy=POOL) as execution:

        async def send() -> None:
            while True:  # what is sent while it ends may be taken, and dropped
                await execution.send_stdin(bytes(1_000_000))

        with pytest.raises(ExecutionClosed):
            await send()
        assert (await execution.result()).outcome == "ok"


async def test_program_that_closes_its_input_goes_on(engine: ExecutionEngine) -> None:
    """What is sent then is dropped, as a pipe without a reader would do, and nobody waits for it."""
    code = "import os, time; os.close(0); print('closed', flush=True); time.sleep(0.3); print('end')"
    async with engine.stream("python", code, strategy=POOL) as execution:
        assert await read_until(execution, "\n") == "closed\n"
        await execution.send_stdin(bytes(3_000_000))
        await execution.close_stdin()
        assert (await execution.result()).stdout == "closed\nend\n"


async def test_closing_twice_does_nothing_more(engine: ExecutionEngine) -> None:
    """Sending after it is told; both are harmless after the end."""
    async with engine.stream("shell", "cat", strategy=POOL) as execution:
        await execution.send_stdin(b"")
        await execution.send_stdin(b"a")
        await execution.close_stdin()
        await execution.close_stdin()
        with pytest.raises(ExecutionClosed, match="stdin is closed"):
            await execution.send_stdin(b"b")
        assert (await execution.result()).stdout == "a"
        await execution.close_stdin()
        with pytest.raises(ExecutionClosed):
            await execution.send_stdin(b"c")


async def test_input_given_by_value_cannot_be_added_to(engine: ExecutionEngine) -> None:
    """It ends where the value does."""
    async with engine.stream("shell", "cat", stdin=b"all", strategy=POOL) as execution:
        with pytest.raises(ExecutionClosed):
            await execution.send_stdin(b"more")
        assert (await execution.result()).stdout == "all"


async def test_text_is_input_in_utf8(engine: ExecutionEngine) -> None:
    """As contents of files are; what UTF-8 cannot hold is refused."""
    result = await engine.run("shell", "cat - a.txt", stdin="\u00e4", files={"a.txt": "\u00f6"})
    assert result.ok
    assert result.stdout == "\u00e4\u00f6"
    with pytest.raises(ConfigurationError, match="lone surrogate"):
        engine.stream("shell", "cat", stdin="\ud800")


async def test_open_input_is_no_reason_to_wait(engine: ExecutionEngine) -> None:
    """Neither for a program that does not read, nor for one that is at its time limit."""
    async with engine.stream("python", "print(1)", strategy=POOL) as execution:
        assert (await execution.result()).stdout == "1\n"
    async with engine.stream("shell", "cat", timeout=0.3, strategy=POOL) as execution:
        assert (await execution.result()).outcome == "timeout"


async def test_time_limit_frees_a_sender_who_does_not_read(
    engine: ExecutionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program waits for its output to be taken, the caller for its input to be: until the time is over."""
    monkeypatch.setattr("interpreter_tools._execution.execution._BACKSTOP", 3.0)
    async with engine.stream("shell", "cat", timeout=0.5, strategy=POOL) as execution:
        with pytest.raises(ExecutionClosed):
            await execution.send_stdin(bytes(5_000_000))
        result = await execution.result()
    assert result.outcome == "timeout"
    assert result.stdout.strip("\0") == ""


async def test_cancelled_sender_leaves_the_stream_whole(engine: ExecutionEngine) -> None:
    """What it had given is sent or not, but nothing is torn out of the middle."""
    code = "import sys, time; time.sleep(1); data = sys.stdin.read(); print(len(data), data[-3:])"
    async with engine.stream("python", code, strategy=POOL) as execution:
        sender = asyncio.create_task(execution.send_stdin(b"x" * 1_000_000))
        await asyncio.sleep(0.05)
        sender.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sender
        await execution.send_stdin(b"end")
        await execution.close_stdin()
        assert (await execution.result()).stdout == "1000003 end\n"
