"""One run, whose supervisor is the test."""

from __future__ import annotations

import asyncio
import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools import (
    ConfigurationError,
    ContainerBusy,
    ContainerLost,
    Execution,
    ExecutionClosed,
    FileRefused,
    InterpreterMissing,
    InterpreterToolsError,
    OutputChunk,
    ProtocolError,
)
from interpreter_tools import _execution as module
from interpreter_tools._languages import Job
from interpreter_tools._protocol import Clean, Credit, Exited, Fatal, Files, Output, Ready, Refused, Reset, State
from interpreter_tools._protocol._constants import MAX_PAYLOAD, STDIN_WINDOW, Ended, Flag, Verdict, Why

from .scripted import Sandbox, settle
from .wire import EXITED, HELLO, UID, encode, frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._models import Outcome

_KIB = 1024


_JOB: Callable[..., Job] = Job
_EXITED: Callable[..., Exited] = Exited


def job(**fields: object) -> Job:
    """A job of which the rest does not matter."""
    return _JOB(
        **{
            "argv": ("true",),
            "booted": False,
            "environment": {},
            "files": {},
            "directory": "/workspace",
            "timeout": None,
            "output_limit": None,
            **fields,
        }
    )


def execution_of(
    sandbox: Sandbox, work: Job | None = None, *, stdin: bytes | None = b"", capture: bool = True
) -> Execution:
    """A run in the sandbox, not started."""

    async def begin() -> tuple[Job, Sandbox]:
        return work or job(), sandbox

    return Execution(begin, stdin=stdin, capture=capture)


async def started(
    sandbox: Sandbox, work: Job | None = None, *, stdin: bytes | None = b"", capture: bool = True
) -> Execution:
    """A run whose program runs; what was heard so far is forgotten."""
    execution = await execution_of(sandbox, work, stdin=stdin, capture=capture).__aenter__()
    sandbox.heard()
    return execution


def exited(ended: Ended = Ended.EXITED, exit_code: int = 0, signal: int = 0, **fields: object) -> Exited:
    """An end of which the rest does not matter."""
    numbers = {"unclean": False, "wall_us": 0, "cpu_us": 0, "peak_memory": 0, "oom_kills": 0}
    return _EXITED(ended, exit_code, signal, **{**numbers, **fields})


def out(data: bytes) -> Output:
    """Something on stdout."""
    return Output("stdout", data)


# -- the start


async def test_start_is_one_write() -> None:
    """The files, then the program."""
    sandbox = Sandbox()
    work = job(
        argv=("python3", "/workspace/main.py"),
        environment={"A": "1"},
        files={b"main.py": b"code", b"d/x": b""},
        directory="/tmp",
        timeout=1.5,
        output_limit=99,
    )
    execution = await execution_of(sandbox, work).__aenter__()
    assert sandbox.heard() == [
        (0x02, 0o644, UID, b"main.py"),
        (0x03, b"code"),
        (0x04,),
        (0x02, 0o644, UID, b"d/x"),
        (0x04,),
        (0x06, UID, Flag.LAST, 1500, 99, (0, 0), b"/tmp", [b"python3", b"/workspace/main.py"], [b"A=1"]),
    ]
    await execution.aclose()


async def test_reset_that_follows_is_none_of_the_runs() -> None:
    """It is asked for with the start; the end is told, and the container given back, before it is done."""
    sandbox = Sandbox()
    sandbox.reset = Reset(2000, UID + 1)
    execution = await execution_of(sandbox, job()).__aenter__()
    assert sandbox.heard()[0][5] == (2000, UID + 1)
    sandbox.say(out(b"x"), exited())
    assert (await execution.result()).stdout == "x"
    assert sandbox.released == [True]
    assert sandbox.channel.connection.state is State.RESETTING
    sandbox.say(Clean(Verdict.OK, ""))
    assert sandbox.channel.connection.state is State.IDLE
    assert sandbox.heard() == []


@pytest.mark.parametrize(
    ("stdin", "booted", "last", "flags"),
    [
        (b"", False, False, Flag(0)),
        (b"x", False, False, Flag.STDIN),
        (None, False, False, Flag.STDIN),
        (b"", True, False, Flag.BOOTED),
        (b"", False, True, Flag.LAST),
        (None, True, True, Flag.STDIN | Flag.BOOTED | Flag.LAST),
    ],
)
async def test_flags_of_the_start(stdin: bytes | None, booted: bool, last: bool, flags: Flag) -> None:
    """Each says one thing."""
    sandbox = Sandbox(last=last)
    async with execution_of(sandbox, job(booted=booted), stdin=stdin):
        assert sandbox.heard()[0][2] == flags


