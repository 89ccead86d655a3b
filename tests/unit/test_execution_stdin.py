"""What a run whose supervisor is the test is told."""

from __future__ import annotations

import asyncio

import pytest

from interpreter_tools import ExecutionClosed
from interpreter_tools._protocol import Credit
from interpreter_tools._protocol.constants import STDIN_WINDOW
from interpreter_tools.testing.executions import execution_of, started
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED


async def test_stdin_by_value() -> None:
    """Sent with the start, within the window; the end of file comes after the last byte."""
    data = bytes(range(256)) * 400
    sandbox = Sandbox()
    execution = await execution_of(sandbox, stdin=data).__aenter__()
    _, (kind, first) = sandbox.heard()
    assert (kind, first) == (0x07, data[:STDIN_WINDOW])
    sandbox.say(Credit(1000))
    assert sandbox.heard() == [(0x07, data[STDIN_WINDOW : STDIN_WINDOW + 1000])]
    sandbox.say(Credit(STDIN_WINDOW))
    assert sandbox.heard() == [(0x07, data[STDIN_WINDOW + 1000 :]), (0x07, b"")]
    with pytest.raises(ExecutionClosed, match="stdin is closed"):
        await execution.send_stdin(b"more")
    await execution.aclose()


async def test_empty_stdin() -> None:
    """The start says that there is none; nothing else is sent."""
    sandbox = Sandbox()
    async with execution_of(sandbox, stdin=b"") as execution:
        assert [kind for kind, *_ in sandbox.heard()] == [0x06]
        await execution.close_stdin()
        with pytest.raises(ExecutionClosed, match="stdin is closed"):
            await execution.send_stdin(b"x")
        assert sandbox.heard() == []


async def test_send_stdin_waits_for_the_program() -> None:
    """What fits goes at once; the rest when there is room."""
    sandbox = Sandbox()
    execution = await started(sandbox, stdin=None)
    await execution.send_stdin(bytes(STDIN_WINDOW))
    await execution.send_stdin(b"")
    sending = asyncio.create_task(execution.send_stdin(b"abc"))
    await settle()
    assert sandbox.heard() == [(0x07, bytes(STDIN_WINDOW))]
    sandbox.say(Credit(2))
    await settle()
    assert sandbox.heard() == [(0x07, b"ab")]
    assert not sending.done()
    sandbox.say(Credit(5))
    await sending
    assert sandbox.heard() == [(0x07, b"c")]
    await execution.aclose()


async def test_room_that_comes_with_the_end_is_none() -> None:
    """The last credit and the end are read together: what had not been sent was never sent, and is not said to be."""
    sandbox = Sandbox()
    execution = await started(sandbox, stdin=None)
    await execution.send_stdin(bytes(STDIN_WINDOW))
    sandbox.heard()
    sending = asyncio.create_task(execution.send_stdin(b"abc"))
    await settle()
    sandbox.say(Credit(10), EXITED)
    with pytest.raises(ExecutionClosed):
        await sending
    assert sandbox.heard() == []
    await execution.aclose()


async def test_senders_keep_their_order() -> None:
    """Also when one of them is cancelled: its bytes were given to us already."""
    sandbox = Sandbox()
    execution = await started(sandbox, stdin=None)
    await execution.send_stdin(bytes(STDIN_WINDOW))
    sandbox.heard()
    senders = [asyncio.create_task(execution.send_stdin(data)) for data in (b"1", b"2", b"3")]
    await settle()
    senders[1].cancel()
    await execution.close_stdin()
    sandbox.say(Credit(10))
    await settle()
    assert [sender.cancelled() for sender in senders] == [False, True, False]
    assert sandbox.heard() == [(0x07, b"1"), (0x07, b"2"), (0x07, b"3"), (0x07, b"")]
    await execution.aclose()


async def test_close_stdin_once() -> None:
    """The second time does nothing; later bytes are refused."""
    sandbox = Sandbox()
    execution = await started(sandbox, stdin=None)
    await execution.close_stdin()
    await execution.close_stdin()
    assert sandbox.heard() == [(0x07, b"")]
    with pytest.raises(ExecutionClosed, match="stdin is closed"):
        await execution.send_stdin(b"x")
    await execution.aclose()


async def test_program_that_ends_without_reading() -> None:
    """Senders are told; the result is not disturbed."""
    sandbox = Sandbox()
    execution = await started(sandbox, stdin=None)
    sending = asyncio.create_task(execution.send_stdin(bytes(STDIN_WINDOW + 1)))
    await settle()
    sandbox.heard()
    sandbox.say(EXITED)
    with pytest.raises(ExecutionClosed, match="before it read all of its stdin"):
        await sending
    with pytest.raises(ExecutionClosed, match="stdin is closed"):
        await execution.send_stdin(b"x")
    await execution.close_stdin()
    assert (await execution.result()).outcome == "ok"
    assert sandbox.heard() == []
