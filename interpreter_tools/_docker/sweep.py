"""Owners of containers and volumes, and the removal of those whose owner is dead.

Labels name the process that made a container or a volume. A killed process leaves containers that were created but
never started; running ones end by themselves when their stdin is closed. The next process that starts an engine removes
them. Containers and volumes stay when their owner may be alive, or when its life cannot be checked from this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from interpreter_tools._exceptions import DockerApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._docker.client import DockerClient
    from interpreter_tools._docker.records import ContainerSummary, VolumeSummary

_PREFIX = "interpreter-tools."
OWNER_LABEL = f"{_PREFIX}owner"
"""The label with the id of the ``Owner`` that made a container or a volume."""

_IN_USE = 409
_GRACE = 60.0  # seconds: another host's client may be between creating and starting
_NEVER_STARTED = frozenset({"created", "exited", "dead"})
_ENDED = "ended"
_LARGEST_PID = 2**31 - 1  # pid_t; a label may hold any number
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
        """Return an owner in this process. The method reads files, so call it off the event loop."""
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
        """Return the owner that labels name; None when they name none."""
        with contextlib.suppress(KeyError, ValueError):
            owner = cls(
                id=labels[OWNER_LABEL],
                host=labels[f"{_PREFIX}host"],
                boot_id=labels[f"{_PREFIX}boot-id"],
                pid_namespace=labels[f"{_PREFIX}pid-namespace"],
                pid=int(labels[f"{_PREFIX}pid"]),
                pid_start=labels[f"{_PREFIX}pid-start"],
            )
            return owner if 0 < owner.pid <= _LARGEST_PID else None
        return None

    def labels(self) -> dict[str, str]:
        """Return the labels for a container or a volume of this owner."""
        return {
            OWNER_LABEL: self.id,
            f"{_PREFIX}host": self.host,
            f"{_PREFIX}boot-id": self.boot_id,
            f"{_PREFIX}pid-namespace": self.pid_namespace,
            f"{_PREFIX}pid": str(self.pid),
            f"{_PREFIX}pid-start": self.pid_start,
        }


def is_visible(owner: Owner, here: Owner) -> bool:
    """Return True when a process is of this machine, boot and namespace, so that its id is valid here."""
    same = (owner.host, owner.boot_id, owner.pid_namespace) == (here.host, here.boot_id, here.pid_namespace)
    return same and bool(owner.boot_id)


def is_dead(owner: Owner, here: Owner) -> bool:
    """Return True when a process of this machine and boot has certainly ended.

    A process id is valid in its own namespace only: a client in a container sees other processes than one outside. The
    function reads files, so call it off the event loop.
    """
    if not is_visible(owner, here):
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # the process exists, and belongs to another user
        pass
    start = _read_start(owner.pid)
    if start is None:  # its directory is hidden from us
        return False
    return start == _ENDED or (bool(owner.pid_start) and start != owner.pid_start)  # or the id is another one's by now


def is_of_earlier_boot(owner: Owner, here: Owner) -> bool:
    """Return True when a process ran on a machine of this name before its last boot; a clone may have that name."""
    return owner.host == here.host and "" not in {owner.boot_id, here.boot_id} and owner.boot_id != here.boot_id


class Belonging(msgspec.Struct, frozen=True, kw_only=True):
    """A container or a volume that a client of this library made.

    Attributes:
        kind: which of the two.
        id: its id; a volume has only its name.
        name: its name.
        image: the image of a container; empty for a volume.
        state: of a container, as in ``ContainerSummary``; empty for a volume.
        age: seconds since a container was made; None for a volume, and where the engine tells no time.
        owner: the process that made it; None when its labels cannot be understood.
        life: the state of the owner: ``"unknown"`` when it cannot be checked from here, as on another machine.
        abandoned: True when its owner has certainly ended, so that no client will use it.
    """

    kind: Literal["container", "volume"]
    id: str
    name: str
    image: str = ""
    state: str = ""
    age: float | None = None
    owner: Owner | None
    life: Literal["alive", "dead", "unknown"]
    abandoned: bool


async def survey(client: DockerClient) -> list[Belonging]:
    """Return the containers and volumes of all clients on an engine: containers first, the oldest first."""
    containers, volumes = await asyncio.gather(
        client.list_containers(labels={OWNER_LABEL: None}), client.list_volumes({OWNER_LABEL: None})
    )
    if not containers and not volumes:
        return []
    here = await asyncio.to_thread(Owner.current)
    clock = (await client.info()).system_time
    containers.sort(key=lambda container: container.created)
    return await asyncio.to_thread(
        lambda: [
            *(_container(container, here, None if clock is None else clock.timestamp()) for container in containers),
            *(_volume(volume, here) for volume in volumes),
        ]
    )


async def remove(client: DockerClient, belonging: Belonging) -> bool:
    """Remove a container or volume; return False for a volume that a container still uses."""
    if belonging.kind == "volume":
        return await _remove_volume(client, belonging.name)
    await client.remove_container(belonging.id)
    return True


async def sweep(client: DockerClient) -> int:
    """Remove the containers and volumes of owners that are certainly dead, and return how many there were.

    Args:
        client: the engine.
    """
    abandoned = [belonging for belonging in await survey(client) if belonging.abandoned]
    containers = [belonging for belonging in abandoned if belonging.kind == "container"]
    await asyncio.gather(*(remove(client, container) for container in containers))
    count = len(containers)
    for belonging in abandoned:
        if belonging.kind == "volume":
            count += await remove(client, belonging)
    return count


def _container(container: ContainerSummary, here: Owner, now: float | None) -> Belonging:
    owner = Owner.of(container.labels)
    life = _life(owner, here)
    age = None if now is None else max(0.0, now - container.created)
    return Belonging(
        kind="container",
        id=container.id,
        name=next(iter(container.names), ""),
        image=container.image,
        state=container.state,
        age=age,
        owner=owner,
        life=life,
        abandoned=life == "dead" or _is_leftover(container.state, age, owner, here),
    )


def _volume(volume: VolumeSummary, here: Owner) -> Belonging:
    owner = Owner.of(volume.labels)
    life = _life(owner, here)
    return Belonging(kind="volume", id=volume.name, name=volume.name, owner=owner, life=life, abandoned=life == "dead")


def _life(owner: Owner | None, here: Owner) -> Literal["alive", "dead", "unknown"]:
    if owner is None or not is_visible(owner, here):
        return "unknown"
    return "dead" if is_dead(owner, here) else "alive"


def _is_leftover(state: str, age: float | None, owner: Owner | None, here: Owner) -> bool:
    """Return True for a container that does not run, of a machine with this name before its last boot.

    A running container stays: no container runs after a boot of the engine's machine, so this one belongs to another
    machine of that name.
    """
    if owner is None or age is None or not is_of_earlier_boot(owner, here):
        return False
    return state in _NEVER_STARTED and age > _GRACE


async def _remove_volume(client: DockerClient, name: str) -> bool:
    """Remove a volume; return False when a container still uses it."""
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
    """Return a process's start in clock ticks since boot; ``_ENDED`` for a zombie, None when it cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and parentheses
    if len(fields) <= _STARTED_FIELD:
        return None
    return _ENDED if fields[0] in {"Z", "X"} else fields[_STARTED_FIELD]
