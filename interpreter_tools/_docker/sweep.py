"""Whose a container is, and the removal of what the dead have left.

Labels tell the process that made a container or a volume. A process that is killed leaves containers that were created
but never started (those that run end by themselves when their stdin is closed); the next one to start removes them.
What may belong to somebody alive, or to somebody whose life cannot be checked from here, stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools._exceptions import DockerApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._docker.client import DockerClient
    from interpreter_tools._docker.records import ContainerSummary

_PREFIX = "interpreter-tools."
_OWNER = f"{_PREFIX}owner"
_IN_USE = 409
_GRACE = 60.0  # seconds: another host's client may be between creating and starting
_NEVER_STARTED = frozenset({"created", "exited", "dead"})
_ENDED = "ended"
_STARTED_FIELD = 22 - 3  # starttime, see proc_pid_stat(5); counted after the name, which is the second field


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The process that owns containers.

    Attributes:
        id: of the owner itself: a process may hold several engines.
        host: the name of its machine.
        boot_id: the machine's, new at each boot; empty where the system has none.
        pid_namespace: in which ``pid`` counts; empty where the system has none.
        pid: its process id.
        pid_start: when that process started, in clock ticks since boot; empty where the system does not tell.
    """

    id: str
    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    pid_start: str

    @classmethod
    def current(cls) -> Self:
        """An owner in this process. Reads files, so call it off the event loop."""
        pid = os.getpid()
        return cls(
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            boot_id=_read_boot_id(),
            pid_namespace=_read_pid_namespace(),
            pid=pid,
            pid_start=_read_start(pid) or "",
        )

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Self | None:
        """The owner that labels tell; None when they tell none that can be understood."""
        with contextlib.suppress(KeyError, ValueError):
            owner = cls(
                id=labels[_OWNER],
                host=labels[f"{_PREFIX}host"],
                boot_id=labels[f"{_PREFIX}boot-id"],
                pid_namespace=labels[f"{_PREFIX}pid-namespace"],
                pid=int(labels[f"{_PREFIX}pid"]),
                pid_start=labels[f"{_PREFIX}pid-start"],
            )
            return owner if owner.pid > 0 else None
        return None

    def labels(self) -> dict[str, str]:
        """What to put on a container or a volume."""
        return {
            _OWNER: self.id,
            f"{_PREFIX}host": self.host,
            f"{_PREFIX}boot-id": self.boot_id,
            f"{_PREFIX}pid-namespace": self.pid_namespace,
            f"{_PREFIX}pid": str(self.pid),
            f"{_PREFIX}pid-start": self.pid_start,
        }


def is_dead(owner: Owner, here: Owner) -> bool:
    """Whether a process of this machine and boot has certainly ended.

    A process id means something in its own namespace only: a client in a container sees other processes than one
    outside. Reads files, so call it off the event loop.
    """
    same = (owner.host, owner.boot_id, owner.pid_namespace) == (here.host, here.boot_id, here.pid_namespace)
    if not same or not owner.boot_id:
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and somebody else's
        pass
    start = _read_start(owner.pid)
    if start is None:  # its directory is hidden from us
        return False
    return start == _ENDED or (bool(owner.pid_start) and start != owner.pid_start)  # or the id is another one's by now


def is_of_earlier_boot(owner: Owner, here: Owner) -> bool:
    """Whether a process ran on a machine of this name before its last boot; a clone may have that name, too."""
    return owner.host == here.host and "" not in {owner.boot_id, here.boot_id} and owner.boot_id != here.boot_id


async def sweep(client: DockerClient) -> int:
    """Remove the containers and volumes of owners that are certainly dead, and return how many there were.

    Args:
        client: the engine.
    """
    containers, volumes = await asyncio.gather(
        client.list_containers(labels={_OWNER: None}), client.list_volumes({_OWNER: None})
    )
    if not containers and not volumes:
        return 0
    here = await asyncio.to_thread(Owner.current)
    clock = (await client.info()).system_time
    now = clock.timestamp() if clock is not None else 0.0
    removals = [
        partial(client.remove_container, container.id)
        for container, dead in zip(
            containers,
            await asyncio.to_thread(_are_dead, [container.labels for container in containers], here),
            strict=True,
        )
        if dead or _is_leftover(container, here, now)
    ]
    await asyncio.gather(*(remove() for remove in removals))
    count = len(removals)
    for volume, dead in zip(
        volumes, await asyncio.to_thread(_are_dead, [volume.labels for volume in volumes], here), strict=True
    ):
        if dead:
            count += await _remove_volume(client, volume.name)
    return count


def _are_dead(labels: list[dict[str, str]], here: Owner) -> list[bool]:
    return [owner is not None and is_dead(owner, here) for owner in map(Owner.of, labels)]


def _is_leftover(container: ContainerSummary, here: Owner, now: float) -> bool:
    """Whether a container does not run and is of a machine with our name before its last boot.

    One that runs stays: after a boot of the engine's machine none does, so it belongs to another machine of that name.
    """
    owner = Owner.of(container.labels)
    if owner is None or not is_of_earlier_boot(owner, here):
        return False
    return container.state in _NEVER_STARTED and now - container.created > _GRACE


async def _remove_volume(client: DockerClient, name: str) -> bool:
    """Whether a volume was removed; one that a container still uses is left."""
    try:
        await client.remove_volume(name)
    except DockerApiError as error:
        if error.status == _IN_USE:
            return False
        raise
    return True


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _read_pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _read_start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; ``_ENDED`` for a zombie, None when it cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and parentheses
    if len(fields) <= _STARTED_FIELD:
        return None
    return _ENDED if fields[0] in {"Z", "X"} else fields[_STARTED_FIELD]
