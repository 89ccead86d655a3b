"""A container of a session, with what the session knows of it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.paths import WORKSPACE, shown_path
from interpreter_tools._config.results import ContainerMeta
from interpreter_tools._container.file_list import FileList
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._deadline import awake_limit
from interpreter_tools._exceptions import ContainerLost
from interpreter_tools._protocol import Files, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpreter_tools._container.channel import Channel, Conversation
    from interpreter_tools._container.container import Container


class Facts(msgspec.Struct, kw_only=True, eq=False):
    """Plain facts of a container, for the history of its session; they hold nothing of the container alive.

    Attributes:
        id: the id of the container.
        name: its name on the Docker engine.
        image: the image.
        created_at: the time at which the session got it.
        last_executed_at: the time at which its last run began; None before the first.
        is_running: True while the session has it, and it lives.
        deps_checksum: a hash of the packages of its last run; None without any.
        baseline: the files that were put into its workspace.
        generated: the files that its last run has changed.
    """

    id: str
    name: str
    image: str
    created_at: datetime
    last_executed_at: datetime | None = None
    is_running: bool = True
    deps_checksum: str | None = None
    baseline: set[bytes] = msgspec.field(default_factory=set[bytes])
    generated: frozenset[str] = frozenset()

    def meta(self, session_id: str, session_generated: frozenset[str]) -> ContainerMeta:
        """Return the description for callers."""
        return ContainerMeta(
            session_id=session_id,
            container_id=self.id,
            container_name=self.name,
            image_name=self.image,
            workspace_dir=WORKSPACE,
            created_at=self.created_at,
            last_executed_at=self.last_executed_at,
            is_running=self.is_running,
            deps_installed=self.deps_checksum is not None,
            deps_checksum=self.deps_checksum,
            baseline_files=frozenset(map(shown_path, self.baseline)),
            generated_files=self.generated,
            session_generated_files=session_generated,
        )


class Record:
    """A container that a session has.

    Attributes:
        container: the container.
        uid: the user that programs run as.
        facts: the facts of it that outlive it.
        made: the files that the runs in its workspace have made.
        is_told: True when the container is lost, and a run has told its caller so.
    """

    def __init__(self, container: Container, uid: int | None) -> None:
        self.container = container
        self.uid = container.uid if uid is None else uid
        self.facts = Facts(
            id=container.id, name=container.name, image=container.shape.image, created_at=datetime.now(UTC)
        )
        self.made: set[str] = set()
        self.is_told = False
        self._added: set[bytes] = set()
        self._before: tuple[datetime | None, str | None] = (None, None)

    @property
    def channel(self) -> Channel:
        """The channel of the container."""
        return self.container.channel

    @property
    def is_lost(self) -> bool:
        """True when the container is gone, with the files that only it held."""
        return self.container.channel.error is not None

    @property
    def is_shared(self) -> bool:
        """True when its workspace is the volume that containers of the session share."""
        return self.container.shape.workspace_volume is not None

    @property
    def baseline(self) -> set[bytes]:
        """The files that were put into its workspace."""
        return self.facts.baseline

    def begin(self, files: Iterable[bytes], deps_checksum: str | None) -> None:
        """Note that a run begins, which files it brings, and the packages that it has."""
        facts = self.facts
        self._before = facts.last_executed_at, facts.deps_checksum
        facts.last_executed_at, facts.deps_checksum = datetime.now(UTC), deps_checksum
        self._added = set(files) - facts.baseline
        facts.baseline |= self._added

    def undo_begin(self) -> None:
        """Note that the run did not begin after all."""
        self.facts.last_executed_at, self.facts.deps_checksum = self._before
        self.facts.baseline -= self._added

    async def restore_limits(self) -> None:
        """End the limits of its last run; ask the engine only when a limit changes."""
        await self.container.restore_limits()


def stop(channel: Channel) -> Conversation:
    """Kill a run whose caller has left, and return what its container says until the end of it.

    It is heard from this call on, and not from the first step of some task: the program may say more at any moment.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    return channel.converse(channel.connection.kill(), patience=0.0)


async def settle(rest: Conversation, *, deadline: float) -> tuple[LeaseEnd, tuple[str, ...]]:
    """Wait for the end of a run that was stopped; return how it ended and the files that it has changed.

    Args:
        rest: what ``stop`` has returned.
        deadline: seconds.

    Raises:
        ContainerLost: the container went away, or the run did not end in time.
    """
    files, end = FileList(), LeaseEnd.UNCLEAN
    with awake_limit(deadline, shield=True):
        async with contextlib.aclosing(rest):
            async for event in rest:
                if isinstance(event, Files):
                    files.add(event)
                elif isinstance(event, Refused):
                    end = LeaseEnd.UNUSED
        return end, files.names()
    raise ContainerLost("a program that was killed did not end")
