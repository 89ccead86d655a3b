"""The files of a run that come along with its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._config.paths import shown_path
from interpreter_tools._config.patterns import matches
from interpreter_tools._container.files import read_range
from interpreter_tools._deadline import awake_timeout
from interpreter_tools._exceptions import FileRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools._config.patterns import Pattern
    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.file_list import FileList

MOST_FILES = 1000
MOST_BYTES = 64 << 20  # all files together
_DEADLINE = 60.0  # seconds for all files


class Collected:
    """The files of a run that match its patterns, read from the container before that is reset or terminated.

    Attributes:
        files: the contents by path.
        partial: True when a file that matches is missing: too many, too large together, unreadable, or too slow.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self.files: dict[str, bytes] = {}
        self.partial = False

    @property
    def is_asked(self) -> bool:
        """Return whether there are patterns."""
        return bool(self._patterns)

    def wanted(self, files: FileList) -> list[bytes]:
        """Return the paths of the files to read, as far as they are not too many or too large together."""
        self.partial = files.partial and self.is_asked
        paths: list[bytes] = []
        left = MOST_BYTES
        for size, path in sorted(files.entries, key=lambda entry: entry[1]):
            if not matches(shown_path(path), self._patterns):
                continue
            if size > left or len(paths) == MOST_FILES:
                self.partial = True
                continue
            left -= size
            paths.append(path)
        return paths

    async def read(self, channel: Channel, paths: Sequence[bytes], *, uid: int) -> None:
        """Read the files.

        Raises:
            ContainerLost, ProtocolError: the container went away.
        """
        left = MOST_BYTES
        try:
            async with awake_timeout(_DEADLINE):
                for path in paths:
                    try:
                        data = await read_range(channel, path, uid=uid, offset=0, count=left)
                    except FileRefused:
                        self.partial = True
                        continue
                    left -= len(data)
                    self.files[shown_path(path)] = data
        except TimeoutError:
            self.partial = True
