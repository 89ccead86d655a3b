"""The second filter of system calls, as each shipped supervisor holds it: read out of the binary and run by hand.

So the table of an architecture is tested call by call where no machine of it is at hand. What the kernel makes of the
filter is tested in a box (``test_box.py``, ``tests/docker/test_boxes.py``).
"""

from __future__ import annotations

import errno
import itertools
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import interpreter_tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BINARIES = Path(interpreter_tools.__file__).with_name("supervisor") / "bin"
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD | W | ABS; JMP | JEQ | K; JMP | JSET | K; RET | K
_ARGUMENT = 16  # where the arguments begin in struct seccomp_data
_SECCOMP, _NO_SECCOMP = 22, 15  # PR_SET_SECCOMP, PR_SET_NAME

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        "unshare": 272,
        "setns": 308,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "clone": 56,
        "seccomp": 317,
        "prctl": 157,
    },
    "aarch64": {
        "unshare": 97,
        "setns": 268,
        "mount": 40,
        "umount2": 39,
        "pivot_root": 41,
        "clone": 220,
        "seccomp": 277,
        "prctl": 167,
    },
}
"""The numbers of the calls that it looks at: asm/unistd_64.h and asm-generic/unistd.h."""


def filter_of(architecture: str) -> list[tuple[int, int, int, int]]:
    """The statements: code, how many are left out where it holds and where it does not, and a constant."""
    image = (_BINARIES / f"supervisor-{architecture}").read_bytes()
    unshare = NUMBERS[architecture]["unshare"]
    head = struct.pack("<HBBIHBBI", _LOAD, 0, 0, 0, _EQUAL, 8, 0, unshare)
    assert image.count(head) == 1
    at = image.index(head)
    statements: list[tuple[int, int, int, int]] = []
    while statements[-1:] != [(_RETURN, 0, 0, _ALLOW)] or len(statements) < 18:
        statements.append(struct.unpack_from("<HBBI", image, at + 8 * len(statements)))
        assert len(statements) <= 18
    return statements


def verdict(statements: Sequence[tuple[int, int, int, int]], number: int, argument: int = 0) -> int:
    """What the kernel would answer: 0, or the error."""
    data = {0: number, _ARGUMENT: argument & 0xFFFFFFFF}
    loaded = at = 0
    while True:
        code, yes, no, constant = statements[at]
        at += 1
        if code == _LOAD:
            loaded = data[constant]
        elif code == _EQUAL:
            at += yes if loaded == constant else no
        elif code == _SET:
            at += yes if loaded & constant else no
        else:
            assert code == _RETURN
            return 0 if constant == _ALLOW else constant - _REFUSE


@pytest.mark.parametrize("architecture", NUMBERS)
def test_each_call_that_makes_or_enters_namespaces_is_refused(architecture: str) -> None:
    """Whatever its arguments are; and no other call is, but for further filters."""
    statements, numbers = filter_of(architecture), NUMBERS[architecture]
    for name in ("unshare", "setns", "mount", "umount2", "pivot_root"):
        assert {verdict(statements, numbers[name], flags) for flags in (0, 1, 0x10000000)} == {errno.EPERM}
    assert verdict(statements, numbers["seccomp"], 1) == errno.ENOSYS
    assert verdict(statements, numbers["prctl"], _SECCOMP) == errno.EINVAL
    assert verdict(statements, numbers["prctl"], _NO_SECCOMP) == 0
    looked_at = set(numbers.values())
    assert {number for number in range(1024) if verdict(statements, number)} == looked_at - {
        numbers["clone"],
        numbers["prctl"],
    }


@pytest.mark.parametrize("architecture", NUMBERS)
def test_clone_makes_processes_and_threads_and_nothing_else(architecture: str) -> None:
    """Each flag for a new namespace, alone and with the others, and the one for a sibling."""
    statements, clone = filter_of(architecture), NUMBERS[architecture]["clone"]
    flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x8000]
    for count in (1, 2):
        for some in itertools.combinations(flags, count):
            assert verdict(statements, clone, sum(some) | 17) == errno.EPERM
    for usual in (17, 0x4111, 0x3D0F00, 0x1200011):  # fork, vfork, a thread of libc's, its fork
        assert verdict(statements, clone, usual) == 0
