"""The sources of mounts on this machine. Their checks read files: call them off the event loop."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.mounts import Mount
from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock")
_KERNEL = ("/proc", "/sys", "/dev")  # what is in there is the machine itself


class MountSource(msgspec.Struct, frozen=True, kw_only=True):
    """A mount whose source exists.

    Attributes:
        mount: the same mount, with the source's real path and its kind.
        identity: device and inode, which differ for a replaced file of the same path.
    """

    mount: Mount
    identity: tuple[int, int]


def find_sources(
    mounts: Sequence[Mount], *, local: bool, sockets: Iterable[str], field: str
) -> tuple[MountSource, ...]:
    """Return the mounts that a container is made with: all but archives, whose files come with each run.

    Args:
        mounts: the configured mounts.
        local: True when the engine is on this machine; else paths must be absolute, and are not checked.
        sockets: the engine's own sockets, which no sandbox may have.
        field: their path in the configuration.

    Raises:
        ConfigurationError: a source does not exist, is not of its kind, or would open the host to the sandbox.
    """
    guarded = [os.path.realpath(path) for path in {*_SOCKETS, *sockets}] if local else []
    found: list[MountSource] = []
    for number, mount in enumerate(mounts):
        if mount.is_tmpfs:
            found.append(MountSource(mount=mount, identity=(0, 0)))
        elif mount.is_bind:
            where = f"{field}[{number}].source"
            found.append(_find(mount, where, guarded) if local else _remote(mount, where))
    return tuple(found)


def _find(mount: Mount, field: str, guarded: Sequence[str]) -> MountSource:
    assert mount.source is not None
    try:
        path = Path(mount.source).resolve(strict=True)
        status = path.stat()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        hint = "the path is looked for on this machine, from the current directory"
        raise ConfigurationError(field, mount.source, f"cannot be mounted: {reason}", hint=hint) from error
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else None
    if kind is None:
        raise ConfigurationError(field, mount.source, "is neither a directory nor a regular file")
    if mount.kind not in {None, kind}:
        raise ConfigurationError(field, mount.source, f"is a {kind}, not a {mount.kind}")
    real = os.fspath(path)
    below = "" if real == "/" else real
    if any(socket == real or socket.startswith(f"{below}/") for socket in guarded) or any(
        real == place or real.startswith(f"{place}/") for place in _KERNEL
    ):
        hint = "mount the directory that holds just what the code needs"
        raise ConfigurationError(field, mount.source, "would open the host to the sandbox", hint=hint)
    try:
        real.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(field, mount.source, "has a real path that is not text") from None
    return MountSource(
        mount=msgspec.structs.replace(mount, source=real, kind=kind), identity=(status.st_dev, status.st_ino)
    )


def _remote(mount: Mount, field: str) -> MountSource:
    assert mount.source is not None
    parts = os.fspath(mount.source).split("/")
    if parts[0] or ".." in parts:
        hint = "the Docker engine is on another machine, whose paths are meant"
        raise ConfigurationError(field, mount.source, "is not an absolute path", hint=hint)
    real = "/" + "/".join(part for part in parts if part not in {"", "."})
    guarded = (*_SOCKETS, *_KERNEL)
    if real == "/" or any(
        place == real or place.startswith(f"{real}/") or (place in _KERNEL and real.startswith(f"{place}/"))
        for place in guarded
    ):
        raise ConfigurationError(field, mount.source, "would open the host to the sandbox")
    return MountSource(mount=msgspec.structs.replace(mount, source=real), identity=(0, 0))
