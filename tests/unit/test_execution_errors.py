"""One run, whose supervisor is the test, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerLost,
    FileRefused,
    InterpreterMissing,
    ProtocolError,
)
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._execution import execution as module
from interpreter_tools._execution.outcome import refusal
from interpreter_tools._protocol import Credit, Fatal, Files, Ready, Refused
from interpreter_tools._protocol.constants import MAX_PAYLOAD, Ended, Why
from interpreter_tools.testing.executions import execution_of, exited, job, out, started
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED, HELLO, encode, frame

_KIB = 1024


async def test_lost_container() -> None:
    """Chunks that came are there; then it is told, to everybody, each time."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    asking = asyncio.create_task(execution.result())
    await settle()
    sandbox.channel.connection_lost(None)
    with pytest.raises(ContainerLost):
        await asking
    for _ in range(2):
        with pytest.raises(ContainerLost):
            await execution.result()
        with pytest.raises(ContainerLost):
            await anext(execution)
    assert sandbox.released == [LeaseEnd.LEFT]
    await execution.aclose()
    assert sandbox.released == [LeaseEnd.LEFT]


async def test_lost_container_after_output() -> None:
    """What was written before can still be read, but it never looks complete."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(out(b"a"))
    sandbox.channel.connection_lost(None)
    assert (await anext(execution)).data == b"a"
    with pytest.raises(ContainerLost):
        await anext(execution)


async def test_lost_container_after_the_end() -> None:
    """The result stays."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(out(b"a"), EXITED)
    sandbox.channel.connection_lost(None)
    assert (await execution.result()).stdout == "a"
    assert sandbox.released == [LeaseEnd.CLEAN]


_HOSTILE = {
    "4 GiB": b"\xff\xff\xff\xff\x85\0\0\0",
    "65537 bytes": struct.pack("<II", MAX_PAYLOAD + 1, 0x88),
    "garbage": b"GET / HTTP/1.1\r\n\r\n",
    "a frame of nobody": frame(0x7F),
    "a frame of ours": frame(0x06, b"x" * 40),
    "a second greeting": encode(HELLO),
    "a start of something": frame(0x84, bytes(4)),
    "no answer to anything": encode(Ready()),
    "credit for nothing": encode(Credit(1)),
    "a cut end": frame(0x89, bytes(10)),
    "an end that cannot be": encode(exited(exit_code=300)),
    "output after the list": encode(Files((), partial=False), out(b"x")),
    "two ends": encode(EXITED) + encode(EXITED),
    "an error number that cannot be": encode(Refused(Why.PUT, (1 << 32) - 1, b"")),
    "a file with no name": encode(Files(((1, b""),), partial=False)),
}


@pytest.mark.parametrize("said", _HOSTILE.values(), ids=_HOSTILE.keys())
async def test_hostile_supervisor(said: bytes) -> None:
    """The protocol is broken: an error, never a made-up result, and the container is done with."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    asking = asyncio.create_task(execution.result())
    await settle()
    sandbox.say_bytes(said)
    with pytest.raises(ProtocolError):
        await asking
    with pytest.raises(ProtocolError):
        await anext(execution)
    assert sandbox.released == [LeaseEnd.LEFT]
    assert sandbox.transport.aborted
    await execution.aclose()


async def test_hostile_answer_to_the_start() -> None:
    """An error number that is none ends the run like any other broken frame."""
    sandbox = Sandbox()
    execution = await execution_of(sandbox).__aenter__()
    sandbox.say(Refused(Why.PROGRAM, (1 << 32) - 1, b""))
    with pytest.raises(ProtocolError):
        await execution.result()
    assert sandbox.released == [LeaseEnd.LEFT]


async def test_cut_frame() -> None:
    """The end of the stream in the middle of a frame is a lost container."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say_bytes(encode(EXITED)[:-1])
    sandbox.channel.connection_lost(None)
    with pytest.raises(ContainerLost):
        await execution.result()