@pytest.mark.parametrize(("timeout", "milliseconds"), [(None, 0), (0.0001, 1), (2.0006, 2001)])
async def test_time_limit_of_the_start(timeout: float | None, milliseconds: int) -> None:
    """Milliseconds, and never the 0 that means no limit."""
    sandbox = Sandbox()
    async with execution_of(sandbox, job(timeout=timeout)):
        assert sandbox.heard()[0][3] == milliseconds


async def test_execution_is_started_once() -> None:
    """Neither while it runs nor after its end."""
    execution = await started(Sandbox())
    with pytest.raises(ExecutionClosed, match="started once"):
        await execution.__aenter__()
    await execution.aclose()
    with pytest.raises(ExecutionClosed, match="started once"):
        await execution.__aenter__()


async def test_execution_that_was_not_started() -> None:
    """The hint says how; closing it does no harm."""
    execution = execution_of(Sandbox())
    asks: list[Callable[[], Awaitable[object]]] = [execution.result, execution.__anext__]
    for ask in asks:
        with pytest.raises(ExecutionClosed, match="start the execution first") as caught:
            await ask()
        assert "async with" in caught.value.hint
    with pytest.raises(ExecutionClosed, match="has not started"):
        await execution.send_stdin(b"x")
    await execution.kill()
    await execution.close_stdin()
    await execution.aclose()


async def test_lease_that_fails() -> None:
    """The error goes on; there is nothing to give back, and no result."""

    async def begin() -> tuple[Job, Sandbox]:
        raise ContainerLost("no")

    execution = Execution(begin, stdin=b"", capture=True)
    with pytest.raises(ContainerLost, match="no"):
        await execution.__aenter__()
    with pytest.raises(ExecutionClosed, match="did not start"):
        await execution.result()
    await execution.aclose()


async def test_cancelled_while_it_waits_for_a_container() -> None:
    """Cancellation goes on."""

    async def begin() -> tuple[Job, Sandbox]:
        await asyncio.Event().wait()
        raise AssertionError

    execution = Execution(begin, stdin=b"", capture=True)
    starting = asyncio.create_task(execution.__aenter__())
    await settle()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert repr(execution) == "<Execution ended>"


@pytest.mark.parametrize(
    ("environment", "error"),
    [({"BIG": "x" * MAX_PAYLOAD}, ConfigurationError), ({"A": "\ud800"}, UnicodeEncodeError)],
)
async def test_start_that_cannot_be_said_gives_the_container_back(
    environment: dict[str, str], error: type[Exception]
) -> None:
    """Nothing was sent; whatever was wrong, the lease does not leak."""
    sandbox = Sandbox()
    execution = execution_of(sandbox, job(environment=environment))
    with pytest.raises(error):
        await execution.__aenter__()
    assert sandbox.released == [False]
    assert sandbox.heard() == []
    with pytest.raises(InterpreterToolsError):
        await execution.result()


async def test_start_in_a_container_that_is_lost() -> None:
    """The container's error, and it is given back."""
    sandbox = Sandbox()
    sandbox.channel.connection_lost(None)
    with pytest.raises(ContainerLost):
        await execution_of(sandbox).__aenter__()
    assert sandbox.released == [False]


async def test_start_in_a_container_that_is_busy() -> None:
    """The other run goes on."""
    sandbox = Sandbox()
    first = await started(sandbox)
    with pytest.raises(ContainerBusy):
        await execution_of(sandbox).__aenter__()
    sandbox.say(out(b"x"), EXITED)
    assert (await first.result()).stdout == "x"


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
    assert sandbox.released == [True]


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
    assert sandbox.released == [True]


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
    assert sandbox.released == [False]


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


# -- what goes wrong


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
    assert sandbox.released == [False]
    await execution.aclose()
    assert sandbox.released == [False]


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
    assert sandbox.released == [True]


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
    assert sandbox.released == [False]
    assert sandbox.transport.aborted
    await execution.aclose()


