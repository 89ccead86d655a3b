"""The list of a container's files: it arrives piece by piece, and is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._config.paths import shown_path
from interpreter_tools._protocol.constants import FILES_UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpreter_tools._protocol import Files

_MOST = 16 << 20  # bytes of paths; a program can make 100,000 files with paths of 4 KiB


class FileList:
    """Files and their sizes in bytes, as a container listed them.

    Attributes:
        entries: size and path of each file.
        partial: True when more files exist than were listed.
        tells_unchanged: True when the run was started with ``Flag.LIST``: files that it left alone are told as well.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.partial = False
        self.tells_unchanged = False
        self._unchanged: set[bytes] = set()  # files, and directories with a slash at the end whose files are all there
        self._size = 0

    def add(self, files: Files) -> None:
        """Take the next part of the list."""
        self._size += sum(len(path) for _, path in files.entries)
        if self._size <= _MOST:
            for entry in files.entries:
                if entry[0] < FILES_UNCHANGED:
                    self.entries.append(entry)
                else:
                    self._unchanged.add(entry[1])
        self.partial = self.partial or files.partial or self._size > _MOST

    def names(self) -> tuple[str, ...]:
        """Return the paths as text, sorted."""
        return tuple(sorted(shown_path(path) for _, path in self.entries))

    def gone(self, names: Iterable[str]) -> set[str]:
        """Return which files of before are there no longer, by a list that also tells of unchanged ones."""
        if not self.tells_unchanged or self.partial:
            return set()
        there = {path for _, path in self.entries} | self._unchanged
        paths = {name: name.encode("utf-8", "surrogateescape") for name in names}
        directories = {name: path.rpartition(b"/")[0] + b"/" for name, path in paths.items()}
        return {name for name, path in paths.items() if path not in there and directories[name] not in there}
