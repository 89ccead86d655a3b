"""The users that programs run as, and the files that give them a name.

The kernel counts some things by user id across containers, inotify instances for one. So each container has a pair of
user ids that no other container of this process has: its programs run as one of them, and those after its next reset as
the other. The root of a container is read-only and belongs to its image, so its ``/etc/passwd`` and ``/etc/group`` are
files of the supervisor's volume, which holds two for each of the first 512 pairs. The pairs after them have no name.
"""

from __future__ import annotations

import itertools
import os

from interpreter_tools._exceptions import MachineError

NAMED = 512
"""The number of pairs whose users have a name."""

ACCOUNTS = "accounts"
"""The directory of the supervisor's volume with ``passwd`` and ``group`` for each pair."""

HOME = "/tmp/home"  # noqa: S108 - a path in the container
"""The home of a sandbox's user; the supervisor makes it."""

NAME = "sandbox"
"""The name of a sandbox's user and of its group."""

_FIRST_UID, _PAIRS = 10_000, 25_000
# As Debian has them: what programs look up by name, and what owns the files of most images
_SYSTEM_USERS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_SYSTEM_GROUPS = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
shadow:x:42:
utmp:x:43:
staff:x:50:
users:x:100:
nogroup:x:65534:
"""

_next = itertools.count(int.from_bytes(os.urandom(2)) % NAMED)
_in_use: set[int] = set()


def take_uid() -> int:
    """Return the first user id of a pair that no other container of this process has, until ``give_back_uid``.

    Raises:
        MachineError: all user ids are in use.
    """
    pairs = itertools.chain((next(_next) % NAMED for _ in range(NAMED)), range(NAMED, _PAIRS))
    pair = next((pair for pair in pairs if pair not in _in_use), None)
    if pair is None:
        raise MachineError(f"all {2 * _PAIRS} user ids of sandboxes are in use", hint="end containers or sessions")
    _in_use.add(pair)
    return _FIRST_UID + 2 * pair


def give_back_uid(uid: int) -> None:
    """Give back the pair of a user id. Does nothing for a pair that is not in use."""
    _in_use.discard((uid - _FIRST_UID) // 2)


def other_uid(uid: int) -> int:
    """Return the other user id of a pair."""
    return uid ^ 1


def account_files(uid: int) -> dict[str, str]:
    """Return the files of the volume, each with its place in the container; none for a user without a name."""
    pair = (uid - _FIRST_UID) // 2
    if not 0 <= pair < NAMED:
        return {}
    return {f"{ACCOUNTS}/{kind}-{pair}": f"/etc/{kind}" for kind in ("passwd", "group")}


def account_contents(pair: int) -> dict[str, bytes]:
    """Return the content of the two files that ``account_files`` names for a pair, by their paths in the volume."""
    uids = (_FIRST_UID + 2 * pair, _FIRST_UID + 2 * pair + 1)
    users = "".join(f"{NAME}:x:{uid}:{uid}:{NAME}:{HOME}:/bin/sh\n" for uid in uids)
    groups = "".join(f"{NAME}:x:{uid}:\n" for uid in uids)
    return {
        f"{ACCOUNTS}/passwd-{pair}": (_SYSTEM_USERS + users).encode(),
        f"{ACCOUNTS}/group-{pair}": (_SYSTEM_GROUPS + groups).encode(),
    }
