"""The lease of a container, as a run sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._container.lease_end import LeaseEnd
    from interpreter_tools._protocol import Reset


class Lease(Protocol):
    """A container for the time of one run."""

    @property
    def channel(self) -> Channel:
        """The channel of the container."""
        ...

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        ...

    @property
    def image(self) -> str:
        """The image of the container."""
        ...

    @property
    def isolation(self) -> Isolation:
        """The thing around the program, see ``ExecutionResult``."""
        ...

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each published port."""
        ...

    @property
    def last(self) -> bool:
        """True when the container is reset or terminated after this run."""
        ...

    def plan_reset(self) -> Reset | None:
        """Return the reset that follows a run which begins now; None when the reset is sent later."""
        ...

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Note the files that the run changed; return those of all runs of the session."""
        ...

    def release(self, end: LeaseEnd) -> None:
        """End the lease. Does nothing the second time."""
