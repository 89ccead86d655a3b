"""Programs beside the main run, and beside each other."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from interpreter_tools._protocol import Clean, Exited, Files, Message, Output, Ready, Refused, Reset, Told
from interpreter_tools._protocol.constants import (
    MAX_SIDE,
    OUTPUT_WINDOW,
    TELL_WINDOW,
    Ended,
    Flag,
    Verdict,
    Why,
)
from interpreter_tools.testing.wire import frame
from tests.supervisor.harness import PYTHON, UID, WORKSPACE, Supervisor
from tests.supervisor.test_booted import FORK, SINGLE, boot, run, until

_TALK = """
import os, socket, sys, threading, time
def connect():
    made = socket.socket(socket.AF_UNIX)
    made.connect("\\0interpreter-tools")
    return made
def send(sock, body):
    sock.sendall(len(body).to_bytes(4, "little") + body)
def read(sock):
    head = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "little")
    return sock.recv(head & 0x7FFFFFFF, socket.MSG_WAITALL) if head else None
"""


def python(supervisor: Supervisor, code: str, *, stdin: bool = False) -> int:
    """Start Python beside the main run."""
    return supervisor.side([PYTHON, "-c", _TALK + code], flags=Flag.STDIN if stdin else Flag(0))


def take(supervisor: Supervisor, number: int, count: int) -> None:
    """Make room for more output of a side run."""
    supervisor.send(supervisor.connection.taken(count, run=number))


def processes(supervisor: Supervisor) -> int:
    """How many there are in its namespace, as a program sees it that counts itself."""
    return int(supervisor.shell("set -- /proc/[0-9]*; echo $#").stdout)


def test_side_run_has_its_own_streams_and_end(idle: Supervisor) -> None:
    """Beside a main run and another one, it reads its own input and tells its own status."""
    first = idle.side(["sh", "-c", "read x; echo $x one; exit 3"], flags=Flag.STDIN)
    second = idle.side(["sh", "-c", "read x; echo $x two >&2; kill -9 $$"], flags=Flag.STDIN)
    assert idle.shell("echo main").stdout == b"main\n"
    idle.start(["sh", "-c", "read x; echo $x main"], flags=Flag.STDIN)
    idle.send(idle.connection.stdin(b"b\n", run=second))
    idle.send(idle.connection.stdin(b"a\n", run=first))
    idle.send(idle.connection.stdin(b"c\n"))
    assert idle.finish().stdout == b"c main\n"
    ran = idle.finish_side(first)
    assert (ran.stdout, ran.stderr, ran.exited.exit_code) == (b"a one\n", b"", 3)
    ran = idle.finish_side(second)
    assert (ran.stdout, ran.stderr, ran.exited.signal) == (b"", b"b two\n", 9)


def test_side_run_outlives_the_main_run_and_what_that_leaves(idle: Supervisor) -> None:
    """The end of the main run kills what belongs to it, and nothing else."""
    side = idle.side(["sh", "-c", "sleep 1000 & echo on; read x; echo $x; wait"], flags=Flag.STDIN)
    assert idle.of_side(side, Output).data == b"on\n"
    idle.shell("sleep 1000 & setsid sleep 1000 & echo left")
    assert processes(idle) == 4  # PID 1, the side run's two, and the shell that counts
    idle.send(idle.connection.stdin(b"still\n", run=side))
    assert idle.of_side(side, Output).data == b"still\n"
    idle.send(idle.connection.kill(run=side))
    exited = idle.finish_side(side).exited
    assert (exited.ended, exited.signal, exited.unclean) == (Ended.KILLED, 9, False)
    assert processes(idle) == 2


def test_end_of_a_side_run_takes_what_it_started(idle: Supervisor) -> None:
    """Also what has left its session; the main run and others go on."""
    other = idle.side(["sh", "-c", "echo on; exec sleep 1000"])
    idle.of_side(other, Output)
    idle.start(["sh", "-c", "read x; echo main $x"], flags=Flag.STDIN)
    side = idle.side(["sh", "-c", "for i in 1 2 3; do setsid sleep 1000 & done; echo end"])
    assert idle.finish_side(side).stdout == b"end\n"
    idle.send(idle.connection.stdin(b"lives\n"))
    assert idle.finish().stdout == b"main lives\n"
    assert processes(idle) == 3
    idle.send(idle.connection.kill(run=other))
    idle.finish_side(other)


def test_fork_bomb_beside_others_ends_with_its_run(idle: Supervisor) -> None:
    """What forks faster than it is looked for is stopped first; its neighbour lives."""
    other = idle.side(["sh", "-c", "echo on; read x; echo $x"], flags=Flag.STDIN)
    idle.of_side(other, Output)
    bomb = """
