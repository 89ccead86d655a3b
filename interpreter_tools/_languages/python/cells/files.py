# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""The files of the workspace that a cell has made or changed."""

import os
import time

WORKSPACE = "/workspace"
_MOST = 10_000
_TICK = 50_000_000  # ns: more than one tick of the clock that change times are from


class Changes:
    """The files that have changed since ``begin``, by the change times that the kernel keeps."""

    def __init__(self, root=WORKSPACE):
        self.root = root
        self._mark = 0
        self._recent = {}  # files that were changed just before the last look, as they were

    def begin(self):
        """Note the time: what changes from now on is the next cell's."""
        self._mark = time.time_ns() - 10_000_000

    def end(self):
        """Return the changed files, relative to the workspace, and whether there are more than were looked at."""
        found, recent, seen = [], {}, 0
        edge = time.time_ns() - _TICK
        directories = [self.root]
        while directories:
            try:
                entries = os.scandir(directories.pop())
            except OSError:
                continue
            with entries:
                for entry in entries:
                    seen += 1
                    if seen > 2 * _MOST:
                        return sorted(found), True
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            directories.append(entry.path)
                            continue
                        if not entry.is_file(follow_symlinks=False):
                            continue
                        about = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    now = (about.st_ctime_ns, about.st_size, about.st_ino)
                    if about.st_ctime_ns >= edge:
                        recent[entry.path] = now
                    if about.st_ctime_ns >= self._mark and self._recent.get(entry.path) != now:
                        found.append(entry.path[len(self.root) + 1 :])
        self._recent = recent
        return sorted(found)[:_MOST], len(found) > _MOST
