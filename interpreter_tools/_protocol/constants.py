"""The numbers of ``supervisor/protocol.h``; a test holds the two together."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

VERSION: Final = 4
HEADER_SIZE: Final = 8
MAX_PAYLOAD: Final = 65536
STDIN_WINDOW: Final = 65536
TELL_WINDOW: Final = 131072
OUTPUT_WINDOW: Final = 262144
MAX_SIDE: Final = 64
MARK_FIRST: Final = 60000
MARK_LAST: Final = 64999
MESSAGE_SIZE: Final = 65000
MESSAGE_SILENT: Final = 0x20000000
MESSAGE_HELD: Final = 0x40000000
MESSAGE_TOLD: Final = 0x80000000
PUT_RUN: Final = 0x40000000
PUT_CODE: Final = 0x80000000
HAND_OVER_MERGED: Final = 0x80000000
FILES_UNCHANGED: Final = 0x8000000000000000


class Frame(IntEnum):
    """Types of frames; those from the supervisor have the high bit."""

    BOOT = 0x01
    PUT = 0x02
    DATA = 0x03
    DONE = 0x04
    SYNC = 0x05
    START = 0x06
    STDIN = 0x07
    KILL = 0x08
    RESET = 0x09
    LIST = 0x0A
    GET = 0x0B
    NEED = 0x0C
    STAGE = 0x0D
    PUBLISH = 0x0E
    EVICT = 0x0F
    ENTRIES = 0x10
    DROP = 0x11
    SIGNAL = 0x12
    TELL = 0x13
    TAKEN = 0x14
    MARK = 0x15
    LEAD = 0x16
    PAUSE = 0x17
    DELAY = 0x18

    HELLO = 0x81
    READY = 0x82
    REFUSED = 0x83
    STORED = 0x84
    STDOUT = 0x85
    STDERR = 0x86
    CREDIT = 0x87
    FILES = 0x88
    EXIT = 0x89
    CLEAN = 0x8A
    CONTENT = 0x8B
    FATAL = 0x8C
    MESSAGE = 0x8D
    TOLD = 0x8E
    FALLEN = 0x8F
    DELAYED = 0x90


class Flag(IntFlag):
    """Options of a START."""

    STDIN = 1
    BOOTED = 2
    LAST = 4
    LIST = 8
    MERGED = 16


class BootMode(IntEnum):
    """The ways to boot an interpreter ahead of need."""

    NONE = 0
    FORK = 1
    SINGLE = 2


class Ended(IntEnum):
    """The reasons why a run ended."""

    EXITED = 0
    TIMEOUT = 1
    OUTPUT_LIMIT = 2
    KILLED = 3


class Why(IntEnum):
    """The reasons why a request was refused."""

    PUT = 1
    PROGRAM = 2
    CWD = 3
    GET = 4
    RESOURCE = 5
    NEED = 6
    STORE = 7


class Box(IntEnum):
    """The word of HELLO on boxes: none was asked for, the container has them, or the step that failed."""

    NONE = 0
    MADE = 1
    USER = 2
    IDS = 3
    NAMESPACES = 4
    FILES = 5
    PROC = 6
    MASKS = 7
    NETWORK = 8
    POWERS = 9
    FILTER = 10
    SUPERVISOR = 11
    MOUNT = 12


class Verdict(IntEnum):
    """The results of a reset."""

    OK = 0
    PROCESSES = 1
    FILES = 2
    SOCKETS = 3
    MOUNT = 4


EXIT_UNCLEAN: Final = 1
FILES_PARTIAL: Final = 1