import os, resource, time
resource.setrlimit(resource.RLIMIT_NPROC, (60, 60))
print("on", flush=True)
while True:
    try: os.fork()
    except OSError: pass
"""
    side = python(idle, bomb)
    idle.of_side(side, Output)
    time.sleep(0.3)
    idle.send(idle.connection.kill(run=side))
    exited = idle.finish_side(side).exited
    assert (exited.ended, exited.unclean) == (Ended.KILLED, False)
    idle.send(idle.connection.stdin(b"lives\n", run=other))
    assert idle.of_side(other, Output).data == b"lives\n"
    idle.finish_side(other)
    assert processes(idle) == 2


def test_members_of_a_run_share_a_group_that_they_cannot_leave(idle: Supervisor) -> None:
    """Each side run has another one, the main run has none."""
    code = """
print(os.getgroups(), os.getgid(), flush=True)
try: os.setgroups([])
except PermissionError: print("no")
"""
    groups: list[str] = []
    for _ in range(2):
        ran = idle.finish_side(python(idle, code))
        first, second = ran.stdout.decode().splitlines()
        assert second == "no"
        groups.append(first)
    assert groups == [f"[60000] {UID}", f"[60001] {UID}"]
    assert idle.python("import os; print(os.getgroups())").stdout == b"[]\n"


def test_interrupt_reaches_the_program_and_its_children(idle: Supervisor) -> None:
    """As it does from a terminal; what handles it lives on."""
    code = """
import signal, subprocess
try:
    print("on", flush=True)
    subprocess.run(["sleep", "1000"])
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.read()
"""
    side = python(idle, code, stdin=True)
    idle.of_side(side, Output)
    time.sleep(0.2)
    idle.send(idle.connection.signal(signal.SIGINT, run=side))
    assert idle.of_side(side, Output).data == b"interrupted\n"
    assert processes(idle) == 3
    idle.send(idle.connection.stdin(b"", run=side))
    assert idle.finish_side(side).exited.exit_code == 0
    idle.send(idle.connection.signal(signal.SIGINT, run=side))  # after its end
    idle.alive()


def test_time_and_output_limits_of_a_side_run(idle: Supervisor) -> None:
    """They end it alone."""
    slow = idle.side(["sleep", "1000"], timeout=0.2)
    loud = idle.side(["sh", "-c", "yes"], output_limit=1000)
    assert idle.finish_side(slow).exited.ended is Ended.TIMEOUT
    ran = idle.finish_side(loud)
    assert (ran.exited.ended, len(ran.stdout)) == (Ended.OUTPUT_LIMIT, 1000)
    idle.alive()


def test_side_run_is_refused(idle: Supervisor) -> None:
    """With its number; the numbers of others stay."""
    for argv, directory, why in ((["no-such"], WORKSPACE, Why.PROGRAM), (["true"], "/nowhere", Why.CWD)):
        refused = idle.of_side(idle.side(argv, directory=directory), Exited, Refused)
        assert isinstance(refused, Refused)
        assert refused.why is why
    idle.put(b"../x", b"")
    refused = idle.of_side(idle.side(["true"]), Exited, Refused)
    assert isinstance(refused, Refused)
    assert refused.why is Why.PUT  # what was sent ahead is told to it
    idle.alive()


def test_as_many_side_runs_as_the_protocol_says(idle: Supervisor) -> None:
    """One more is refused; places are used again."""
    for _ in range(2):
        sides = [idle.side(["sh", "-c", "echo $0; exec sleep 1000", str(i)]) for i in range(MAX_SIDE)]
        assert [idle.of_side(side, Output).data for side in sides] == [b"%d\n" % i for i in range(MAX_SIDE)]
        idle.alive()
        for side in sides:
            idle.send(idle.connection.kill(run=side))
        for side in sides:
            assert idle.finish_side(side).exited.ended is Ended.KILLED
    idle.alive()


def test_client_that_takes_nothing_of_one_run_stops_that_one_only(idle: Supervisor) -> None:
    """The window of one is full; all others are heard."""
    flood = idle.side(["sh", "-c", "yes"])
    idle.listen(0.5)
    assert idle.shell("echo main").stdout == b"main\n"
    assert idle.finish_side(idle.side(["echo", "side"])).stdout == b"side\n"
    assert OUTPUT_WINDOW <= idle.received < OUTPUT_WINDOW + 80_000
    idle.events.clear()
    take(idle, flood, OUTPUT_WINDOW // 2)
    assert idle.of_side(flood, Output).data.startswith(b"y\n")
    idle.send(idle.connection.kill(run=flood))
    while isinstance(event := idle.of_side(flood, Output, Exited), Output):
        take(idle, flood, len(event.data))
    assert event.ended is Ended.KILLED


def test_more_taken_than_sent_is_an_error(idle: Supervisor) -> None:
    """A client that counts wrongly is told at once."""
    side = idle.side(["sleep", "1000"])
    take(idle, side, 1)
    assert "more of the output was taken than was sent" in idle.fatal()


def test_what_is_told_reaches_its_connection(idle: Supervisor) -> None:
    """Pieces and answers are told apart, also where both come at once; the main run is told as well."""
    code = """
