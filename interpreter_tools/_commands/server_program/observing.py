# pyright: basic
"""Tells what happens in a directory, by inotify."""

import os
import struct

from interpreter_tools._commands.server_program.entries import to_entry, to_text
from interpreter_tools._commands.server_program.output import answer

PIECE = 1 << 16
EVENTS = (
    (0x100, "create"),  # IN_CREATE
    (0x80, "create"),  # IN_MOVED_TO
    (0x2, "write"),  # IN_MODIFY
    (0x200, "remove"),  # IN_DELETE
    (0x400, "remove"),  # IN_DELETE_SELF
    (0x40, "rename"),  # IN_MOVED_FROM
    (0x800, "rename"),  # IN_MOVE_SELF
    (0x4, "chmod"),  # IN_ATTRIB
)
IN_IGNORED, IN_ISDIR, IN_ONLYDIR = 0x8000, 0x40000000, 0x1000000
NEW = 0x180  # IN_CREATE, IN_MOVED_TO


class Observer:
    """The events of a directory, by inotify; and of those below it, where that is asked for."""

    def __init__(self, recursive):
        import ctypes

        self.recursive = recursive
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.errno = ctypes.get_errno
        self.descriptor = self.libc.inotify_init1(os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(self.errno(), "")
        self.watched = {}  # directories by number, and their paths relative to the first one

    def add(self, directory, prefix):
        mask = IN_ONLYDIR | sum(bit for bit, _ in EVENTS)
        number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(directory), mask)
        if number < 0:
            raise OSError(self.errno(), "")
        self.watched[number] = (directory, prefix)
        inner = []
        if self.recursive:
            with os.scandir(directory) as found:
                inner = [one.name for one in found if one.is_dir(follow_symlinks=False)]
        for name in inner:
            try:
                self.add(os.path.join(directory, name), os.path.join(prefix, name))
            except OSError:  # gone meanwhile
                continue

    def catch_up(self, directory, prefix):
        """Tell what was made in a new directory before it was watched."""
        for name in sorted(os.listdir(directory)):
            place, shown = os.path.join(directory, name), os.path.join(prefix, name)
            tell("create", shown, place)
            if os.path.isdir(place) and not os.path.islink(place):
                self.catch_up(place, shown)

    def take(self, number, bits, name):
        """Tell one event."""
        if bits & IN_IGNORED:
            self.watched.pop(number, None)
            return
        directory, prefix = self.watched.get(number, ("", ""))
        if not directory or (not name and prefix):
            return  # the directory above tells it
        place, shown = (os.path.join(directory, name), os.path.join(prefix, name)) if name else (directory, "")
        for bit, kind in EVENTS:
            if bits & bit:
                tell(kind, shown, place)
        if self.recursive and bits & IN_ISDIR and bits & NEW:
            try:
                self.add(place, shown)
                self.catch_up(place, shown)
            except OSError:  # gone meanwhile
                return


def observe(path, recursive):
    """Tell what happens in a directory, one line of JSON for each event, until somebody ends it."""
    observer = Observer(recursive)
    observer.add(path, "")
    answer({"name": "", "kind": "watching", "entry": None})
    while True:
        data, start = os.read(observer.descriptor, PIECE), 0
        while start < len(data):
            number, bits, _, length = struct.unpack_from("iIII", data, start)
            name = os.fsdecode(data[start + 16 : start + 16 + length].rstrip(b"\0"))
            start += 16 + length
            observer.take(number, bits, name)


def tell(kind, name, place):
    try:
        found = None if kind in {"remove", "rename"} else to_entry(place)
    except OSError:
        found = None
    answer({"name": to_text(name), "kind": kind, "entry": found})
