"""The mounts of a sandbox: plain data and its rules. Pure."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from interpreter_tools._config.checks import parse_size
from interpreter_tools._config.fields import check_fields
from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    HostPath: TypeAlias = str | os.PathLike[str]
else:
    HostPath = str  # what is kept of it

MountKind: TypeAlias = Literal["directory", "file", "tmpfs", "zip"]

_MIB = 1 << 20
_TMPFS_SIZE = 64 * _MIB
_MOST_TMPFS = 12  # the supervisor wipes 16 writable places, and has three of its own
_BAD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # the API speaks JSON, which has no word for bytes that are no text
_OURS = ("/proc", "/sys", "/dev", "/tmp/home")  # noqa: S108 - paths in the container
_OURS_EXACTLY = ("/", "/tmp", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")  # noqa: S108
_SUPERVISOR = "/.interpreter-tools"


class Mount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directory, file or archive of this machine that appears in the sandbox, or more room to write.

    A directory or file is the host's own: with ``read_only=False`` programs write to the host, as a user of the
    sandbox (an id between 10,000 and 59,999, another one in each container), so a directory that only root may write
    stays as good as read-only; make it writable for others (``chmod o+w``) to share it. What a program writes belongs
    to its user, so that a later run can change it only where its mode lets others; it may be a link to anywhere, and is
    to be trusted no more than the program's output. Containers of every strategy see the same files, and a ``POOL``
    does not wipe them: that is the way to share on purpose. With a Docker engine on another machine the paths are that
    machine's, and are looked at there.

    The files of a zip archive are unpacked inside, beneath the workspace, before each run, and belong to the run like
    the files that it is given; directories without files are left out. What is mounted beneath the workspace is not
    listed among the generated files.

    Attributes:
        target: an absolute path in the container, or one relative to ``/workspace``.
        source: the path here, as a text or a ``Path``; None for a tmpfs.
        kind: ``"directory"``, ``"file"``, ``"tmpfs"`` or ``"zip"``; None means a tmpfs where there is no source, else
            directory or file, as the source is.
        read_only: programs cannot write to the directory or file; without meaning for a tmpfs or zip.
        size: of a tmpfs: bytes, or a text such as ``"64m"``, which is the default. It lies in memory and counts towards
            ``memory_limit``.

    Raises:
        ConfigurationError: a value has the wrong type; whether the values can work is seen with the container's others.
    """

    target: str
    source: HostPath | None = None
    kind: MountKind | None = None
    read_only: bool = True
    size: str | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, os.PathLike):
            msgspec.structs.force_setattr(self, "source", os.fspath(self.source))
        check_fields(self, "mount")

    @property
    def path(self) -> str:
        """The target as an absolute path, without ``.`` and doubled slashes."""
        return posixpath.normpath(posixpath.join(WORKSPACE, self.target)).replace("//", "/")

    @property
    def is_tmpfs(self) -> bool:
        """It is room in memory."""
        return self.kind == "tmpfs" or (self.kind is None and self.source is None)

    @property
    def is_bind(self) -> bool:
        """It is a directory or file of the Docker engine's host."""
        return not self.is_tmpfs and self.kind != "zip"

    @property
    def tmpfs_bytes(self) -> int:
        """Bytes of memory that it can take."""
        if not self.is_tmpfs:
            return 0
        return _TMPFS_SIZE if self.size is None else parse_size(self.size, field="mount.size", least=4096)


def check_mounts(mounts: Sequence[Mount], *, field: str) -> None:
    """Check mounts without their sources, which are checked before a container is made.

    Args:
        mounts: all of one container.
        field: their path in the configuration.

    Raises:
        ConfigurationError: one cannot work; the error names its field, such as ``container.mounts[0].target``.
    """
    for number, mount in enumerate(mounts):
        where = f"{field}[{number}]"
        if not isinstance(mount, Mount):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(where, mount, "is not a Mount", hint="from interpreter_tools import Mount")
        _check_source(mount, where)
        _check_target(mount, f"{where}.target")
        for other in mounts[:number]:
            _check_pair(mount, other, f"{where}.target")
    count = sum(mount.is_tmpfs for mount in mounts)
    if count > _MOST_TMPFS:
        raise ConfigurationError(field, f"{count} of kind 'tmpfs'", f"are too many: the most is {_MOST_TMPFS}")


def _check_source(mount: Mount, where: str) -> None:
    if mount.is_tmpfs:
        if mount.source is not None:
            raise ConfigurationError(f"{where}.source", mount.source, "has no place in a tmpfs", hint="leave it out")
        if mount.size is not None:
            parse_size(mount.size, field=f"{where}.size", least=4096)
        return
    if mount.size is not None:
        raise ConfigurationError(f"{where}.size", mount.size, "is for a tmpfs only", hint="leave it out")
    if not mount.source or _BAD.search(os.fspath(mount.source)):
        raise ConfigurationError(f"{where}.source", mount.source, "is not a path on this machine")


def _check_target(mount: Mount, field: str) -> None:
    target, path = mount.target, mount.path
    if not target or _BAD.search(target):
        raise ConfigurationError(field, target, "is not a path in the container", hint="such as '/data' or 'data'")
    if ".." in target.split("/"):
        raise ConfigurationError(field, target, "leads upwards", hint="give an absolute path, or one below /workspace")
    if len(path.encode()) > 2048 or any(len(part.encode()) > 255 for part in path.split("/")):
        raise ConfigurationError(field, target, "has more than 2048 bytes, or a part of more than 255")
    if mount.kind == "zip":
        if path != WORKSPACE and not path.startswith(f"{WORKSPACE}/"):
            hint = "a zip is unpacked into the workspace: give a path relative to it"
            raise ConfigurationError(field, target, f"is not beneath {WORKSPACE}", hint=hint)
        return
    if path == WORKSPACE:
        hint = "give a place beneath it, such as 'data', and let working_dir name it"
        raise ConfigurationError(field, target, "is the workspace itself", hint=hint)
    ours = path in _OURS_EXACTLY or any(path == place or path.startswith(f"{place}/") for place in _OURS)
    if ours or path.startswith(_SUPERVISOR):
        raise ConfigurationError(field, target, "would cover what the sandbox itself needs", hint="such as '/data'")


def _check_pair(mount: Mount, other: Mount, field: str) -> None:
    if mount.path == other.path and "zip" not in {mount.kind, other.kind}:
        raise ConfigurationError(field, mount.target, "is the target of another mount, too")
    for outer, inner in ((mount, other), (other, mount)):
        # The engine would make the mount point in the outer one: a directory of the host
        if outer.is_bind and (inner.path == outer.path or inner.path.startswith(f"{outer.path}/")):
            reason = f"and {other.target!r} lie in each other, on the host"
            raise ConfigurationError(field, mount.target, reason, hint="give each a place of its own")


def bind_spec(mount: Mount, *, recursive: bool) -> dict[str, object]:
    """Return a directory or file as an element of ``HostConfig.Mounts``.

    Args:
        mount: one that was looked at: its source is the real path.
        recursive: the engine makes all that is mounted below a read-only source read-only as well; where it does not,
            that must stay away, as it would be writable.
    """
    options: dict[str, object] = {"Propagation": "rprivate"}
    if mount.read_only and not recursive:
        options["NonRecursive"] = True
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.path,
        "ReadOnly": mount.read_only,
        "BindOptions": options,
    }