a, b = connect(), connect()
send(a, b"a"); assert read(a) is None
send(b, b"b"); assert read(b) is None
print(read(b), read(a), read(a))
a.close()
time.sleep(0.1)
"""
    idle.start([PYTHON, "-c", _TALK + code])
    side = python(idle, code)
    for number in (0, side):
        for _ in range(2):
            message = idle.of_side(number, Message) if number else idle.wait(Message)
            assert message.data == (b"a" if message.connection == 1 else b"b")
        for connection, data in ((1, b"one"), (2, b"x" * 65000), (1, b"two")):
            idle.send(idle.connection.tell(connection, data, run=number))
        ran = idle.finish_side(side) if number else idle.finish()
        assert ran.stdout == b"b'" + b"x" * 65000 + b"' b'one' b'two'\n"
        assert Message(1, b"") in idle.skipped


def test_connection_that_reads_nothing_stops_only_its_own_sender(idle: Supervisor) -> None:
    """The window holds what it does not take, and is given back once it does."""
    code = """
deaf, other = connect(), connect()
send(deaf, b"deaf"); read(deaf)
send(other, b"other"); read(other)
while (got := read(other)) != b"go": pass
total = 0
while total < 400_000: total += len(read(deaf))
print(total, flush=True)
sys.stdin.read()
"""
    side = python(idle, code, stdin=True)
    idle.of_side(side, Message)
    idle.of_side(side, Message)
    sent = 0
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:  # until nothing of it is taken any more
        if idle.connection.tells(1, 10_000, run=side):
            idle.send(idle.connection.tell(1, b"d" * 10_000, run=side))
            sent += 10_000
        else:
            idle.listen(0.05)
    assert TELL_WINDOW - 10_004 <= sent <= TELL_WINDOW + 400_000
    for _ in range(50):
        idle.send(idle.connection.tell(2, b"o" * 1000, run=side))
    idle.send(idle.connection.tell(2, b"go", run=side))
    while sent < 400_000:
        while not idle.connection.tells(1, 10_000, run=side):
            idle.of_side(side, Told)
        idle.send(idle.connection.tell(1, b"d" * 10_000, run=side))
        sent += 10_000
    assert idle.of_side(side, Output).data == b"%d\n" % max(sent, 400_000)
    idle.send(idle.connection.stdin(b"", run=side))
    idle.finish_side(side)


def test_more_told_than_the_window_holds_is_an_error(idle: Supervisor) -> None:
    """Nothing piles up in the supervisor."""
    side = python(idle, "deaf = connect(); send(deaf, b'x'); time.sleep(1000)")
    idle.of_side(side, Message)
    idle.connection._flows[side].told[1] = 10**7
    piece = (1).to_bytes(4, "little") + b"d" * 60_000
    for _ in range(20):
        idle.send(frame(0x13, piece, run=side))
    assert "more is told to a connection than the window holds" in idle.fatal()


def test_connection_is_its_run_s_whatever_it_says(idle: Supervisor) -> None:
    """The kernel tells whose it is, also of a process that has left its session; nobody hears of another's."""
    code = """
if os.fork() == 0:
    os.setsid()
    sock = connect()
    send(sock, b"NAME")
    read(sock)
    os._exit(0)
os.wait()
"""
    first, second = (python(idle, code.replace("NAME", name)) for name in ("first", "second"))
    idle.start([PYTHON, "-c", _TALK + code.replace("NAME", "main")])
    idle.finish()
    assert Message(1, b"main") in idle.skipped
    assert not {Message(1, b"first"), Message(1, b"second")} & set(idle.skipped)
    for side, name in ((first, b"first"), (second, b"second")):
        idle.finish_side(side)
        assert Message(1, name) in idle.skipped


