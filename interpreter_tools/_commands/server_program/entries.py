# pyright: basic
"""The facts of a file, as clients are told them."""

import os
import stat


def to_entry(path):
    """Return what is known of a file: of a link its own facts, with the type of what it leads to."""
    found = os.lstat(path)
    mode, target = found.st_mode, None
    if stat.S_ISLNK(mode):
        target = os.path.realpath(path)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = 0
    return {
        "path": to_text(path),
        "type": "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other",
        "size": found.st_size,
        "mode": stat.S_IMODE(found.st_mode) & 0o777,
        "permissions": stat.filemode(found.st_mode),
        "owner": name_of("/etc/passwd", found.st_uid),
        "group": name_of("/etc/group", found.st_gid),
        "modified_ns": found.st_mtime_ns,
        "target": target and to_text(target),
        "identity": [found.st_dev, found.st_ino],
    }


def to_text(path):
    """Return a path as JSON can tell it: bytes that are no UTF-8 become replacement characters."""
    return os.fsencode(path).decode("utf-8", "replace")


NAMES = {}


def name_of(file, number):
    """Return the name of a user or a group; its number where it has none."""
    names = NAMES.get(file)
    if names is None:
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                parts = [line.rstrip().split(":") for line in lines]
        except OSError:
            parts = []
        names = NAMES[file] = {part[2]: part[0] for part in reversed(parts) if len(part) > 2}
    return names.get(str(number), str(number))
