"""The containers of a session: the one that holds its files, its own ones, and those that it has had."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ContainerLost
from interpreter_tools._session_lease import Record

if TYPE_CHECKING:
    from interpreter_tools._container import Container
    from interpreter_tools._host import Host
    from interpreter_tools._shape import Shape

_HISTORY = 1000


class SessionContainers:
    """Which containers a session has, and which of them holds its files.

    Attributes:
        current: the one of the last run; None before the first.
        history: those that it has had, the last thousand, the latest at the end.
    """

    def __init__(self, host: Host, session_id: str) -> None:
        self._host = host
        self._session_id = session_id
        self._own: dict[tuple[object, ...], Record] = {}  # of PER_SESSION, by shape
        self._anchor: Record | None = None  # keeps the shared workspace alive: a tmpfs lives as long as it is mounted
        self.current: Record | None = None
        self.history: deque[Record] = deque(maxlen=_HISTORY)

    def __repr__(self) -> str:
        return f"<SessionContainers [{len(self._records())} held, {len(self.history)} in all]>"

    @property
    def holder(self) -> Record | None:
        """The one that holds the files, as long as it is there."""
        current = self.current
        return None if current is None or current.channel.error is not None else current

    async def own(self, shape: Shape) -> Record:
        """The session's own container of a shape, which stays until its end.

        Raises:
            ContainerLost: it went away; the next call makes another.
        """
        record = self._own.get(shape.key)
        if record is not None and record.channel.error is not None:
            self._drop(record)
            raise ContainerLost(
                f"the container of the session {self._session_id!r} is gone, with its files: "
                f"{record.channel.error.message}",
                hint="the next run starts a new one",
            )
        if record is None:
            if shape.workspace_volume is None:
                container = (await self._host.pool(shape).lease()).detach()
            else:
                container = await self._host.create(shape)
            record = self._own[shape.key] = self.note(container, None)
        return record

    def seen_by(self, shape: Shape) -> Record | None:
        """One whose workspace a run of that shape will see; None when there is none as yet, or no longer."""
        record = self._own.get(shape.key) if shape.workspace_volume is None else self._anchor
        return None if record is None or record.channel.error is not None else record

    def note(self, container: Container, uid: int | None) -> Record:
        """Takes note of one that the session has from now on.

        Args:
            container: the container.
            uid: the user that programs run as; None means the container's.
        """
        record = Record(container, uid)
        self.history.append(record)
        return record

    def stay(self, record: Record) -> None:
        """The run of one of the session's own containers has ended."""
        self.current = record
        if record.container.shape.workspace_volume is not None:
            self._anchor = record

    def hold(self, record: Record) -> None:
        """The container of this run holds the files now; that of the last one is not needed any more."""
        shared = record.container.shape.workspace_volume is not None
        old = {id(kept): kept for kept in (self.current, self._anchor if shared else None) if kept is not None}
        self.current = record
        if shared:
            self._anchor = record
        for kept in old.values():
            if kept is not record and kept is not self._anchor:
                kept.is_running = False
                self._host.discard(kept.container)

    def leave(self) -> list[Container]:
        """The session ends: what it has still, to be closed."""
        records = self._records()
        for record in records:
            record.is_running = False
        return [record.container for record in records]

    def _records(self) -> list[Record]:
        return list({id(kept): kept for kept in (*self._own.values(), self.current, self._anchor) if kept}.values())

    def _drop(self, record: Record) -> None:
        """Forgets a container that is gone."""
        record.is_running = False
        self._own = {key: kept for key, kept in self._own.items() if kept is not record}
        if self.current is record:
            self.current = None
        if self._anchor is record:
            self._anchor = None
        self._host.discard(record.container)