def test_flood_of_connections_of_one_run_leaves_room_for_others(idle: Supervisor) -> None:
    """Its own further ones are closed."""
    flood = python(
        idle,
        """
held = []
while len(held) < 500:
    try: held.append(connect())
    except OSError: pass
print("on", flush=True)
time.sleep(1000)
""",
    )
    idle.of_side(flood, Output)
    side = python(idle, "sock = connect(); send(sock, b'heard'); read(sock)")
    assert idle.of_side(side, Message).data == b"heard"
    idle.finish_side(side)
    idle.send(idle.connection.kill(run=flood))
    idle.finish_side(flood)
    idle.python(_TALK + "sock = connect(); send(sock, b'main'); read(sock)")
    assert Message(1, b"main") in idle.skipped


def test_reset_ends_side_runs(idle: Supervisor) -> None:
    """Each is told, then that the container is clean; their numbers and marks mean nothing any more."""
    sides = [idle.side(["sh", "-c", "echo x > f; sleep 1000 & exec sleep 1000"]) for _ in range(3)]
    time.sleep(0.2)
    assert idle.reset() == ""
    for side in sides:
        assert idle.of_side(side, Exited).ended is Ended.KILLED
    assert idle.shell("ls; set -- /proc/[0-9]*; echo $#").stdout == b"2\n"
    idle.start(["sh", "-c", "exit 0"], flags=Flag.LAST, reset=Reset(5000, UID))
    idle.finish()
    assert idle.wait(Clean).verdict is Verdict.OK


def test_number_in_use_is_an_error(idle: Supervisor) -> None:
    """And so is a reset, or a list, with a number."""
    side = idle.side(["sleep", "1000"])
    idle.connection._flows.clear()
    idle.connection._last_number = side - 1
    idle.side(["true"])
    assert "a second run" in idle.fatal()


@pytest.mark.parametrize("kind", [0x09, 0x0A, 0x02])
def test_frame_that_is_of_no_run_has_no_number(idle: Supervisor, kind: int) -> None:
    """Nothing is guessed."""
    idle.send(frame(kind, run=5))
    assert "of the run 5" in idle.fatal()


def test_frames_for_a_run_that_has_ended_are_ignored(idle: Supervisor) -> None:
    """They were on their way."""
    for kind, payload in ((0x07, b"x"), (0x08, b""), (0x12, b"\x02\0\0\0"), (0x13, b"\1\0\0\0x"), (0x14, b"\1\0\0\0")):
        idle.send(frame(kind, payload, run=77))
    idle.alive()


def test_pipe_that_another_run_holds_keeps_no_end_back(idle: Supervisor) -> None:
    """And is no fault of the run whose pipe it was."""
    holder = python(idle, "print(os.getpid(), flush=True); sys.stdin.read()", stdin=True)
    pid = int(idle.of_side(holder, Output).data)
    side = python(
        idle,
        f"""
print("x", flush=True)
held = os.open("/proc/{pid}/fd/1", os.O_WRONLY)
sys.stdin.read()
""",
        stdin=True,
    )
    idle.of_side(side, Output)
    idle.send(idle.connection.kill(run=holder))
    exited = idle.finish_side(holder).exited
    assert (exited.ended, exited.unclean) == (Ended.KILLED, False)
    idle.send(idle.connection.stdin(b"", run=side))
    assert not idle.finish_side(side).exited.unclean


def test_changes_since_a_mark(idle: Supervisor) -> None:
    """What side runs change can be listed, too."""
    side = idle.side(["sh", "-c", "while read x; do echo $x > $x; echo done; done"], flags=Flag.STDIN)
    for name in (b"a", b"b"):
        idle.send(idle.connection.mark())
        idle.send(idle.connection.stdin(name + b"\n", run=side))
        idle.of_side(side, Output)
        idle.send(idle.connection.list_files(changed=True))
        idle.wait(Ready)
        (files,) = idle.skipped
        assert isinstance(files, Files)
        assert files.entries == ((2, name),)
    idle.send(idle.connection.stdin(b"", run=side))
    idle.finish_side(side)