async def test_supervisor_that_gives_up() -> None:
    """Its words are told."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(Fatal("no memory"))
    with pytest.raises(ContainerLost, match="no memory"):
        await execution.result()


@pytest.mark.parametrize(
    ("refused", "error", "words"),
    [
        (Refused(Why.PUT, 28, b"a/\xff"), FileRefused, "No space left on device"),
        (Refused(Why.PROGRAM, 2, b"x"), InterpreterMissing, "'true' cannot be started in the image 'image:1'"),
        (Refused(Why.CWD, 13, b"/root"), ConfigurationError, r"container\.working_dir: '/root' cannot be entered"),
        (Refused(Why.RESOURCE, 11, b""), ContainerLost, "could not start another program"),
    ],
)
async def test_refused_start(refused: Refused, error: type[Exception], words: str) -> None:
    """Each reason is an error of its own."""
    sandbox = Sandbox()
    execution = await execution_of(sandbox).__aenter__()
    sandbox.say(refused)
    with pytest.raises(error, match=words):
        await execution.result()
    with pytest.raises(error, match=words):
        await anext(execution)
    assert sandbox.released == [LeaseEnd.UNUSED]


def test_missing_sh_names_no_language() -> None:
    """It is part of the commands of many languages."""
    for program, language in (("sh", None), ("ruby", None), ("python3", "python")):
        error = refusal(Refused(Why.PROGRAM, 2, b"x"), program=program, image="image:1")
        assert isinstance(error, InterpreterMissing)
        assert error.language == language


async def test_silent_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up a while after the time limit."""
    monkeypatch.setattr(module, "_BACKSTOP", 0.01)
    sandbox = Sandbox()
    execution = await started(sandbox, job(timeout=0.01))
    with pytest.raises(ContainerLost, match="within its time limit"):
        await execution.result()
    assert sandbox.released == [LeaseEnd.LEFT]


async def test_client_that_was_stopped_twice_loses_no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time for longer than all deadlines together: what the container has said meanwhile is heard."""
    monkeypatch.setattr(module, "_BACKSTOP", 0.2)
    sandbox = Sandbox()
    execution = await started(sandbox, job(timeout=0.2))
    for seconds in (0.5, 2.1):
        time.sleep(seconds)  # noqa: ASYNC251 - as SIGSTOP would
        await asyncio.sleep(0.001)
    sandbox.say(out(b"right"), exited())
    assert (await execution.result()).stdout == "right"


async def test_slow_consumer_is_not_a_silent_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """We made it wait ourselves: the rest is read then, and the end counts."""
    monkeypatch.setattr(module, "_BACKSTOP", 0.05)
    sandbox = Sandbox()
    execution = await started(sandbox, job(timeout=0.01))
    for _ in range(10):
        sandbox.say(out(bytes(32 * _KIB)))
    assert not sandbox.transport.reading
    async with asyncio.timeout(30):
        await sandbox.transport.resumed.wait()
    sandbox.say(out(b"last"), exited(Ended.TIMEOUT, -1, 9))
    chunks = [chunk.data async for chunk in execution]
    assert (len(chunks), chunks[-1]) == (11, b"last")
    assert (await execution.result()).outcome == "timeout"


async def test_output_on_its_way_from_a_remote_engine_loses_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, buffers hold far more than those of one machine: it is let in until the end is there."""
    monkeypatch.setattr(module, "_BACKSTOP", 0.02)
    sandbox = Sandbox()
    execution = await started(sandbox, job(timeout=0.01))
    for _ in range(40):  # MiB, of which nobody takes any
        for _ in range(16):
            sandbox.say(out(bytes(64 * _KIB)))
        if not sandbox.transport.reading:
            sandbox.transport.resumed.clear()
            async with asyncio.timeout(30):
                await sandbox.transport.resumed.wait()
    sandbox.say(exited(Ended.TIMEOUT, -1, 9))
    result = await execution.result()
    assert (result.outcome, len(result.stdout)) == ("timeout", 40 << 20)
