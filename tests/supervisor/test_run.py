"""One run: how it starts, what it holds, how it ends."""

from __future__ import annotations

import errno
import hashlib
import signal
import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._protocol import Credit, Output, Refused, Start, encode
from interpreter_tools._protocol.constants import STDIN_WINDOW, Ended, Flag, Frame, Why
from tests.supervisor.harness import PYTHON, UID, WORKSPACE, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

# -- start


def test_run_is_the_users_and_powerless(idle: Supervisor) -> None:
    """User and group of the run, no other groups, no capabilities, and no way to gain any."""
    lines = idle.shell("cat /proc/self/status").stdout.decode().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == status["Gid"].split() == [str(UID)] * 4
    assert status["Groups"].strip() == ""
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert {status["SigBlk"], status["SigIgn"]} == {"0" * 16}


def test_program_gets_its_variables_and_no_others(idle: Supervisor) -> None:
    """Nothing of the supervisor's own leaks, however the values look."""
    environment = {"A": "1", "EMPTY": "", "TEXT": "a=b\n\u00fc\udcff"}
    stdout = idle.run(["/usr/bin/env", "-0"], environment=environment).stdout
    assert stdout == b"A=1\0EMPTY=\0TEXT=a=b\n\xc3\xbc\xff\0"


def test_arguments_arrive_as_they_are(idle: Supervisor) -> None:
    """No shell looks at them."""
    words = ["", " ", "$HOME", "*", "a\nb", "\u00e9\udcfe", "-n"]
    stdout = idle.run(["/usr/bin/printf", "%s|", *words]).stdout
    assert stdout == "|".join([*words, ""]).encode("utf-8", "surrogateescape")


def test_program_holds_three_descriptors(idle: Supervisor) -> None:
    """Its stdin, stdout and stderr; with no stream of ours in reach it can forge no frame."""
    assert idle.run(["ls", "/proc/self/fd"]).stdout == b"0\n1\n2\n3\n"  # the last one is the directory itself
    assert idle.shell('echo a > /dev/stdout; echo b > "/proc/self/fd/2"').stderr == b"b\n"


def test_merged_output_is_one_pipe(idle: Supervisor) -> None:
    """What the program and its children write to stderr comes as stdout, in the order of writing."""
    ran = idle.shell("for i in 1 2 3 4; do echo o$i; sh -c 'echo e$0 >&2' $i; done", flags=Flag.MERGED)
    assert (ran.stdout, ran.stderr) == (b"o1\ne1\no2\ne2\no3\ne3\no4\ne4\n", b"")


def test_frames_that_a_program_writes_are_output(idle: Supervisor) -> None:
    """To whatever descriptor there could be."""
    frame = encode.frame(Frame.EXIT, bytes(48))
    code = "import os\nfor fd in range(1024):\n    try: os.write(fd, FRAME)\n    except OSError: pass"
    ran = idle.python(code.replace("FRAME", repr(frame)))
    assert ran.stdout == ran.stderr == frame


def test_name_is_looked_up_in_the_supervisors_own_path(binary: Path) -> None:
    """A program's PATH, or a file in the workspace, replaces no interpreter; relative parts are skipped."""
    with Supervisor(binary, path=f"::relative:{WORKSPACE}/missing:/usr/bin:/bin") as supervisor:
        supervisor.boot()
        supervisor.put(b"id", b"#!/bin/sh\necho fake\n", mode=0o755)
        ran = supervisor.run(["id", "-u"], environment={"PATH": WORKSPACE})
        assert ran.stdout == b"%d\n" % UID


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("missing", errno.ENOENT),
        ("/missing", errno.ENOENT),
        (f"{WORKSPACE}/plain", errno.EACCES),
        (f"{WORKSPACE}/broken", errno.ENOEXEC),
        (f"{WORKSPACE}/interpreterless", errno.ENOENT),
        (f"{WORKSPACE}/plain/below", errno.ENOTDIR),
    ],
)
def test_program_that_cannot_start_is_refused(idle: Supervisor, program: str, error: int) -> None:
    """With the kernel's reason; the next run is not concerned."""
    idle.put(b"plain", b"")
    idle.put(b"broken", b"neither text nor ELF\0", mode=0o755)
    idle.put(b"interpreterless", b"#!/missing\n", mode=0o755)
    assert idle.refusal([program]) == Refused(Why.PROGRAM, error, program.encode())
    idle.alive()


@pytest.mark.parametrize(
    ("directory", "error"),
    [("/missing", errno.ENOENT), ("/etc/passwd", errno.ENOTDIR), ("/root", errno.EACCES), ("", errno.ENOENT)],
)
def test_directory_that_cannot_be_entered_is_refused(idle: Supervisor, directory: str, error: int) -> None:
    """It is asked for as the run's user, not as root."""
    assert idle.refusal(["true"], directory=directory) == Refused(Why.CWD, error, directory.encode())
    assert idle.run(["pwd"], directory="/usr/lib").stdout == b"/usr/lib\n"


