"""Read a zip archive as files for the workspace. Nothing is unpacked on this machine: the files go into the sandbox.

The archive may come from an attacker. It states the size of its directory, and the names, sizes and contents of its
files: each may be a lie. These functions read files; call them off the event loop.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from typing import TYPE_CHECKING

from interpreter_tools._config.paths import WORKSPACE, check_path
from interpreter_tools._exceptions import ConfigurationError, InvalidPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpreter_tools._config.mounts import Mount

_PIECE = 1 << 18
_LARGEST_DIRECTORY = 8 << 20  # bytes; every entry of it takes ten times as much memory once it is read
_BYTES_PER_FILE = 4096  # the workspace has room for one file a page, see _profile
_FEWEST_FILES = 1024
_LARGEST_RATIO = 1032  # what deflate can express; more is made of parts that overlap
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others hold bombs that cannot be read piece by piece
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError)


class _Refused(Exception):
    """An archive is refused; the text says why."""


class _File(io.FileIO):
    """A file that refuses to be read by more than ``_LARGEST_DIRECTORY`` bytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``size`` bytes, or all that is left where no size is given."""
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > _LARGEST_DIRECTORY:
            raise _Refused(f"has a directory of more than {_LARGEST_DIRECTORY} bytes")
        return super().read(max(0, size))


def zip_files(mount: Mount, *, limit: int, field: str) -> dict[str, bytes]:
    """Return the files of an archive by their paths below the workspace.

    Args:
        mount: one of kind ``"zip"``.
        limit: bytes that the files may hold together; also the largest size of the archive itself.
        field: the mount's path in the configuration.

    Raises:
        ConfigurationError: the archive does not exist, is no zip archive, or is refused: for a name that leads out of
            the workspace or comes twice, for an entry that is a link, encrypted, or packed in another way than deflate,
            or for its size.
    """
    assert mount.source is not None
    source = mount.source
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with _File(descriptor) as file:
            return dict(_read(file, mount, limit))
    except _Refused as error:
        raise ConfigurationError(f"{field}.source", source, str(error)) from None
    except _BROKEN as error:
        reason = f"is not a zip archive that can be read: {error}"
        raise ConfigurationError(f"{field}.source", source, reason) from error


def _read(file: _File, mount: Mount, limit: int) -> Iterator[tuple[str, bytes]]:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise _Refused("is not a regular file")
    if status.st_size > limit:
        raise _Refused(f"is larger than the workspace, {limit} bytes")
    with zipfile.ZipFile(file) as archive:
        entries = _check(archive.infolist(), mount, limit, status.st_size)
        left = limit
        for path, entry in entries.items():
            data = bytearray()
            with archive.open(entry) as reader:
                while piece := reader.read(_PIECE):
                    data += piece
                    if len(data) > left:
                        raise _Refused(f"holds more than the workspace, {limit} bytes")
            left -= len(data)
            yield path, bytes(data)


def _check(infos: Sequence[zipfile.ZipInfo], mount: Mount, limit: int, archive_size: int) -> dict[str, zipfile.ZipInfo]:
    """Check all entries. Return those that are files, by their paths below the workspace."""
    most = max(_FEWEST_FILES, limit // _BYTES_PER_FILE)
    if len(infos) > most:
        raise _Refused(f"holds {len(infos)} entries; the workspace has room for {most}")
    prefix = mount.path.removeprefix(WORKSPACE).strip("/")
    entries: dict[str, zipfile.ZipInfo] = {}
    directories: set[str] = set()
    total = 0
    for info in infos:
        path = _check_entry(info, prefix)
        if path in entries:
            raise _Refused(f"holds {path!r} twice")
        parents = path.split("/")[:-1]
        directories.update("/".join(parents[:depth]) for depth in range(1, len(parents) + 1))
        if info.is_dir():
            directories.add(path)
            continue
        entries[path] = info
        total += info.file_size
    both = entries.keys() & directories
    if both:
        raise _Refused(f"holds {min(both)!r} as a file and as a directory")
    if total > limit:
        raise _Refused(f"holds {total} bytes; the workspace has room for {limit}")
    if total > _LARGEST_RATIO * archive_size:
        raise _Refused("promises more than any archive of its size can hold")
    return entries


def _check_entry(info: zipfile.ZipInfo, prefix: str) -> str:
    name = info.orig_filename  # with the NUL at which `filename` ends
    if info.flag_bits & _ENCRYPTED:
        raise _Refused(f"holds {name!r}, which is encrypted")
    if info.compress_type not in _METHODS:
        raise _Refused(f"holds {name!r}, which is packed in another way than deflate")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG}:
        raise _Refused(f"holds {name!r}, which is a link or no regular file")
    try:
        path = check_path(name.rstrip("/") if info.is_dir() else name).decode("utf-8", "surrogateescape")
        return check_path(f"{prefix}/{path}").decode("utf-8", "surrogateescape") if prefix else path
    except InvalidPath as error:
        raise _Refused(f"holds a file whose {error.message}") from None


def with_archives(
    mounts: Sequence[Mount], files: Mapping[bytes, bytes], *, limit: int, field: str
) -> dict[bytes, bytes]:
    """Return the files of a run and those of its archives. Where both have a path, the run's own file stays.

    Args:
        mounts: as configured; mounts of another kind than ``"zip"`` are passed over.
        files: the run's own files, by their paths below the workspace.
        limit: bytes that the workspace holds.
        field: the mounts' path in the configuration.

    Raises:
        ConfigurationError: an archive is refused.
    """
    contents: dict[bytes, bytes] = {}
    for number, mount in enumerate(mounts):
        if mount.kind != "zip":
            continue
        where = f"{field}[{number}]"
        left = limit - sum(map(len, contents.values()))
        for name, data in zip_files(mount, limit=left, field=where).items():
            path = name.encode("utf-8", "surrogateescape")
            if path in contents:
                raise ConfigurationError(f"{where}.source", mount.source, f"holds {name!r}, as another archive does")
            contents[path] = data
    return {**contents, **files}
