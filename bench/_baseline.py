"""The time of a call, and its baselines: bare interpreters, ``docker exec``, raw attach streams."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from interpreter_tools._docker import Demultiplexer, DockerClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence

    import aiodocker

    from interpreter_tools import ExecutionResult

T = TypeVar("T")


async def timed(call: Awaitable[T]) -> tuple[float, T]:
    """Return the milliseconds that a call takes, and what it returns."""
    started = time.perf_counter()
    returned = await call
    return (time.perf_counter() - started) * 1e3, returned


def _read_pid(answer: object) -> int:
    return cast("dict[str, dict[str, int]]", answer)["State"]["Pid"]


async def pid_of(client: DockerClient, container_id: str) -> int:
    """Return the number that a container's first process has on this machine; 0 where it does not run."""
    return await client._find("inspect container", f"containers/{container_id}/json", _read_pid) or 0


async def timed_run(call: Awaitable[ExecutionResult], *, stdout: str = "hi\n") -> float:
    """Return the milliseconds of a run, which must end well and print this."""
    taken, result = await timed(call)
    assert result.check().stdout == stdout
    return taken


def plain_spec(image: str, command: Sequence[str]) -> dict[str, Any]:
    """Return an ordinary container without network and without logs."""
    return {
        "Image": image,
        "Entrypoint": list(command),
        "Cmd": [],
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}},
    }


class Counter(asyncio.Protocol):
    """The receiving end of a raw attach stream: Docker's own headers are taken off, nothing else is done."""

    def __init__(self) -> None:
        self.received = 0
        self.changed = asyncio.Event()
        self._demultiplexer = Demultiplexer()

    def data_received(self, data: bytes) -> None:
        """Count the bytes."""
        self.received += sum(map(len, self._demultiplexer.feed(data)))
        self.changed.set()

    async def reach(self, count: int) -> None:
        """Wait for so many bytes."""
        while self.received < count:
            self.changed.clear()
            await self.changed.wait()


class Plain:
    """A plain container with its attach stream."""

    def __init__(self, container: str, pid: int, transport: asyncio.Transport, counter: Counter) -> None:
        self.id = container
        self.pid = pid
        self.transport = transport
        self.counter = counter

    async def echo(self, data: bytes, answer: int, *, last: bool = False) -> float:
        """Return the milliseconds from a write until so many bytes came back; the last write ends stdin, too."""
        target = self.counter.received + answer
        started = time.perf_counter()
        self.transport.write(data)
        if last:
            self.transport.write_eof()
        await self.counter.reach(target)
        return (time.perf_counter() - started) * 1e3


@asynccontextmanager
async def plain_container(client: DockerClient, image: str, command: Sequence[str]) -> AsyncGenerator[Plain]:
    """Keep a plain container that runs as long as the context."""
    container = await client.create_container(plain_spec(image, command))
    try:
        transport, protocol = await client.attach(container, Counter)
        await client.start_container(container)
        yield Plain(container, await pid_of(client, container), transport, cast("Counter", protocol))
        transport.close()
    finally:
        await client.remove_container(container)


async def bare(pid: int, *command: str) -> float:
    """Return the milliseconds of a command on the host, with the files of a container and without its walls."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run(["chroot", f"/proc/{pid}/root", *command], stdout=subprocess.PIPE, check=True)
        return (time.perf_counter() - started) * 1e3

    return await asyncio.to_thread(run)


class Executor:
    """``docker exec`` through aiodocker, in a container that runs."""

    def __init__(self, docker: aiodocker.Docker, container: str) -> None:
        self._container = docker.containers.container(container)  # pyright: ignore[reportUnknownMemberType]

    async def run(self, *command: str) -> float:
        """Return the milliseconds from creating the exec to the end of its output and its exit code."""
        started = time.perf_counter()
        created = await self._container.exec(list(command), stdout=True, stderr=True)
        async with created.start(detach=False) as stream:
            while await stream.read_out() is not None:
                pass
        inspected = await created.inspect()
        assert inspected["ExitCode"] == 0
        return (time.perf_counter() - started) * 1e3