async def test_hostile_answer_to_the_start() -> None:
    """An error number that is none ends the run like any other broken frame."""
    sandbox = Sandbox()
    execution = await execution_of(sandbox).__aenter__()
    sandbox.say(Refused(Why.PROGRAM, (1 << 32) - 1, b""))
    with pytest.raises(ProtocolError):
        await execution.result()
    assert sandbox.released == [False]


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
    assert sandbox.released == [False]


async def test_silent_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up a while after the time limit."""
    monkeypatch.setattr(module, "_BACKSTOP", 0.01)
    monkeypatch.setattr(module, "_BACKSTOP_AGAIN", 0.01)
    sandbox = Sandbox()
    execution = await started(sandbox, job(timeout=0.01))
    with pytest.raises(ContainerLost, match="within its time limit"):
        await execution.result()
    assert sandbox.released == [False]


async def test_slow_consumer_is_not_a_silent_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """We made it wait ourselves: the rest is read then, and the end counts."""
    monkeypatch.setattr(module, "_BACKSTOP", 0.05)
    sandbox = Sandbox()
    execution = await started(sandbox, job(timeout=0.01))
    for _ in range(10):
        sandbox.say(out(bytes(32 * _KIB)))
    assert not sandbox.transport.reading
    async with asyncio.timeout(5):
        await sandbox.transport.resumed.wait()
    sandbox.say(out(b"last"), exited(Ended.TIMEOUT, -1, 9))
    chunks = [chunk.data async for chunk in execution]
    assert (len(chunks), chunks[-1]) == (11, b"last")
    assert (await execution.result()).outcome == "timeout"


# -- the end that the caller makes


async def test_aclose_gives_the_container_back_once() -> None:
    """Not to be used again, as a program still runs in it."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    for _ in range(3):
        await execution.aclose()
    assert sandbox.released == [False]
    with pytest.raises(ExecutionClosed, match="left before it ended"):
        await execution.result()
    with pytest.raises(ExecutionClosed, match="left before it ended"):
        await anext(execution)


async def test_aclose_wakes_who_waits() -> None:
    """Consumer, result and stdin."""
    sandbox = Sandbox()
    execution = await started(sandbox, stdin=None)
    sending = asyncio.create_task(execution.send_stdin(bytes(STDIN_WINDOW + 1)))
    waiting = [asyncio.create_task(execution.result()), asyncio.create_task(anext(execution)), sending]
    await settle()
    await execution.aclose()
    for task in waiting:
        with pytest.raises(ExecutionClosed):
            await task


async def test_aclose_after_the_end() -> None:
    """The result stays, the chunks go."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    sandbox.say(out(b"a"), EXITED)
    await execution.aclose()
    assert [chunk async for chunk in execution] == []
    assert (await execution.result()).stdout == "a"
    assert sandbox.released == [True]


async def test_leaving_by_an_exception() -> None:
    """It goes on; the container is given back."""
    sandbox = Sandbox()
    with pytest.raises(KeyError):
        async with execution_of(sandbox):
            raise KeyError
    assert sandbox.released == [False]


async def test_late_events_after_aclose() -> None:
    """They go nowhere."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    await execution.aclose()
    sandbox.say(out(b"a"), EXITED)
    assert sandbox.released == [False]
    with pytest.raises(ExecutionClosed):
        await execution.result()


async def test_kill() -> None:
    """It is asked for, and the supervisor answers with the end; after that it does nothing."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    await execution.kill()
    assert sandbox.heard() == [(0x08,)]
    sandbox.say(exited(Ended.KILLED, -1, 9))
    assert (await execution.result()).outcome == "killed"
    await execution.kill()
    assert sandbox.heard() == []


async def test_repr_shows_the_state() -> None:
    """From new to ended."""
    sandbox = Sandbox()
    execution = execution_of(sandbox)
    assert repr(execution) == "<Execution new>"
    async with execution:
        assert repr(execution) == "<Execution running>"
        sandbox.say(EXITED)
        assert repr(execution) == "<Execution ended>"


# -- stdin


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


# -- one run after another


async def test_runs_in_one_container_do_not_mix() -> None:
    """Each has its own output, files and window of stdin."""
    sandbox = Sandbox(last=False)
    for number in range(3):
        execution = await started(sandbox, stdin=None)
        await execution.send_stdin(bytes(STDIN_WINDOW))
        text = f"run {number}"
        sandbox.say(out(text.encode()), Files(((1, text.encode()),), partial=False), EXITED)
        result = await execution.result()
        assert (result.stdout, result.generated_files) == (text, (text,))
    assert sandbox.released == [True] * 3
