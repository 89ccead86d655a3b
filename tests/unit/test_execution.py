"""One run, whose supervisor is the test: how it starts, and how its caller ends it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerBusy,
    ContainerLost,
    Execution,
    ExecutionClosed,
    InterpreterToolsError,
)
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._execution.execution import _NEXT, _State
from interpreter_tools._execution.placement import Placed
from interpreter_tools._protocol import Clean, Files, Reset, State
from interpreter_tools._protocol.constants import MAX_PAYLOAD, PUT_RUN, STDIN_WINDOW, Ended, Flag, Verdict
from interpreter_tools.testing.executions import Placing, execution_of, exited, job, out, started
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED, UID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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
        (0x02, 0o644 | PUT_RUN, UID, b"main.py"),
        (0x03, b"code"),
        (0x04,),
        (0x02, 0o644 | PUT_RUN, UID, b"d/x"),
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
    assert sandbox.released == [LeaseEnd.CLEAN]
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

    async def acquire() -> Placed:
        raise ContainerLost("no")

    placing = Placing(acquire)
    execution = Execution(placing, stdin=b"", capture=True)
    with pytest.raises(ContainerLost, match="no"):
        await execution.__aenter__()
    with pytest.raises(ContainerLost, match="no"):
        await execution.result()
    await execution.aclose()
    assert placing.left == 1


async def never() -> Placed:
    """There is no container."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_killed_while_it_waits_for_a_container() -> None:
    """It ends at once, and nothing is started."""
    placing = Placing(never)
    execution = Execution(placing, stdin=b"", capture=True)
    starting = asyncio.create_task(execution.__aenter__())
    await settle()
    await execution.kill()
    assert await starting is execution
    result = await execution.result()
    assert (result.outcome, result.exit_code, result.signal, placing.left) == ("killed", 137, 9, 1)


async def test_container_that_comes_when_the_run_is_killed_is_given_back() -> None:
    """Unused, in whatever order the two happen."""
    sandbox = Sandbox()

    async def acquire() -> Placed:
        await execution.kill()
        return Placed(job(), sandbox)

    execution = Execution(Placing(acquire), stdin=b"", capture=True)
    async with execution:
        assert (await execution.result()).outcome == "killed"
    assert sandbox.released == [LeaseEnd.UNUSED]
    assert sandbox.heard() == []


async def test_left_by_another_task_while_it_starts() -> None:
    """Who starts it is told."""
    execution = Execution(Placing(never), stdin=b"", capture=True)
    starting = asyncio.create_task(execution.__aenter__())
    await settle()
    await execution.aclose()
    with pytest.raises(ExecutionClosed, match="was left"):
        await starting


async def test_cancelled_while_it_waits_for_a_container() -> None:
    """Cancellation goes on."""
    execution = Execution(Placing(never), stdin=b"", capture=True)
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
    assert sandbox.released == [LeaseEnd.UNUSED]
    assert sandbox.heard() == []
    with pytest.raises(InterpreterToolsError):
        await execution.result()


async def test_start_in_a_container_that_is_lost() -> None:
    """The container's error, and it is given back."""
    sandbox = Sandbox()
    sandbox.channel.connection_lost(None)
    with pytest.raises(ContainerLost):
        await execution_of(sandbox).__aenter__()
    assert sandbox.released == [LeaseEnd.UNUSED]


async def test_start_in_a_container_that_is_busy() -> None:
    """The other run goes on."""
    sandbox = Sandbox()
    first = await started(sandbox)
    with pytest.raises(ContainerBusy):
        await execution_of(sandbox).__aenter__()
    sandbox.say(out(b"x"), EXITED)
    assert (await first.result()).stdout == "x"


# -- the end that the caller makes


async def test_aclose_gives_the_container_back_once() -> None:
    """Not to be used again, as a program still runs in it."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    for _ in range(3):
        await execution.aclose()
    assert sandbox.released == [LeaseEnd.LEFT]
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
    assert sandbox.released == [LeaseEnd.CLEAN]


async def test_leaving_by_an_exception() -> None:
    """It goes on; the container is given back."""
    sandbox = Sandbox()
    with pytest.raises(KeyError):
        async with execution_of(sandbox):
            raise KeyError
    assert sandbox.released == [LeaseEnd.LEFT]


async def test_late_events_after_aclose() -> None:
    """They go nowhere."""
    sandbox = Sandbox()
    execution = await started(sandbox)
    await execution.aclose()
    sandbox.say(out(b"a"), EXITED)
    assert sandbox.released == [LeaseEnd.LEFT]
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
    assert sandbox.released == [LeaseEnd.CLEAN] * 3


async def test_states_change_in_one_method_that_names_both() -> None:
    """Each change that is no step of the life of a run is refused."""
    for before, after in itertools.product(_State, _State):
        execution = execution_of(Sandbox())
        execution._state = before
        if after in _NEXT[before]:
            execution._change(after)
            assert repr(execution) == f"<Execution {after.name.lower()}>"
        else:
            with pytest.raises(AssertionError, match=f"{before.name} cannot become {after.name}"):
                execution._change(after)
