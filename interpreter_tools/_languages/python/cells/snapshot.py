# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""The files of the workspace as a checkpoint holds them: copies in memory that has no name, and that is sealed.

A file that has not changed since the checkpoint before is not copied again: both hold one copy. Whether it has changed
is told by its change time, which no program can set. So a file that was changed just before it was looked at, within
the same tick of the clock that change times are from, counts as changed. A shared mapping may change a file and leave
its change time alone: where a process may have made one, the bytes are compared.
"""

import fcntl
import os
import stat
import sys
import time

_CLOCK = 5  # CLOCK_REALTIME_COARSE, which change times are from: a later change has this time, or a later one
_ADD_SEALS, _SEALS = 1033, 15  # F_ADD_SEALS; no writing, growing, shrinking, and no other seals
_BLOCK = 1 << 16  # bytes that are compared at once
_OWNER_WRITES = 0o600
_OWNER_ENTERS = 0o700


class CannotHold(Exception):
    """A checkpoint cannot hold something that lies in the workspace; the text names it."""


class Copies:
    """Copies of files, one behind the other in memory without a name. They last as long as a process has them."""

    def __init__(self):
        self.descriptor = os.memfd_create("checkpoint", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.number = os.fstat(self.descriptor).st_ino
        self.size = 0

    def hold(self, path, about, start):
        """Tell whether a file has the bytes of the copy that begins at a place."""
        source = _open(path, about)
        try:
            left = about.st_size
            while left:
                count = min(left, _BLOCK)
                if os.read(source, count) != os.pread(self.descriptor, count, start):
                    return False
                start += count
                left -= count
        finally:
            os.close(source)
        return True

    def add(self, path, about):
        """Copy a file; return where its copy begins, and its size."""
        start, left = self.size, about.st_size
        source = _open(path, about)
        try:
            while left:
                count = os.sendfile(self.descriptor, source, self.size - start, left)
                if not count:
                    break  # another program has cut it short
                self.size += count
                left -= count
        finally:
            os.close(source)
        return start, self.size - start

    def seal(self):
        """Let nobody change the copies any more."""
        fcntl.fcntl(self.descriptor, _ADD_SEALS, _SEALS)

    def are_there(self):
        """Tell whether the descriptor is still ours: a cell may close what it likes."""
        try:
            return os.fstat(self.descriptor).st_ino == self.number
        except OSError:
            return False

    def __del__(self):
        if self.are_there():
            os.close(self.descriptor)


class Entry:
    """One name below the workspace."""

    __slots__ = ("about", "copies", "link", "recent", "size", "start")

    def __init__(self, about):
        self.about = about
        self.copies = self.link = None
        self.start = self.size = 0
        self.recent = True

    def is_as(self, about):
        """Tell whether a file has surely not changed since."""
        mine = self.about
        return not self.recent and (mine.st_ino, mine.st_size, mine.st_mtime_ns, mine.st_ctime_ns, mine.st_mode) == (
            about.st_ino,
            about.st_size,
            about.st_mtime_ns,
            about.st_ctime_ns,
            about.st_mode,
        )

    def has_bytes_of(self, path, about):
        """Tell whether a file that seems not to have changed has the bytes of its copy."""
        return self.copies is None or self.copies.hold(path, about, self.start)


def may_map():
    """Tell whether this process may have written to a file through a mapping that is gone."""
    return "mmap" in sys.modules


class Snapshot:
    """The files of the workspace at one moment.

    Args:
        root: the workspace.
        before: the snapshot before, whose copies of what has not changed are used.
        most: bytes that the copies may have.

    Attributes:
        bytes: of the copies that were made for this one.

    Raises:
        CannotHold: something cannot be copied.
    """

    def __init__(self, root, before=None, most=None):
        self.root = root
        self.entries = {}
        known = before.entries if before is not None else {}
        kept = {}  # bytes of each memory that are still of use
        for entry in known.values():
            if entry.copies is not None:
                kept[entry.copies] = kept.get(entry.copies, 0) + entry.size
        useful = {copies for copies, size in kept.items() if 2 * size >= copies.size and copies.are_there()}
        compares = may_map()
        files, names = [], {}
        edge = time.clock_gettime_ns(_CLOCK)
        for path, about in _walk(root):
            entry = self.entries[path] = Entry(about)
            if stat.S_ISLNK(about.st_mode):
                entry.link = os.readlink(path)
            elif stat.S_ISREG(about.st_mode):
                entry.recent = about.st_ctime_ns >= edge
                if about.st_nlink > 1:
                    entry.link = names.setdefault(about.st_ino, path)
                    if entry.link != path:
                        continue
                    entry.link = None
                old = known.get(path)
                if (
                    old is not None
                    and old.copies in useful
                    and old.is_as(about)
                    and (not compares or old.has_bytes_of(path, about))
                ):
                    entry.copies, entry.start, entry.size = old.copies, old.start, old.size
                else:
                    files.append((path, entry))
            elif not stat.S_ISDIR(about.st_mode) and not stat.S_ISFIFO(about.st_mode):
                raise CannotHold(f"{path!r}, which is neither a file nor a directory")
        self.bytes = sum(entry.about.st_size for _, entry in files)
        if most is not None and self.bytes > most:
            raise CannotHold(f"{self.bytes} bytes of files, where checkpoint_memory allows {most}")
        if files:
            copies = Copies()
            for path, entry in files:
                entry.start, entry.size = copies.add(path, entry.about)
                entry.copies = copies
            copies.seal()

    def are_there(self):
        """Tell whether all copies are still there."""
        return all(copies.are_there() for copies in {each.copies for each in self.entries.values() if each.copies})

    def restore(self, compares=False):
        """Bring the workspace back to what it was.

        Args:
            compares: do not believe change times.
        """
        now = dict(_walk(self.root, entered=True))
        for path, about in reversed(list(now.items())):
            entry = self.entries.get(path)
            if entry is None or stat.S_IFMT(entry.about.st_mode) != stat.S_IFMT(about.st_mode) or entry.link:
                (os.rmdir if stat.S_ISDIR(about.st_mode) else os.unlink)(path)
                del now[path]
        for path, entry in self.entries.items():
            mode = entry.about.st_mode
            if stat.S_ISDIR(mode):
                if path not in now:
                    os.mkdir(path, _OWNER_ENTERS)
            elif stat.S_ISLNK(mode):
                os.symlink(entry.link, path)
            elif stat.S_ISFIFO(mode):
                if path not in now:
                    os.mkfifo(path, stat.S_IMODE(mode))
            elif entry.link is not None:
                os.link(entry.link, path)
            elif (
                path not in now or not entry.is_as(now[path]) or (compares and not entry.has_bytes_of(path, now[path]))
            ):
                self._write(path, entry, now.get(path))
        for path, entry in reversed(list(self.entries.items())):
            if stat.S_ISDIR(entry.about.st_mode):
                os.chmod(path, stat.S_IMODE(entry.about.st_mode))

    def _write(self, path, entry, now):
        if now is not None and now.st_nlink > 1:
            os.unlink(path)  # its other names lead somewhere else now
            now = None
        if now is not None and now.st_mode & _OWNER_WRITES != _OWNER_WRITES:
            os.chmod(path, _OWNER_WRITES)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_WRITES)
        try:
            at, left = entry.start, entry.size
            while left:
                count = os.sendfile(target, entry.copies.descriptor, at, left)
                at += count
                left -= count
            os.fchmod(target, stat.S_IMODE(entry.about.st_mode))
            os.utime(target, ns=(entry.about.st_atime_ns, entry.about.st_mtime_ns))
            about = os.fstat(target)
        finally:
            os.close(target)
        entry.about, entry.recent = about, True


def _walk(root, entered=False):
    """Yield each path below the workspace with what it is, a directory before what lies in it.

    Other file systems are the caller's mounts, and no part of it.
    """
    device = os.stat(root).st_dev
    directories = [root]
    while directories:
        try:
            found = list(os.scandir(directories.pop()))
        except OSError as error:
            raise CannotHold(f"directory {error.filename!r}: {error.strerror}") from None
        for each in found:
            about = each.stat(follow_symlinks=False)
            if about.st_dev != device:
                continue
            yield each.path, about
            if stat.S_ISDIR(about.st_mode):
                if entered and about.st_mode & _OWNER_ENTERS != _OWNER_ENTERS:
                    os.chmod(each.path, _OWNER_ENTERS)
                directories.append(each.path)


def _open(path, about):
    """Open a file of ours, which need not let its owner read it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except OSError as error:
        try:
            os.chmod(path, _OWNER_WRITES)
            try:
                return os.open(path, flags)
            finally:
                os.chmod(path, stat.S_IMODE(about.st_mode))
        except OSError:
            raise CannotHold(f"file {path!r}: {error.strerror}") from None
