"""Programs that try to end the supervisor, to hold their run open, or to leave something to the next one."""

from __future__ import annotations

import itertools
import resource
import signal
import string
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._protocol import Clean, Credit, Event, Files, Output, Ready, Refused, Reset, encode
from interpreter_tools._protocol.constants import Ended, Flag, Verdict, Why
from tests.supervisor.harness import PATIENCE, PYTHON, UID, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

# -- signals

SIGNALS = """
import ctypes, os, signal
libc = ctypes.CDLL(None)
information = ctypes.create_string_buffer(128)
ctypes.c_int.from_buffer(information, 8).value = -1  # si_code: SI_QUEUE, and so with a sender of one's own choice
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        while True:
            for number in NUMBERS:
                libc.kill(1, number)
                ctypes.c_int.from_buffer(information).value = number
                libc.syscall(129, 1, number, information)  # rt_sigqueueinfo
import time
time.sleep(0.05)
os._exit(0)
"""


@pytest.mark.parametrize("numbers", [[signal.SIGTERM, signal.SIGINT], range(1, 65)], ids=["asking", "all"])
@pytest.mark.parametrize("end", ["exit", "timeout", "kill"])
def test_no_signal_of_a_program_reaches_the_supervisor(idle: Supervisor, numbers: list[int] | range, end: str) -> None:
    """Also not while it kills what the run has left, as the run's user."""
    code = SIGNALS.replace("NUMBERS", repr([int(number) for number in numbers]))
    if end != "exit":
        code = code.replace("os._exit(0)", "time.sleep(1000)")
    for _ in range(6):
        idle.start([PYTHON, "-S", "-E", "-c", code], timeout=0.3 if end == "timeout" else 0)
        if end == "kill":
            time.sleep(0.2)
            idle.send(idle.connection.kill())
        ended = {"exit": Ended.EXITED, "timeout": Ended.TIMEOUT, "kill": Ended.KILLED}[end]
        assert idle.finish().exited.ended is ended
    idle.alive()


# -- runs that are held open

HELD = """
import os, socket
a, b = socket.socketpair()
socket.send_fds(a, [b"x"], [a.fileno(), b.fileno(), *FDS])
os.write(1, b"done")
os._exit(7)
"""


@pytest.mark.parametrize("held", [[1], [2], [1, 2], [0, 1, 2]])
def test_pipe_in_flight_between_sockets_does_not_hold_the_run_open(idle: Supervisor, held: list[int]) -> None:
    """Sockets that hold each other outlive their process, and what was sent through them does, too."""
    for _ in range(10):
        before = time.monotonic()
        ran = idle.run([PYTHON, "-S", "-E", "-c", HELD.replace("FDS", repr(held))], timeout=1)
        assert time.monotonic() - before < 1.5
        assert (ran.stdout, ran.exited.exit_code, ran.exited.unclean) == (b"done", 7, False)
    idle.alive()


def test_pipe_that_does_not_end_makes_the_end_unclean(idle: Supervisor) -> None:
    """Whatever holds it: a process of root's from outside, here. What was written before arrives."""
    idle.start(["sh", "-c", "echo early; read line"], flags=Flag.STDIN)
    assert idle.wait(Output).data == b"early\n"
    (program,) = idle.children()
    with Path(f"/proc/{program}/fd/1").open("wb"):
        before = time.monotonic()
        idle.send(idle.connection.kill())
        exited = idle.finish().exited
        assert exited.unclean
        assert 1 < time.monotonic() - before < 10


def test_slow_reader_gets_all_that_was_written_before_the_end(idle: Supervisor) -> None:
    """The deadline for a pipe to end is none for the client to read."""
    idle.start(["head", "-c", "400000", "/dev/zero"])
    time.sleep(3)
    ran = idle.finish()
    assert (len(ran.stdout), ran.exited.unclean) == (400_000, False)


# -- floods