def test_largest_start_that_fits(idle: Supervisor) -> None:
    """Thousands of arguments and variables, up to a frame's 64 KiB."""
    environment = {f"V{number}": "x" for number in range(2000)}
    ran = idle.run(["sh", "-c", 'echo $# $(env | grep -c "^V"); exit 3', *["y"] * 4000], environment=environment)
    assert (ran.stdout, ran.exited.exit_code) == (b"3999 2000\n", 3)


# -- end


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code(idle: Supervisor, code: int) -> None:
    """As the program gave it."""
    exited = idle.shell(f"exit {code}").exited
    assert (exited.ended, exited.exit_code, exited.signal, exited.unclean) == (Ended.EXITED, code, 0, False)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL, signal.SIGXCPU])
def test_end_by_signal(idle: Supervisor, number: signal.Signals) -> None:
    """The signal is told, and no core file is left."""
    ran = idle.shell(f"kill -{int(number)} $$")
    assert (ran.exited.ended, ran.exited.exit_code, ran.exited.signal) == (Ended.EXITED, -1, number)
    assert ran.files == {}


def test_usage_is_measured(idle: Supervisor) -> None:
    """Wall-clock time, processor time and memory, in microseconds and bytes."""
    ran = idle.python("x = bytearray(50_000_000)\nfor i in range(1_000_000): pass\nimport time; time.sleep(0.2)")
    assert 200_000 <= ran.exited.wall_us < 10_000_000
    assert ran.exited.cpu_us > 5_000
    assert 50_000_000 < ran.exited.peak_memory < 1_000_000_000


@pytest.mark.parametrize(
    "script",
    [
        "while :; do :; done",
        "sleep 1000",
        "trap '' TERM INT XCPU HUP; while :; do :; done",
        "kill -STOP $$",
        "f() { f | f & }; f; sleep 1000",  # a bomb, as far as the limit of processes lets it
        "exec >&- 2>&-; sleep 1000",
    ],
)
def test_time_limit(idle: Supervisor, script: str) -> None:
    """Ends every kind of program soon after it is over, and what it started too."""
    before = time.monotonic()
    limit = "ulimit -p 60 2> /dev/null || ulimit -u 60"  # dash, and other shells
    exited = idle.shell(f"{limit}; {script}", timeout=0.3).exited
    assert time.monotonic() - before < 5
    assert (exited.ended, exited.exit_code, exited.signal) == (Ended.TIMEOUT, -1, signal.SIGKILL)
    assert exited.wall_us >= 300_000
    assert not exited.unclean
    idle.alive()


def test_program_that_ends_in_time_is_not_a_timeout(idle: Supervisor) -> None:
    """Also when its output is only read later."""
    idle.start(["sh", "-c", "yes | head -c 200000"], timeout=1)
    time.sleep(1.5)
    ran = idle.finish()
    assert (ran.exited.ended, ran.exited.exit_code, len(ran.stdout)) == (Ended.EXITED, 0, 200_000)


def test_kill_by_the_client(idle: Supervisor) -> None:
    """Ends the program and what it started; a second one, or one too late, does nothing."""
    idle.start(["sh", "-c", "sleep 1000 & sleep 1000"])
    idle.send(idle.connection.kill() * 2)
    exited = idle.finish().exited
    assert (exited.ended, exited.signal) == (Ended.KILLED, signal.SIGKILL)
    idle.send(encode.frame(Frame.KILL))
    idle.alive()


def test_daemon_that_holds_stdout_dies_with_the_program(idle: Supervisor) -> None:
    """The run ends at once, and the daemon is dead before its end is told."""
    before = time.monotonic()
    ran = idle.shell("(setsid sh -c '(sleep 1000; echo late) &') ; echo early")
    assert time.monotonic() - before < 5
    assert ran.stdout == b"early\n"
    assert idle.children() == []


def test_orphans_are_buried(idle: Supervisor) -> None:
    """No zombie is left, neither meanwhile nor afterwards."""
    ran = idle.shell("for i in 1 2 3 4 5 6 7 8; do (true & true &) ; done; sleep 0.3; cat /proc/[0-9]*/stat")
    assert b") Z " not in ran.stdout
    assert idle.children() == []


def test_program_that_kills_all_it_can_leaves_the_supervisor(idle: Supervisor) -> None:
    """PID 1 is root's, so the user's signals do not reach it."""
    ran = idle.shell(
        "kill -9 1; kill -TERM 1; kill -STOP 1; kill -9 -1; cat /proc/1/environ /proc/1/mem; ls /proc/1/fd"
    )
    assert ran.stdout == b""
    assert ran.stderr.lower().count(b"not permitted") >= 3
    assert ran.stderr.count(b"Permission denied") == 3
    idle.alive()


# -- output


def test_every_byte_arrives(idle: Supervisor) -> None:
    """All values, on both streams, right before the end."""
    ran = idle.python("import os\nb = bytes(range(256)) * 1000\nos.write(1, b); os.write(2, b[::-1]); os._exit(0)")
    assert ran.stdout == bytes(range(256)) * 1000
    assert ran.stderr == ran.stdout[::-1]


def test_output_limit_lets_exactly_that_much_through(idle: Supervisor) -> None:
    """The limit itself is still within it."""
    ran = idle.shell("head -c 100000 /dev/zero", output_limit=100_000)
    assert (len(ran.stdout), ran.exited.ended, ran.exited.exit_code) == (100_000, Ended.EXITED, 0)


