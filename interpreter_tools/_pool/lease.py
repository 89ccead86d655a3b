"""A container of a pool for the time of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.container import Container
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._container.lease_end import LeaseEnd
    from interpreter_tools._pool.pool import Pool
    from interpreter_tools._protocol import Reset


class PoolLease:
    """A container for the time of one run."""

    def __init__(self, pool: Pool, container: Container) -> None:
        self._pool: Pool | None = pool
        self.container = container

    @property
    def channel(self) -> Channel:
        """Its stream."""
        return self.container.channel

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        return self.container.uid

    @property
    def image(self) -> str:
        """What it was made from."""
        return self.container.shape.image

    @property
    def ports(self) -> Mapping[int, int]:
        """Where its published ports are reachable."""
        return self.container.ports

    @property
    def last(self) -> bool:
        """It is reset or discarded after this run."""
        return True

    def plan_reset(self) -> Reset | None:
        """The container's reset, where that is to follow a run which begins now; else it waits to be asked for."""
        return self.container.plan_reset() if self.container.shape.resets_at_once else None

    def ended(self, files: FileList) -> tuple[str, ...]:
        """The files that the runs so far have made: there is no run but this one."""
        return files.names()

    def detach(self) -> Container:
        """Takes the container out of its pool: whoever called removes it in the end. Instead of ``release``."""
        pool, self._pool = self._pool, None
        assert pool is not None, "the lease was given back"
        pool.let_go(self.container)
        return self.container

    def release(self, end: LeaseEnd) -> None:
        """Give the container back. Does nothing the second time."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.take_back(self.container, end)