def comes(supervisor: Supervisor, wanted: Callable[[Event], bool], seconds: float = 3) -> bool:
    """Whether an event comes while the client reads slower than the program writes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
        supervisor.poll()
        if any(map(wanted, supervisor.events)):
            return True
        supervisor.events.clear()
    return False


@pytest.mark.parametrize(("flood", "line"), [("yes", "echo problem >&2"), ("yes >&2", "echo problem")])
def test_flood_of_one_stream_does_not_keep_the_other_back(idle: Supervisor, flood: str, line: str) -> None:
    """Both have their turn, however slowly the client reads."""
    idle.start(["sh", "-c", f"{flood} & sleep 0.2; {line}; sleep 1000"])
    assert comes(idle, lambda event: isinstance(event, Output) and event.data == b"problem\n")
    idle.send(idle.connection.kill())
    idle.finish()


def test_flood_of_output_does_not_keep_credit_back(idle: Supervisor) -> None:
    """Who feeds a program that writes much can go on as fast as it reads."""
    idle.start(["sh", "-c", "yes & exec cat > /dev/null"], flags=Flag.STDIN)
    time.sleep(0.2)
    idle.send(idle.connection.stdin(b"x" * 1000))
    assert comes(idle, lambda event: isinstance(event, Credit))
    idle.send(idle.connection.kill())
    idle.finish()


def test_client_that_does_not_read_holds_nothing_up(idle: Supervisor) -> None:
    """A long list waits for the client; the supervisor waits for nothing, and fails closed meanwhile."""
    code = "import os\nfor n in range(20000): os.close(os.open(f'{n:0200}', os.O_CREAT | os.O_WRONLY))"
    idle.start([PYTHON, "-S", "-c", code])
    idle.poll()  # its list has begun: frames of it fill the pipe
    time.sleep(0.5)
    before = time.monotonic()
    idle.send(encode.frame(0x7F))  # type: ignore[arg-type]
    idle.expected_status = None
    assert idle.process.wait(10) == 1
    assert time.monotonic() - before < 5


def test_long_list_arrives_whole(idle: Supervisor) -> None:
    """In as many frames as it takes, to a client that reads late."""
    code = "import os\nfor n in range(20000): os.close(os.open(f'{n:0200}', os.O_CREAT | os.O_WRONLY))"
    idle.start([PYTHON, "-S", "-c", code])
    time.sleep(1.5)
    ran = idle.finish()
    assert (len(ran.files), ran.partial) == (20_000, False)
    idle.send(idle.connection.list_files())
    time.sleep(0.5)
    idle.wait(Ready)
    assert sum(len(event.entries) for event in idle.skipped if isinstance(event, Files)) == 20_000


# -- starts


def test_as_many_strings_as_a_frame_can_hold(idle: Supervisor) -> None:
    """There is no other limit than the size of a frame."""
    letters = string.printable[:94].replace("=", "")
    names = ["".join(pair) for pair in itertools.product(letters, repeat=2)]
    ran = idle.run(["/usr/bin/env", "-0"], environment=dict.fromkeys(names, ""))
    assert ran.stdout.count(b"\0") == len(names)
    ran = idle.run(["sh", "-c", "echo $#", "sh", *[""] * 16_000])
    assert ran.stdout == b"16000\n"


def test_refused_start_leaves_no_refusal_behind(with_store: Supervisor) -> None:
    """A run that is refused for a missing entry takes the refusal of its files with it."""
    supervisor = with_store
    supervisor.put(b"f", b"a file")
    assert not isinstance(supervisor.sync(), Refused)
    supervisor.send(supervisor.connection.need("a" * 64))
    supervisor.put(b"f/below", b"")
    assert supervisor.refusal(["true"]).why is Why.NEED
    supervisor.alive()


def test_first_refusal_is_the_one_that_is_told(with_store: Supervisor) -> None:
    """A file that was refused comes before an entry that is missing, when it was sent before."""
    supervisor = with_store
    supervisor.put(b"f", b"a file")
    supervisor.put(b"f/below", b"")
    supervisor.send(supervisor.connection.need("a" * 64))
    assert supervisor.refusal(["true"]).subject == b"f/below"
    supervisor.alive()


def test_start_without_descriptors_is_refused(idle: Supervisor) -> None:
    """And the next one, when there are some again, is not."""
    held = len(list(Path(f"/proc/{idle.host_pid}/fd").iterdir()))
    resource.prlimit(idle.host_pid, resource.RLIMIT_NOFILE, (held, 4096))
    assert idle.refusal(["true"]).why in {Why.RESOURCE, Why.CWD}
    resource.prlimit(idle.host_pid, resource.RLIMIT_NOFILE, (1024, 4096))
    idle.alive()


# -- what is left in the network


def left_after(supervisor: Supervisor, code: str, *, deadline: float = 0.3) -> Clean:
    """The verdict of a reset after a program."""
    supervisor.python(code, flags=Flag.LAST)
    supervisor.send(supervisor.connection.reset(Reset(round(deadline * 1000), UID)))
    return supervisor.wait(Clean)


TIME_WAIT = """
import socket
server = socket.create_server(("127.0.0.1", 8000))
client = socket.create_connection(("127.0.0.1", 8000), source_address=("127.0.0.1", 4242))
accepted, _ = server.accept()
client.close()
accepted.recv(1)
accepted.close()
"""

FLOW_LABEL = """
import errno, socket, struct
label = socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!I", 0x4242)
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
try:
    s.setsockopt(41, 32, label + struct.pack("=BBHHHI", 0, 1, 1, 60, 60, 0))
except OSError as error:
    assert error.errno == errno.ENOPROTOOPT, error
else:
    raise SystemExit("it has a flow label")
s.setsockopt(41, 26, 1)  # other options of IPv6, and of other levels, are as ever
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
"""


def test_reset_sees_what_outlives_a_socket(idle: Supervisor) -> None:
    """The next user could read it, and could not bind the same port."""
    assert left_after(idle, TIME_WAIT) == Clean(Verdict.SOCKETS, "a connection in TIME_WAIT")


def test_flow_labels_are_refused(idle: Supervisor) -> None:
    """One would outlive its socket for seconds, and so cost the container."""
    assert left_after(idle, FLOW_LABEL) == Clean(Verdict.OK, "")


def test_reset_that_takes_long_notices_that_the_client_has_gone(idle: Supervisor) -> None:
    """It is a phase of the loop like others."""
    idle.python(TIME_WAIT, flags=Flag.LAST)
    idle.send(idle.connection.reset(Reset(60_000, UID)))
    time.sleep(0.2)
    before = time.monotonic()
    assert idle.leave() == 0
    assert time.monotonic() - before < PATIENCE / 3
