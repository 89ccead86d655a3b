"""The supervisor as PID 1 of namespaces of its own, without Docker: plain pipes, and our own codec on the other end."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, TypedDict, TypeVar, Unpack

from interpreter_tools._protocol import (
    Beside,
    Clean,
    Connection,
    Event,
    Exited,
    Fatal,
    Files,
    Hello,
    Output,
    Ready,
    Refused,
    Reset,
    Start,
)
from interpreter_tools._protocol.constants import BootMode, Flag, Verdict

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

BASE = "/mnt"
WORKSPACE = f"{BASE}/workspace"
STORE = f"{BASE}/store"
MOUNTS = (WORKSPACE, "/tmp", "/dev/shm")
UID = 10_000 + os.getpid() % 50_000  # not that of tests beside these: RLIMIT_NPROC counts all processes of a user
PYTHON = "/usr/bin/python3"
PATIENCE = 30.0  # seconds; far beyond what anything here takes, so that only a hang reaches it

# What a container has: its own namespaces, tmpfs where programs may write, and as few powers. The binary moves out of
# /tmp before that is covered. The last `exec` keeps PID 1.
POWERS = "-all,+setuid,+setgid,+kill,+dac_override,+fowner"
_SET_UP = f"""
set -eu
binary=$1 tmpfs=$2 powers=$3
shift 3
mount -t tmpfs -o size=64m,mode=755 none {BASE}
cp "$binary" {BASE}/supervisor
mkdir {WORKSPACE} {STORE}
for mount in $tmpfs; do mkdir -p "$mount"; mount -t tmpfs -o nosuid,nodev,mode=1777,size=256m none "$mount"; done
ip link set lo up
eval "$BEFORE"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=$powers {BASE}/supervisor "$@"
"""
_NAMESPACES = ("--pid", "--fork", "--kill-child", "--mount", "--ipc", "--net", "--mount-proc")

# PID 1 leaves with _exit and frees nothing: there is no leak that could be looked for. A finding ends it with a status
# of its own, and its words go to stderr, on which the supervisor itself never writes.
SANITIZED = 99
_SANITIZERS = {
    "ASAN_OPTIONS": f"detect_leaks=0:exitcode={SANITIZED}:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:exitcode={SANITIZED}",
}

E = TypeVar("E")


class Ran(NamedTuple):
    """How a run went."""

    stdout: bytes
    stderr: bytes
    exited: Exited
    files: dict[bytes, int]
    partial: bool


class Options(TypedDict, total=False):
    """Of a run; what is left out is empty, or no limit."""

    environment: Mapping[str, str]
    flags: Flag
    uid: int
    timeout: float
    output_limit: int
    reset: Reset
    directory: str


def _start(argv: Sequence[str], options: Options) -> Start:
    return Start(
        argv,
        options.get("environment", {}),
        uid=options.get("uid", UID),
        flags=options.get("flags", Flag(0)),
        timeout_ms=round(options.get("timeout", 0) * 1000),
        output_limit=options.get("output_limit", 0),
        reset=options.get("reset"),
        directory=options.get("directory", WORKSPACE),
    )


class Supervisor:
    """One supervisor and the client's side of its conversation; leaving the ``with`` checks that it left in order."""

    def __init__(
        self,
        binary: Path,
        *,
        mounts: Sequence[str] = MOUNTS,
        tmpfs: Sequence[str] = MOUNTS,
        namespaces: Sequence[str] = _NAMESPACES,
        powers: str = POWERS,
        path: str = "/usr/local/bin:/usr/bin:/bin",
        before: str = ":",
    ) -> None:
        self.connection = Connection()
        self.events: list[Event] = []
        self.received = 0  # bytes
        self.skipped: list[Event] = []
        self.expected_status: int | None = 0
        command = ["/usr/bin/unshare", *namespaces, "/bin/sh", "-c", _SET_UP, "sh"]
        self.process = subprocess.Popen(
            [*command, str(binary), " ".join(tmpfs), powers, *mounts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": f"{path}:/usr/sbin:/sbin", "BEFORE": before, **_SANITIZERS},
            bufsize=0,
        )
        self._stdin, self._stdout, self._stderr = (
            stream.fileno()
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr)
            if stream is not None
        )
        os.set_blocking(self._stdout, False)
        os.set_blocking(self._stdin, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and self.expected_status is not None:
                assert self.leave() == self.expected_status
        finally:
            self.process.kill()  # and with it PID 1, which it started with --kill-child
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                assert stream is not None
                stream.close()

    def children(self, pid: int | None = None) -> list[int]:
        """The children of PID 1, or of another process, as the host numbers them."""
        pid = pid or self.host_pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]

    @property
    def host_pid(self) -> int:
        """PID 1, as the host numbers it."""
        (pid,) = self.children(self.process.pid)
        return pid

    # -- bytes

    def send(self, data: bytes) -> None:
        """Send all of it, while taking what comes."""
        deadline = time.monotonic() + PATIENCE
        while data:
            assert time.monotonic() < deadline, f"{len(data)} bytes are not taken"
            readable, writable = self._ready(write=True)
            if readable and not self._receive():
                return  # it has left; what it said before tells why
            if writable:
                try:
                    data = data[os.write(self._stdin, data) :]
                except BrokenPipeError:
                    return

    def _ready(self, *, write: bool, timeout: float = 1.0) -> tuple[bool, bool]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if write:
                selector.register(self._stdin, selectors.EVENT_WRITE)
            ready = {key.fd for key, _ in selector.select(timeout)}
        return self._stdout in ready, write and self._stdin in ready

    def _receive(self) -> bool:
        """Read once; return False at the end of the stream."""
        data = os.read(self._stdout, 1 << 16)
        self.received += len(data)
        self.events.extend(self.connection.receive(data))
        return bool(data)

    # -- events

    def wait(self, *kinds: type[E]) -> E:
        """The first event of these kinds that has come, or comes; those before it are taken, but of side runs."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for index, event in enumerate(self.events):
                if isinstance(event, kinds):
                    before = self.events[:index]
                    self.skipped = [other for other in before if not isinstance(other, Beside)]
                    self.events[: index + 1] = [other for other in before if isinstance(other, Beside)]
                    return event
                assert not isinstance(event, Fatal), event
            assert time.monotonic() < deadline, f"no {kinds} within {PATIENCE} s; {self.events}"
            if self._ready(write=False)[0]:
                assert self._receive(), f"it left: {self.stderr()}"

    def poll(self) -> None:
        """Wait until something comes, and keep it."""
        assert self._ready(write=False, timeout=PATIENCE)[0]
        assert self._receive()

    def listen(self, seconds: float) -> None:
        """Keep what comes for that long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._ready(write=False, timeout=left)[0]:
                assert self._receive()

    def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes for that long."""
        return not self.events and not self._ready(write=False, timeout=seconds)[0]

    def fatal(self) -> str:
        """Its last words, after which it must be gone."""
        event = self.wait(Fatal)
        self.expected_status = None
        assert self.leave() == 1
        return event.message

    def leave(self) -> int:
        """End the conversation; return the status with which it went. No sanitizer had anything to say."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._ready(write=False)[0] and not self._receive():
                break
        status = self.process.wait(PATIENCE)
        assert self.stderr() == ""
        return status

    def stderr(self) -> str:
        """What a sanitizer has to say; asked when the supervisor is gone."""
        self.process.wait(PATIENCE)
        return os.read(self._stderr, 1 << 16).decode()

    # -- conversations

    def boot(
        self, mode: BootMode = BootMode.NONE, argv: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Ready | Refused:
        """Take the greeting and boot."""
        self.wait(Hello)
        self.send(self.connection.boot(mode, argv, environment, uid=UID))
        return self.wait(Ready, Refused)

    def put(self, path: bytes, data: bytes, *, uid: int = UID, mode: int = 0o644) -> None:
        """Write a file; how it went is told at the next start or sync."""
        self.send(self.connection.put(path, data, uid=uid, mode=mode))

    def sync(self) -> Ready | Refused:
        """How the puts went."""
        self.send(self.connection.sync())
        return self.wait(Ready, Refused)

    def start(self, argv: Sequence[str], **options: Unpack[Options]) -> None:
        """Start a program."""
        self.send(self.connection.start(_start(argv, options)))

    def refusal(self, argv: Sequence[str], **options: Unpack[Options]) -> Refused:
        """Start a program that is refused."""
        self.start(argv, **options)
        return self.wait(Refused)

    def side(self, argv: Sequence[str], **options: Unpack[Options]) -> int:
        """Start a program beside the main run, and return its number."""
        number, data = self.connection.start_side(_start(argv, options))
        self.send(data)
        return number

    def of_side(self, number: int, *kinds: type[E]) -> E:
        """The first event of these kinds of a side run; it is taken, and those of that run before it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for index, event in enumerate(self.events):
                if isinstance(event, Beside) and event.number == number and isinstance(event.event, kinds):
                    self.skipped = [
                        other.event
                        for other in self.events[:index]
                        if isinstance(other, Beside) and other.number == number
                    ]
                    later = self.events[index + 1 :]
                    before = self.events[:index]
                    self.events = [o for o in before if not (isinstance(o, Beside) and o.number == number)] + later
                    return event.event
                assert not isinstance(event, Fatal), event
            assert time.monotonic() < deadline, f"no {kinds} of {number} within {PATIENCE} s; {self.events}"
            if self._ready(write=False)[0]:
                assert self._receive(), f"it left: {self.stderr()}"

    def finish_side(self, number: int) -> Ran:
        """Wait for the end of a side run."""
        exited = self.of_side(number, Exited, Refused)
        assert isinstance(exited, Exited), exited
        return Ran(*self._output(), exited, {}, False)

    def _output(self) -> tuple[bytes, bytes]:
        output = {"stdout": b"", "stderr": b""}
        for event in self.skipped:
            if isinstance(event, Output):
                output[event.stream] += event.data
        return output["stdout"], output["stderr"]

    def finish(self) -> Ran:
        """Wait for the end of a run."""
        exited = self.wait(Exited, Refused)
        assert isinstance(exited, Exited), exited
        files: dict[bytes, int] = {}
        partial = False
        for event in self.skipped:
            if isinstance(event, Files):
                files.update((path, size) for size, path in event.entries)
                partial = partial or event.partial
        return Ran(*self._output(), exited, files, partial)

    def run(self, argv: Sequence[str], **options: Unpack[Options]) -> Ran:
        """Run a program to its end."""
        self.start(argv, **options)
        return self.finish()

    def shell(self, script: str, **options: Unpack[Options]) -> Ran:
        """Run a shell script."""
        return self.run(["sh", "-c", script], **options)

    def python(self, code: str, **options: Unpack[Options]) -> Ran:
        """Run Python, which must end well."""
        ran = self.run([PYTHON, "-c", code], **options)
        assert ran.exited.exit_code == 0, ran.stderr.decode()
        return ran

    def reset(self, *, uid: int = UID, deadline: float = 5) -> str:
        """Reset after the last run, and return what was left."""
        self.send(self.connection.reset(Reset(round(deadline * 1000), uid)))
        return self.verdict()

    def verdict(self) -> str:
        """How a reset went: what was left, or nothing."""
        clean = self.wait(Clean)
        assert (clean.verdict is Verdict.OK) == (not clean.left)
        return f"{clean.verdict.name} {clean.left}" if clean.left else ""

    def alive(self) -> None:
        """Assert that it still runs programs."""
        assert self.shell("echo alive").stdout == b"alive\n"

    # -- others

    @contextlib.contextmanager
    def intruder(
        self, argv: Sequence[str], *, namespaces: Sequence[str] = ("--mount", "--net", "--ipc")
    ) -> Generator[subprocess.Popen[bytes]]:
        """A process of root's from outside, in some of its namespaces: what should not be there, or what moves.

        It has written one byte to its stdout when the body begins.
        """
        command = ["/usr/bin/nsenter", f"--target={self.host_pid}", *namespaces, *argv]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.read(1), "the intruder did not start"
                yield process
            finally:
                process.kill()
