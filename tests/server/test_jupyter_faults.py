"""Faults of clients on Jupyter's wire: cut connections, half bodies, wrong frames, pings that nobody answers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import struct
from typing import TYPE_CHECKING, Self

import httpx2
import pytest
import websockets

from interpreter_tools import InterpreterToolsError
from interpreter_tools.server._keys import Owner
from interpreter_tools.server.wires.jupyter._kernel import _MOST_WEBSOCKETS, Kernel
from interpreter_tools.server.wires.jupyter._messages import V1
from interpreter_tools.server.wires.jupyter._specs import find_spec
from tests.watch import eventually

from .serving import KEY, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools import ExecutionEngine

    from .serving import Served

pytestmark = pytest.mark.docker

_FAULTS = 1000
_AT_ONCE = 20
_KERNELS = 3


class _Raw:
    """A connection whose every byte is the test's."""

    def __init__(self, served: Served, kernel_id: str, dice: random.Random) -> None:
        self._served = served
        self._path = f"/api/kernels/{kernel_id}/channels?token={KEY}&session_id=s{dice.randrange(5)}"
        self.dice = dice

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._served.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    def request(self) -> bytes:
        """Return the opening of a websocket."""
        key = base64.b64encode(self.dice.randbytes(16)).decode()
        lines = [
            f"GET {self._path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
        ]  # fmt: skip
        if self.dice.random() < 0.5:
            lines.append(f"Sec-WebSocket-Protocol: {V1}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def open(self) -> None:
        """Open the websocket."""
        await self.write(self.request())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.reader.readuntil(b"\r\n\r\n")

    def frame(self, opcode: int, data: bytes, *, first: int = 0x80, masked: bool = True) -> bytes:
        """Return a frame of a client."""
        size = len(data)
        mask = self.dice.randbytes(4) if masked else b""
        bit = 0x80 if masked else 0
        head = bytes([first | opcode])
        if size < 126:
            head += bytes([bit | size])
        elif size < 1 << 16:
            head += bytes([bit | 126]) + struct.pack(">H", size)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", size)
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)) if masked else data
        return head + mask + body

    def message(self) -> bytes:
        """Return the message of a request that is well formed."""
        kinds = ["execute_request", "kernel_info_request", "complete_request", "input_reply", "comm_open", "nonsense"]
        codes = ["1 + 1", "print('x' * 10_000)", "1 / 0", "import time; time.sleep(0.01)", "input()"]
        header = {"msg_id": "m", "msg_type": self.dice.choice(kinds), "session": "s"}
        channel = self.dice.choice(["shell", "control", "stdin", "iopub", None])
        content = {"code": self.dice.choice(codes), "value": "x", "comm_id": "c"}
        return json.dumps({"header": header, "content": content, "channel": channel}).encode()


async def _half_opening(raw: _Raw) -> None:
    """The connection is cut in the middle of the request."""
    request = raw.request()
    await raw.write(request[: raw.dice.randrange(len(request))])


async def _half_body(raw: _Raw) -> None:
    """The connection is cut in the middle of a body."""
    lines = ["POST /api/kernels HTTP/1.1", "Host: x", f"Authorization: token {KEY}", "Content-Length: 100", "", '{"na']
    await raw.write("\r\n".join(lines).encode())


async def _cut(raw: _Raw) -> None:
    """The connection is cut while a request is answered."""
    await raw.open()
    await raw.write(raw.frame(1, raw.message()))
    if raw.dice.random() < 0.5:
        with contextlib.suppress(ConnectionError):
            await raw.reader.read(raw.dice.randrange(1, 500))


async def _half_frame(raw: _Raw) -> None:
    """The connection is cut in the middle of a frame."""
    await raw.open()
    frame = raw.frame(1, raw.message())
    await raw.write(frame[: raw.dice.randrange(1, len(frame))])


async def _garbage(raw: _Raw) -> None:
    """Bytes that are no frames."""
    await raw.open()
    await raw.write(raw.dice.randbytes(raw.dice.randrange(1, 300)))


async def _wrong_frame(raw: _Raw) -> None:
    """Frames that the protocol forbids."""
    await raw.open()
    frame = raw.frame
    wrong = [
        frame(1, raw.message(), masked=False),
        frame(1, b"\xff\xfe"),
        frame(0, b"a rest of nothing"),
        frame(3, b"reserved"),
        frame(1, b"x", first=0xF0),
        frame(9, b"p" * 200),
        frame(9, b"p", first=0),
        frame(8, b"\0"),
        frame(8, b"\0\1\xff"),
        bytes([0x81, 0xFF]) + struct.pack(">Q", 1 << 62),
        frame(1, b"half", first=0) + frame(1, b"another"),
    ]
    await raw.write(raw.dice.choice(wrong))


async def _wrong_message(raw: _Raw) -> None:
    """Frames that are no messages."""
    await raw.open()
    dice = raw.dice
    wrong = [
        b"",
        b"{}",
        b"[" * 500,
        b'{"header": 1}',
        dice.randbytes(60),
        struct.pack("<9Q", 7, *range(8)),
        raw.message(),
    ]
    for _ in range(dice.randrange(1, 4)):
        await raw.write(raw.frame(dice.choice([1, 2]), dice.choice(wrong)))
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(0.05):
            await raw.reader.read(100)


