"""The end of the lease of a container."""

from __future__ import annotations

from enum import Enum, auto


class LeaseEnd(Enum):
    """The four ends of a lease, by the state in which the run left the container.

    Attributes:
        UNUSED: no program began. The run was refused, its packages were not installed, or its caller left before.
        CLEAN: the program ended, and none of its processes lives on.
        UNCLEAN: the program ended, but a process outlived the kill, or the state of the container is in doubt.
        LEFT: the caller left before the program's end, or the container went away.
    """

    UNUSED = auto()
    CLEAN = auto()
    UNCLEAN = auto()
    LEFT = auto()
