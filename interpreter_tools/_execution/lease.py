"""What a run needs of whoever lends it a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._container.lease_end import LeaseEnd
    from interpreter_tools._protocol import Reset


class Lease(Protocol):
    """A container for the time of one run."""

    @property
    def channel(self) -> Channel:
        """Its stream."""
        ...

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        ...

    @property
    def image(self) -> str:
        """What it was made from."""
        ...

    @property
    def ports(self) -> Mapping[int, int]:
        """Where its published ports are reachable."""
        ...

    @property
    def last(self) -> bool:
        """It is reset or discarded after this run."""
        ...

    def plan_reset(self) -> Reset | None:
        """The container's reset, where that is to follow a run which begins now; else it waits to be asked for."""
        ...

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Takes note of what the run has changed; what all runs of its session have."""
        ...

    def release(self, end: LeaseEnd) -> None:
        """Give the container back. Does nothing the second time."""