async def _silent(raw: _Raw) -> None:
    """A client that asks for much, and reads nothing for a while."""
    await raw.open()
    for _ in range(20):
        await raw.write(raw.frame(1, raw.message()))
    await asyncio.sleep(0.02)


_KINDS: tuple[Callable[[_Raw], Awaitable[None]], ...] = (
    _half_opening, _half_body, _cut, _half_frame, _garbage, _wrong_frame, _wrong_message, _silent,
)  # fmt: skip


async def test_a_thousand_faults_leave_nothing(engine: ExecutionEngine) -> None:
    """The server and its kernels live, and no websocket, sandbox or task is left of any of them."""
    async with (
        serving(engine, wires=["jupyter"]) as served,
        httpx2.AsyncClient(base_url=served.url, headers={"Authorization": f"token {KEY}"}, timeout=60) as api,
    ):
        kernels = [(await api.post("/api/kernels")).json()["id"] for _ in range(_KERNELS)]
        before = len(asyncio.all_tasks())
        dice = random.Random(16)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def fault(number: int) -> None:
            async with turns, _Raw(served, kernels[number % _KERNELS], random.Random(dice.random())) as raw:
                await raw.dice.choice(_KINDS)(raw)

        await asyncio.gather(*map(fault, range(_FAULTS)))
        for kernel_id in kernels:
            assert (await api.post(f"/api/kernels/{kernel_id}/restart")).status_code == 200

        async def left() -> tuple[object, ...]:
            states = [(await api.get(f"/api/kernels/{kernel_id}")).json() for kernel_id in kernels]
            idle = all((each["connections"], each["execution_state"]) == (0, "idle") for each in states)
            return (
                idle,
                len(served.core.sandboxes),
                served.core.admission.running,
                len(asyncio.all_tasks()) <= before + 2,
            )

        await eventually(left, lambda seen: seen == (True, _KERNELS, 0, True), within=60)
        for kernel_id in kernels:
            assert (await api.delete(f"/api/kernels/{kernel_id}")).status_code == 204
        assert len(served.core.sandboxes) == 0


async def test_client_that_answers_no_ping_is_let_go(engine: ExecutionEngine) -> None:
    """Its kernel stays, and is told to have no websocket."""
    pings = {"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2}
    async with (
        serving(engine, wires=["jupyter"], settings=pings) as served,
        httpx2.AsyncClient(base_url=served.url, headers={"Authorization": f"token {KEY}"}, timeout=60) as api,
    ):
        kernel_id = (await api.post("/api/kernels")).json()["id"]

        async def connections() -> int:
            return (await api.get(f"/api/kernels/{kernel_id}")).json()["connections"]

        async with _Raw(served, kernel_id, random.Random(1)) as raw:
            await raw.open()
            await eventually(connections, lambda count: count == 1, within=10)
            await eventually(connections, lambda count: count == 0, within=20)
        assert (await api.get(f"/api/kernels/{kernel_id}")).json()["execution_state"] == "idle"


async def test_websockets_of_a_kernel_are_limited(engine: ExecutionEngine) -> None:
    """One too many is refused before it opens, in the words of the wire; once one has gone, another may come."""
    async with (
        serving(engine, wires=["jupyter"]) as served,
        httpx2.AsyncClient(base_url=served.url, headers={"Authorization": f"token {KEY}"}, timeout=60) as api,
        contextlib.AsyncExitStack() as opened,
    ):
        kernel_id = (await api.post("/api/kernels")).json()["id"]
        url = f"{served.url.replace('http', 'ws')}/api/kernels/{kernel_id}/channels?token={KEY}"

        async def places() -> int:
            return sum(owner.websockets for owner in served.core.keys.owners)

        first, *_ = [
            await opened.enter_async_context(websockets.connect(url, proxy=None)) for _ in range(_MOST_WEBSOCKETS)
        ]
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, proxy=None)
        assert refused.value.response.status_code == 429
        assert "Retry-After" in refused.value.response.headers
        assert "32 websockets" in json.loads(refused.value.response.body)["message"]
        await first.close()
        await eventually(places, lambda count: count == _MOST_WEBSOCKETS - 1, within=30)
        async with websockets.connect(url, proxy=None):
            assert (await api.get(f"/api/kernels/{kernel_id}")).json()["connections"] == _MOST_WEBSOCKETS
        assert (await api.delete(f"/api/kernels/{kernel_id}")).status_code == 204
    await eventually(places, lambda count: count == 0, within=30)


async def test_kernel_whose_sandbox_has_ended_stays_dead(engine: ExecutionEngine) -> None:
    """A restart that goes on after the end brings neither the interpreter nor the state back."""
    async with serving(engine) as served:
        sandbox = await served.core.sandboxes.create(Owner("a"))
        kernel = Kernel(served.core, sandbox, sandbox.context("python"), find_spec("python3"))
        await kernel.start()
        await sandbox.kill()
        with pytest.raises(InterpreterToolsError):
            await kernel.restart()
        assert kernel.state == "dead"
        assert kernel.model()["execution_state"] == "dead"