@pytest.mark.parametrize("script", ["head -c 100001 /dev/zero", "yes", "cat /dev/zero", "yes >&2"])
def test_output_beyond_the_limit_ends_the_run(idle: Supervisor, script: str) -> None:
    """One byte more is enough; what is passed on is the limit, to the byte."""
    ran = idle.shell(script, output_limit=100_000)
    assert len(ran.stdout) + len(ran.stderr) == 100_000
    assert ran.exited.ended is Ended.OUTPUT_LIMIT
    idle.alive()


def test_output_limit_counts_both_streams(idle: Supervisor) -> None:
    """Together, not each."""
    ran = idle.shell("head -c 60 /dev/zero; head -c 60 /dev/zero >&2", output_limit=100)
    assert (len(ran.stdout) + len(ran.stderr), ran.exited.ended) == (100, Ended.OUTPUT_LIMIT)


def test_reader_that_waits_makes_the_program_wait(idle: Supervisor) -> None:
    """Nothing piles up in the supervisor; and it hears a kill all the same."""
    idle.start(["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); done"])
    time.sleep(0.5)
    idle.send(idle.connection.kill())
    before = idle.received
    ran = idle.finish()
    assert ran.exited.ended is Ended.KILLED
    assert idle.received - before < 1 << 20
    assert ran.stdout.startswith(b"0\n1\n2\n")
    assert len(ran.stdout) < 1 << 20


# -- stdin


def test_stdin_is_at_its_end_unless_asked_for(idle: Supervisor) -> None:
    """A program that reads does not hang."""
    assert idle.run(["cat"]).stdout == b""


def test_stdin_arrives_whole_through_the_window(idle: Supervisor) -> None:
    """A megabyte, no more of it on its way than the program makes room for."""
    data = bytes(range(256)) * 4096
    idle.start(["sha256sum"], flags=Flag.STDIN)
    left = data
    while left:
        room = idle.connection.stdin_room
        idle.send(idle.connection.stdin(left[:room]))
        left = left[room:]
        if not idle.connection.stdin_room:
            idle.poll()
    idle.send(idle.connection.stdin(b""))
    assert idle.finish().stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_stdin_that_nobody_reads_waits(idle: Supervisor) -> None:
    """What the pipe holds is taken, the window after that is all that a client may send."""
    idle.start(["sleep", "1000"], flags=Flag.STDIN)
    idle.send(idle.connection.stdin(b"x" * idle.connection.stdin_room))
    assert idle.wait(Credit).count == STDIN_WINDOW
    idle.send(idle.connection.stdin(b"x" * idle.connection.stdin_room))
    assert idle.silent()
    assert idle.connection.stdin_room == 0
    idle.send(idle.connection.kill())
    assert idle.finish().exited.ended is Ended.KILLED


def test_stdin_for_a_program_that_closed_it_is_dropped(idle: Supervisor) -> None:
    """And counted as taken, as a pipe does to a writer who ignores SIGPIPE."""
    idle.start(["sh", "-c", "exec <&-; echo closed; sleep 0.5"], flags=Flag.STDIN)
    idle.wait(Output)
    for _ in range(10):
        idle.send(idle.connection.stdin(b"x" * idle.connection.stdin_room))
        idle.poll()
    assert idle.finish().exited.exit_code == 0


def test_conversation_with_a_program(idle: Supervisor) -> None:
    """Line by line."""
    idle.start(["sh", "-c", 'while read -r line; do echo "<$line>"; done; echo end'], flags=Flag.STDIN)
    for word in (b"one", b"two"):
        idle.send(idle.connection.stdin(word + b"\n"))
        assert idle.wait(Output).data == b"<%s>\n" % word
    idle.send(idle.connection.stdin(b""))
    assert idle.finish().stdout == b"end\n"


def test_what_follows_at_once_is_not_held_back(idle: Supervisor) -> None:
    """Whatever else happens at the moment in which the gathering of output ends."""
    rounds = 4000
    code = f"""
import os
for _ in range({rounds}):
    os.write(1, b"a")
    os.read(0, 1)
    os.write(1, b"b")
    os.read(0, 1)
"""
    idle.start([PYTHON, "-c", code], flags=Flag.STDIN)
    for number in range(rounds):
        assert idle.wait(Output).data == b"a"
        due = time.perf_counter_ns() + 150_000 + number % 200 * 500
        while time.perf_counter_ns() < due:
            pass
        idle.send(idle.connection.stdin(b"."))
        assert idle.wait(Output).data == b"b"
        idle.send(idle.connection.stdin(b"."))
    assert idle.finish().exited.exit_code == 0


def test_stdin_sent_with_the_start(idle: Supervisor) -> None:
    """A client does not have to wait for the start to be answered."""
    start = idle.connection.start(Start(["cat"], {}, uid=UID, flags=Flag.STDIN, directory="/"))
    idle.send(start + idle.connection.stdin(b"early") + idle.connection.stdin(b""))
    assert idle.finish().stdout == b"early"
