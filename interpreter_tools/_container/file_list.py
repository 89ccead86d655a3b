"""The files that a container lists, piece by piece, and no more of them than this side can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._config.paths import shown_path

if TYPE_CHECKING:
    from interpreter_tools._protocol import Files

_MOST = 16 << 20  # bytes of paths; a program can make 100,000 files with paths of 4 KiB


class FileList:
    """Files and their sizes in bytes, as they were listed.

    Attributes:
        entries: size and path of each.
        partial: there are more.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.partial = False
        self._size = 0

    def add(self, files: Files) -> None:
        """Takes the next part of the list."""
        self._size += sum(len(path) for _, path in files.entries)
        if self._size <= _MOST:
            self.entries.extend(files.entries)
        self.partial = self.partial or files.partial or self._size > _MOST

    def names(self) -> tuple[str, ...]:
        """The paths as text, sorted."""
        return tuple(sorted(shown_path(path) for _, path in self.entries))
