"""How the lease of a container ended."""

from __future__ import annotations

from enum import Enum, auto


class LeaseEnd(Enum):
    """What a run did to its container.

    Attributes:
        UNUSED: no program began. The run was refused, its packages were not installed, or its caller left before.
        CLEAN: the program ended, and nothing of it lives on.
        UNCLEAN: the program ended, but a process outlived the kill, or what the run left is in doubt.
        LEFT: the caller left before the program's end, or the container went away.
    """

    UNUSED = auto()
    CLEAN = auto()
    UNCLEAN = auto()
    LEFT = auto()
