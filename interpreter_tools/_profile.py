"""What a sandbox is allowed: limits and walls, as the body of ``POST /containers/create``. Pure."""

from __future__ import annotations

import msgspec


class HostTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What a specification depends on beside the configuration.

    Attributes:
        cgroup_version: ``"1"`` or ``"2"``.
        default_runtime: the runtime that the engine uses where none is named.
    """

    cgroup_version: str = "2"
    default_runtime: str = "runc"
