"""The events that a supervisor's frames mean."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from interpreter_tools._protocol.constants import Box, Ended, Verdict, Why


class Hello(msgspec.Struct, frozen=True):
    """The supervisor lives.

    Attributes:
        version: of the protocol.
        machine: the supervisor's ELF ``e_machine``: 62 for x86-64, 183 for aarch64.
        pid: its process id.
        box: whether programs run in a box, or the step at which no box could be made.
        errno: why that step failed; 0 if none did.
    """

    version: int
    machine: int
    pid: int
    box: Box = Box.NONE
    errno: int = 0


class Ready(msgspec.Struct, frozen=True):
    """The last request is done; after a boot, ``note`` describes the interpreter."""

    note: str = ""


class Refused(msgspec.Struct, frozen=True):
    """The last request was refused; ``subject`` is the path or program it was about, or an interpreter's last words."""

    why: Why
    errno: int
    subject: bytes


class Output(msgspec.Struct, frozen=True, gc=False):
    """Bytes that the program wrote."""

    stream: Literal["stdout", "stderr"]
    data: bytes


class Message(msgspec.Struct, frozen=True, gc=False):
    """A piece of a message that a process of the run sends beside its output; ``connection`` identifies the sender.

    One without bytes says that the connection is over.
    """

    connection: int
    data: bytes


class Credit(msgspec.Struct, frozen=True):
    """The supervisor took ``count`` bytes of stdin."""

    count: int


class Told(msgspec.Struct, frozen=True):
    """The supervisor sent ``count`` bytes of what it was told to a connection, 4 for each piece among them."""

    connection: int
    count: int


class Files(msgspec.Struct, frozen=True):
    """Regular files below the workspace, as (size in bytes, path)."""

    entries: tuple[tuple[int, bytes], ...]
    partial: bool


class Exited(msgspec.Struct, frozen=True):
    """The run is over; times in microseconds, memory in bytes."""

    ended: Ended
    exit_code: int
    signal: int
    unclean: bool
    wall_us: int
    cpu_us: int
    peak_memory: int
    oom_kills: int

    @property
    def status(self) -> int:
        """The exit code as shells give it: 128 + signal where a signal ended the program."""
        return self.exit_code if self.exit_code >= 0 else 128 + self.signal


class Clean(msgspec.Struct, frozen=True):
    """The result of a reset, and the things that it could not remove."""

    verdict: Verdict
    left: str


class Content(msgspec.Struct, frozen=True, gc=False):
    """Bytes of the file that was asked for; empty at its end."""

    data: bytes


class Stored(msgspec.Struct, frozen=True):
    """An entry of the store, or the rest of one; sizes in bytes, times in seconds since the epoch."""

    size: int
    modified: int
    name: str
    manifest: bytes


class Fatal(msgspec.Struct, frozen=True):
    """The supervisor leaves; ``message`` says why."""

    message: str


class Fallen(msgspec.Struct, frozen=True):
    """The program of a side run has ended, and others can take its place."""

    exit_code: int
    signal: int
    oom_kills: int


class Delayed(msgspec.Struct, frozen=True):
    """The processes of a side run have waited so long for a processor, all together, in microseconds."""

    time_us: int


RunEvent: TypeAlias = Output | Message | Credit | Told | Refused | Exited | Fallen | Delayed


class Beside(msgspec.Struct, frozen=True, gc=False):
    """An event of a side run, which has a number."""

    number: int
    event: RunEvent


Event: TypeAlias = (
    Hello
    | Ready
    | Refused
    | Output
    | Message
    | Credit
    | Told
    | Fallen
    | Delayed
    | Files
    | Exited
    | Clean
    | Content
    | Stored
    | Fatal
    | Beside
)


def is_last(event: Event) -> bool:
    """Return whether an event ends the answer to a request."""
    if isinstance(event, Content):
        return not event.data
    return isinstance(event, (Hello, Ready, Refused, Exited, Clean))
