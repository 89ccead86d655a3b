"""``interpreter-tools run``: the program's streams and status are the command's own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import ExecutionResult

from .command import COMMAND, ENVIRONMENT, call, start

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker


def test_streams_and_status_pass_through():
    """Byte for byte, also what is not UTF-8."""
    code = "import sys; sys.stdout.buffer.write(b'out\\xff\\n'); sys.stderr.write('err\\n'); raise SystemExit(7)"
    done = call("run", "--code", code)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\xff\n", b"err\n", 7)


def test_piped_input_reaches_the_program():
    """Whole, then its end."""
    done = call("run", "-c", "import sys; print(len(sys.stdin.buffer.read()))", stdin=b"x" * 3_000_000)
    assert (done.stdout, done.returncode) == (b"3000000\n", 0)


def test_input_from_a_file_reaches_the_program(tmp_path: Path):
    """Files, and devices such as /dev/null, cannot be waited for as pipes can."""
    (tmp_path / "in.txt").write_bytes(b"hello\n")
    for path, expected in ((tmp_path / "in.txt", b"'hello\\n'\n"), ("/dev/null", b"''\n")):
        with open(path, "rb") as source:  # noqa: PTH123
            command = [*COMMAND, "run", "-c", "import sys; print(repr(sys.stdin.read()))"]
            done = subprocess.run(command, stdin=source, capture_output=True, check=True, env=ENVIRONMENT, timeout=60)
        assert done.stdout == expected


def test_input_that_stays_open_does_not_hold_the_end_up():
    """As on a terminal where nobody types."""
    with start("run", "-c", "print('done')") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"
        assert process.wait(10) == 0


def test_output_is_there_before_the_program_ends():
    """Streamed, not collected."""
    with start("run", "-c", "print('first', flush=True); input(); print('last')") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"first\n"
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read() == b"last\n"


def test_program_comes_from_a_file_a_pipe_or_a_dash(tmp_path: Path):
    """Its language from the suffix or the first line."""
    script = tmp_path / "hello.js"
    script.write_text("console.log('from js')")
    assert call("run", str(script)).stdout == b"from js\n"
    for arguments in (("run", "-"), ("run",)):
        assert call(*arguments, stdin=b"#!/bin/bash\necho from ${BASH_VERSION:0:1}\n").stdout == b"from 5\n"


def test_files_and_variables_go_into_the_sandbox(tmp_path: Path):
    """A variable without a value takes this shell's."""
    (tmp_path / "local.bin").write_bytes(b"\x00data")
    code = "import os; print(open('in/data', 'rb').read(), os.environ['A'], os.environ['B'])"
    done = call(
        *("run", "-c", code, "--file", f"in/data={tmp_path}/local.bin", "-e", "A=1", "--env", "B"),
        environment={"B": "2", "SECRET": "x"},
    )
    assert done.stdout == b"b'\\x00data' 1 2\n"


def test_json_is_the_whole_result():
    """As the library gives it."""
    done = call("run", "-c", "print('hi'); raise SystemExit(3)", "--json")
    result = msgspec.json.decode(done.stdout, type=ExecutionResult)
    assert (result.stdout, result.exit_code, result.outcome) == ("hi\n", 3, "error")
    assert done.returncode == 3


def test_limits_end_the_program_and_say_so():
    """On stderr, with the status that a killed program has."""
    slow = call("run", "-c", "while True: pass", "--timeout", "0.5")
    assert (slow.returncode, slow.stderr) == (137, b"interpreter-tools run: ended: it ran longer than --timeout\n")
    large = call("run", "-c", "bytearray(1 << 30)", "--memory", "128m")
    assert large.returncode == 137
    assert b"--memory" in large.stderr


def test_reader_that_goes_away_ends_the_program():
    """As SIGPIPE would."""
    with start("run", "-c", "while True: print('y' * 1000)") as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 141


def test_interrupt_ends_the_program_and_us():
    """With the status that shells know, and no traceback."""
    with start("run", "-c", "import time; print('up', flush=True); time.sleep(60)") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - started < 5
        assert process.stderr.read() == b""


def test_terminal_can_be_typed_at():
    """A prompt appears before its answer."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(COMMAND[0], [*COMMAND, "run", "-c", "print('hi', input('name? '))"], ENVIRONMENT)
    seen = b""
    while b"name? " not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"bob\n")
    while b"hi bob" not in seen:
        seen += os.read(terminal, 1000)
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)  # not before: it would hang up
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("run", "/nonexistent.py"), 125, b"/nonexistent.py: No such file or directory"),
        (("run", "-c", "1", "-l", "cobol"), 125, b"unknown language 'cobol'"),
        (("run", "-c", "1", "--file", "x"), 125, b"give PATH=LOCAL"),
        (("run", "-c", "1", "--memory", "lots"), 125, b"is not a size"),
        (("run", "-c", "1", "--image", "interpreter-tools-test/none:1"), 125, b"there is no image"),
        (("run", "x.py", "-c", "1"), 2, b"give either"),
        (("run", "-c", "1", "--docker-host", "unix:///nonexistent.sock"), 125, b"no Docker engine answers"),
    ],
)
def test_what_cannot_run_is_told_in_words(arguments: tuple[str, ...], status: int, words: bytes):
    """125 as `docker run` has it, so that nothing is mistaken for the program's own status; never a traceback."""
    done = call(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert b"Traceback" not in done.stderr