def test_side_runs_from_the_zygote(supervisor: Supervisor) -> None:
    """Forked like a main run, any number at once; each end is told of the right one."""
    boot(supervisor, FORK)
    code = b"import os, sys; print(os.getgroups(), flush=True); sys.exit(int(sys.stdin.readline()))"
    supervisor.put(b"side.py", code)
    sides = [supervisor.side([f"{WORKSPACE}/side.py"], flags=Flag.BOOTED | Flag.STDIN) for _ in range(8)]
    groups = {supervisor.of_side(side, Output).data for side in sides}
    assert len(groups) == 8
    assert run(supervisor, FORK, FORK.one).stdout == b"1\n"
    supervisor.put(b"main.py", b"print(input())")
    supervisor.start([f"{WORKSPACE}/main.py"], flags=Flag.BOOTED | Flag.STDIN)
    late = supervisor.side([f"{WORKSPACE}/side.py"], flags=Flag.BOOTED | Flag.STDIN)
    supervisor.of_side(late, Output)
    for status, side in enumerate([*sides, late]):
        supervisor.send(supervisor.connection.stdin(b"%d\n" % status, run=side))
    for status, side in reversed(list(enumerate([*sides, late]))):
        assert supervisor.finish_side(side).exited.exit_code == status
    supervisor.send(supervisor.connection.stdin(b"end\n"))
    assert supervisor.finish().stdout == b"end\n"
    assert run(supervisor, FORK, FORK.one).stdout == b"1\n"


def test_side_runs_outlive_their_zygote(supervisor: Supervisor) -> None:
    """They become ours; the next one has another parent."""
    boot(supervisor, FORK)
    supervisor.put(b"side.py", b"import sys; print(1, flush=True); sys.exit(int(sys.stdin.readline()))")
    side = supervisor.side([f"{WORKSPACE}/side.py"], flags=Flag.BOOTED | Flag.STDIN)
    supervisor.of_side(side, Output)
    (zygote,) = [pid for pid in supervisor.children() if Path(f"/proc/{pid}/status").read_text().find("Uid:\t0\t") > 0]
    with supervisor.intruder(["/bin/sh", "-c", f"echo; kill -9 {zygote}"], namespaces=("--mount",)):
        until(lambda: zygote not in supervisor.children())
    assert run(supervisor, FORK, FORK.one).stdout == b"1\n"
    supervisor.send(supervisor.connection.stdin(b"7\n", run=side))
    assert supervisor.finish_side(side).exited.exit_code == 7


def test_side_runs_beside_an_interpreter_that_is_used_once(supervisor: Supervisor) -> None:
    """It is not parked within the reach of a side run; a start that wants one waits for it."""
    boot(supervisor, SINGLE)
    side = supervisor.side(["sh", "-c", "echo on; while read x; do pkill node; echo $x; done"], flags=Flag.STDIN)
    supervisor.of_side(side, Output)
    for _ in range(4):
        assert run(supervisor, SINGLE, SINGLE.one).stdout == b"1\n"
        supervisor.send(supervisor.connection.stdin(b"more\n", run=side))
        assert supervisor.of_side(side, Output).data == b"more\n"
    supervisor.send(supervisor.connection.kill(run=side))
    supervisor.finish_side(side)
    assert run(supervisor, SINGLE, SINGLE.one).stdout == b"1\n"


def test_thousand_side_runs_one_after_another(supervisor: Supervisor) -> None:
    """No descriptor, process or place stays."""
    boot(supervisor, FORK)
    before = len(list(Path(f"/proc/{supervisor.host_pid}/fd").iterdir()))
    code = _TALK.encode() + b"sock = connect(); send(sock, b'x'); read(sock)"
    supervisor.put(b"side.py", code)
    for _ in range(250):
        sides = [supervisor.side([f"{WORKSPACE}/side.py"], flags=Flag.BOOTED) for _ in range(2)]
        sides += [supervisor.side(["true"]) for _ in range(2)]
        for side in sides:
            assert supervisor.finish_side(side).exited.exit_code == 0
    assert supervisor.reset() == ""
    supervisor.start(["true"])
    supervisor.finish()
    assert len(list(Path(f"/proc/{supervisor.host_pid}/fd").iterdir())) <= before + 6
