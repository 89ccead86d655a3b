"""Looking at things from outside until they are as they should be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from interpreter_tools import ContainerStrategy
from interpreter_tools._docker import sweep
from interpreter_tools._docker.records import ignore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from interpreter_tools import ExecutionEngine
    from interpreter_tools._container.container import Container
    from interpreter_tools._docker import DockerClient

T = TypeVar("T")

ONE_SHOT = (ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL)
"""Strategies of runs without a session."""

PER_EXECUTION, POOL, PER_SESSION = (
    ContainerStrategy.PER_EXECUTION,
    ContainerStrategy.POOL,
    ContainerStrategy.PER_SESSION,
)

LIMITS = """
import os
def room(path):
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize
def limit():
    for path in ("/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"):
        try: return int(open(path).read())
        except OSError: pass
"""
"""For a program in the sandbox: the bytes that a file system can hold, and the processes that there may be."""

FORK_ALL = """
import errno, os, signal
made = 0
try:
    while made < 1000:
        if os.fork() == 0: signal.pause()
        made += 1
except OSError as error:
    assert error.errno == errno.EAGAIN, error
print(made)
"""
"""A program that prints how many children it can have at once."""

CLIENTS: set[int] = set()
"""Process ids of clients that tests have started."""


def family(pid: int) -> list[int]:
    """A process of the host, and all that it and its children have started, but for what ends meanwhile."""
    found = [pid]
    for each in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    return found


async def eventually(look: Callable[[], Awaitable[T]], right: Callable[[T], bool], *, within: float = 30.0) -> T:
    """What ``look`` sees as soon as it is right.

    Raises:
        AssertionError: it was still wrong after so many seconds.
    """
    end = time.monotonic() + within
    while True:
        seen = await look()
        if right(seen):
            return seen
        assert time.monotonic() < end, f"after {within:g} s still {seen!r}"
        await asyncio.sleep(0.05)


async def idle_container(engine: ExecutionEngine) -> Container:
    """The container of an engine's only pool, as soon as one waits there."""
    assert engine._running is not None
    (pool,) = engine._running.runtime.pools.values()

    async def idle() -> list[Container]:
        return pool._idle

    (container,) = await eventually(idle, bool)
    return container


def busy_container(engine: ExecutionEngine) -> str:
    """The id of the container in which the engine's only run is; others may be on their way for the next one."""
    assert engine._running is not None
    (container,) = (busy.id for pool in engine._running.runtime.pools.values() for busy in pool._busy)
    return container


def owner_of(engine: ExecutionEngine) -> str:
    """The id that an engine labels its containers with."""
    assert engine._running is not None
    return engine._running.runtime.owner.id


async def containers_of(client: DockerClient, engine: ExecutionEngine | str) -> dict[str, str]:
    """The state of each container of an engine, or of an owner's id, by the container's id."""
    owner = engine if isinstance(engine, str) else owner_of(engine)
    found = await client.list_containers(labels={"interpreter-tools.owner": owner})
    return {container.id: container.state for container in found}


async def containers_of_process(client: DockerClient, pid: int) -> list[str]:
    """The ids of the containers that belong to a process."""
    found = await client.list_containers(labels={"interpreter-tools.pid": str(pid)})
    return [container.id for container in found]


async def nothing_is_left_of(client: DockerClient, pids: Iterable[int], *, within: float = 60.0) -> None:
    """Wait until processes have no container, those that have died too.

    What runs in a container of a dead process ends by itself. A container that was created and never started is
    there until the next sweep, which each engine makes as it starts.
    """

    async def left() -> list[tuple[str, str]]:
        found = [
            (container.id, container.state)
            for pid in pids
            for container in await client.list_containers(labels={"interpreter-tools.pid": str(pid)})
        ]
        if found and all(state == "created" for _, state in found):
            await sweep(client)
        return found

    await eventually(left, lambda found: not found, within=within)


def _whole(answer: object) -> dict[str, Any]:
    return cast("dict[str, Any]", answer)


async def inspect_container(client: DockerClient, container_id: str) -> dict[str, Any] | None:
    """The Docker engine's description of a container; None when there is no such container."""
    return await client._find("inspect container", f"containers/{container_id}/json", _whole)


async def tag_image(client: DockerClient, name: str, tag: str) -> None:
    """Give an image another name, such as ``"interpreter-tools/python:1"``."""
    repository, _, version = tag.rpartition(":")
    params = {"repo": repository, "tag": version}
    await client._connection.request("tag image", "POST", f"images/{name}/tag", params=params, read=ignore)


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the directory's own descriptor is always in it
