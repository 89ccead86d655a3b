"""Programs beside the main run of a container, on the real engine."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy
from interpreter_tools._protocol import Exited, Start
from interpreter_tools._protocol.constants import Ended, Flag
from tests.watch import eventually

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine, InterpreterToolsError
    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.side_run import SideRun
    from interpreter_tools._protocol import Output, Refused
    from interpreter_tools._session.session import Session

pytestmark = pytest.mark.docker

_ECHO = """
import socket
sock = socket.socket(socket.AF_UNIX); sock.connect("\\0interpreter-tools")
def send(body): sock.sendall(len(body).to_bytes(4, "little") + body)
send(b"ready")
while True:
    head = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "little")
    if head: send(sock.recv(head & 0x7FFFFFFF, socket.MSG_WAITALL))
"""


class Listener:
    """What a side run says."""

    def __init__(self) -> None:
        self.out = b""
        self.said: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.end: asyncio.Future[Exited | Refused | InterpreterToolsError] = asyncio.get_running_loop().create_future()
        self.wrote = asyncio.Event()

    def output(self, event: Output) -> None:
        """Keep it."""
        self.out += event.data
        self.wrote.set()

    def message(self, connection: int, data: bytes) -> None:
        """Keep it."""
        self.said.put_nowait((connection, data))

    def ended(self, how: Exited | Refused | InterpreterToolsError) -> None:
        """Keep it."""
        self.end.set_result(how)


async def place(session: Session) -> tuple[Channel, int]:
    """The container of a session, and its user."""
    assert (await session.run("python", "print(1)")).ok
    (record,) = session._workspace.containers._own.values()
    return record.channel, record.uid


async def exited(listener: Listener) -> Exited:
    """How it ended."""
    async with asyncio.timeout(30):
        end = await listener.end
    assert isinstance(end, Exited)
    return end


async def test_side_runs_live_through_runs_of_their_session(engine: ExecutionEngine) -> None:
    """They are told, answer, are interrupted and killed; a run beside them is as any."""
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        channel, uid = await place(session)
        echo, shell = Listener(), Listener()
        first = channel.start_side(Start(("python3", "-c", _ECHO), {}, uid=uid), echo)
        script = "trap 'echo interrupted' INT; echo on; while read -r line; do echo $line; done"
        second = channel.start_side(Start(("bash", "-c", script), {}, uid=uid, flags=Flag.STDIN), shell)
        connection, said = await asyncio.wait_for(echo.said.get(), 30)
        assert said == b"ready"
        for number in range(3):
            result = await session.run("python", f"print({number})")
            assert (result.ok, result.stdout) == (True, f"{number}\n")
            await first.tell(connection, b"%d" % number)
            assert await asyncio.wait_for(echo.said.get(), 30) == (connection, b"%d" % number)
        await second.send_stdin(b"line\n")
        async with asyncio.timeout(30):
            while b"line\n" not in shell.out:
                shell.wrote.clear()
                await shell.wrote.wait()
        first.signal(signal.SIGINT)
        assert (await exited(echo)).exit_code != 0
        second.kill()
        assert (await exited(shell)).ended is Ended.KILLED
        assert (await session.run("python", "print(2)")).stdout == "2\n"


async def test_end_of_the_session_ends_side_runs(engine: ExecutionEngine) -> None:
    """Their listeners are told that the container is gone."""
    listener = Listener()
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        channel, uid = await place(session)
        channel.start_side(Start(("sleep", "1000"), {}, uid=uid), listener)
    async with asyncio.timeout(30):
        assert isinstance(await listener.end, Exception)


async def test_delay_is_the_time_without_a_processor(engine: ExecutionEngine) -> None:
    """That of loops that share too few processors grows; that of a program which sleeps beside them does not."""
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        channel, uid = await place(session)
        loops = "for _ in $(seq $((2 * $(nproc) + 1))); do while :; do :; done & done; wait"
        busy = channel.start_side(Start(("bash", "-c", loops), {}, uid=uid), Listener())
        idle = channel.start_side(Start(("sleep", "1000"), {}, uid=uid), Listener())
        heard: asyncio.Queue[float] = asyncio.Queue()
        busy.delayed = idle.delayed = heard.put_nowait

        async def delay(side: SideRun) -> float:
            side.ask_delay()
            return await heard.get()

        waited = await eventually(lambda: delay(busy), lambda seen: seen >= 0.5, within=60)
        asleep = await delay(idle)
        await eventually(lambda: delay(busy), lambda seen: seen >= waited + 1, within=60)
        assert await delay(idle) < asleep + 0.5
        busy.kill()
        idle.kill()
