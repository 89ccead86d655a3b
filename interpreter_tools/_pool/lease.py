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
        """The channel of the container."""
        return self.container.channel

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        return self.container.uid

    @property
    def image(self) -> str:
        """The image of the container."""
        return self.container.shape.image

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each published port."""
        return self.container.ports

    @property
    def last(self) -> bool:
        """True when the container is reset or terminated after this run."""
        return True

    def plan_reset(self) -> Reset | None:
        """Return the reset that follows a run which begins now; None when the reset is sent later."""
        return self.container.plan_reset() if self.container.shape.resets_at_once else None

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Return the files of all runs of the session so far: without a session, those of this run."""
        return files.names()

    def detach(self) -> Container:
        """Take the container out of its pool, instead of ``release``. The caller has to remove it in the end."""
        pool, self._pool = self._pool, None
        assert pool is not None, "the lease was given back"
        pool.let_go(self.container)
        return self.container

    def release(self, end: LeaseEnd) -> None:
        """Give the container back. Does nothing the second time."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.take_back(self.container, end)
