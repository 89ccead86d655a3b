# pyright: basic
"""Actions on files: each runs in a process of its own."""

import errno
import os
import signal
import stat

from interpreter_tools._commands.server_program.entries import to_entry
from interpreter_tools._commands.server_program.observing import observe
from interpreter_tools._commands.server_program.output import answer, write_all

PIECE = 1 << 16


def read(path, limit):
    descriptor = open_regular(path, os.O_RDONLY)
    if os.fstat(descriptor).st_size > limit:
        raise OSError(errno.EFBIG, "")
    while True:
        data = os.read(descriptor, PIECE)
        limit -= len(data)
        if limit < 0:
            raise OSError(errno.EFBIG, "")
        if not data:
            return
        write_all(1, data)


def write(path):
    copy_input(open_to_write(path))


def open_to_write(path):
    """Open a regular file for writing; it and missing directories are made."""
    try:
        return open_regular(path, os.O_WRONLY | os.O_CREAT)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open_regular(path, os.O_WRONLY | os.O_CREAT)


def copy_input(descriptor):
    """Make standard input the contents of a file."""
    os.ftruncate(descriptor, 0)
    while True:
        data = os.read(0, 1 << 20)
        if not data:
            return
        write_all(descriptor, data)


def open_regular(path, flags):
    """Open a regular file; never a pipe or a terminal, which could block."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o644)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "")
    return descriptor


def describe(path):
    found = os.stat(path)
    answer([stat.S_ISDIR(found.st_mode), found.st_size if stat.S_ISREG(found.st_mode) else None])


def list_directory(path):
    entries = []
    with os.scandir(path) as found:
        for entry in found:
            try:
                size = entry.stat().st_size if entry.is_file() else None
                entries.append([entry.name, entry.is_dir(), size])
            except OSError:  # a loop of links, or gone meanwhile
                entries.append([entry.name, False, None])
    answer(sorted(entries))


def make_directory(path):
    os.makedirs(path, exist_ok=True)


def remove(path, keep):
    target = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if os.path.commonpath([target, keep]) == target:
        raise OSError(errno.EBUSY, "")
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    else:
        os.execvp("rm", ["rm", "-rf", "--", path])


def real_path(path):
    answer(os.path.realpath(path))


def receive(path):
    """Write a file from standard input, in place; leave no part of it when that fails or is ended by SIGTERM."""
    ours = not os.path.lexists(path)  # it is to be removed again, as soon as it is there

    def give_up(*_):
        if ours:
            try:
                os.unlink(path)
            except OSError:  # it has not been made yet
                pass
        os._exit(1)

    signal.signal(signal.SIGTERM, give_up)
    descriptor = open_to_write(path)
    try:
        ours = True
        copy_input(descriptor)
    except OSError:
        os.unlink(path)
        raise
    answer(to_entry(path))


def entry(path):
    answer(to_entry(path))


def entries(path, depth):
    """Tell the entries below a directory, as deep as that; links are told and not followed."""
    with os.scandir(path):  # a path that cannot be listed is an error, one below it is left out
        pass
    found = []

    def add(directory, left):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            return
        for name in names:
            inner = os.path.join(directory, name)
            try:
                found.append(to_entry(inner))
            except OSError:  # gone meanwhile
                continue
            if left > 1 and found[-1]["type"] == "directory" and found[-1]["target"] is None:
                add(inner, left - 1)

    add(path, depth)
    answer(found)


def make(path):
    """Make a directory and its parents; one that is there is refused."""
    if os.path.isdir(path):
        raise OSError(errno.EEXIST, "")
    os.makedirs(path, exist_ok=True)
    answer(to_entry(path))


def move(path, target):
    """Rename a file or a directory; missing directories of the new path are made."""
    kind = stat.S_IFMT(os.lstat(path).st_mode)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) or f"{target}/".startswith(os.path.join(path, "")):
            raise OSError(errno.EINVAL, "") from None  # a device has no end, and no directory goes into itself
        import shutil

        shutil.move(path, target)
    answer(to_entry(target))


FILE_ACTIONS = {
    "read": read,
    "write": write,
    "describe": describe,
    "list": list_directory,
    "make_directory": make_directory,
    "remove": remove,
    "real_path": real_path,
    "receive": receive,
    "entry": entry,
    "entries": entries,
    "make": make,
    "move": move,
    "observe": observe,
}
