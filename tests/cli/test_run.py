"""``interpreter-tools run``: the program's streams and status are the command's own."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import socket
import subprocess
import time
import zipfile
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
    """A variable without a value takes this shell's; a file without another name keeps its own."""
    (tmp_path / "local.bin").write_bytes(b"\x00data")
    code = (
        "import os; print(open('in/data', 'rb').read(), os.environ['A'], os.environ['B'], os.path.getsize('local.bin'))"
    )
    done = call(
        *("run", "-c", code, "--file", f"in/data={tmp_path}/local.bin", "-f", f"{tmp_path}/local.bin"),
        *("-e", "A=1", "--env", "B"),
        environment={"B": "2", "SECRET": "x"},
    )
    assert done.stdout == b"b'\\x00data' 1 2 5\n"


def test_directories_go_into_the_sandbox(tmp_path: Path):
    """With all that is below them; local files that a program misses are named."""
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "a b.csv").write_bytes(b"1,2")
    program = tmp_path / "main.py"
    program.write_text("print(open('data/in/a b.csv').read())")
    for given in (f"{tmp_path}/data", f"data={tmp_path}/data", str(tmp_path)):
        name = "" if given != str(tmp_path) else f"{tmp_path.name}/"
        code = program.read_text().replace("data/", f"{name}data/")
        assert call("run", "-c", code, "--file", given).stdout == b"1,2\n"
    missed = call("run", str(program))
    assert missed.returncode == 1
    assert f"add --file 'data/in/a b.csv={tmp_path}/data/in/a b.csv'".encode() in missed.stderr


def test_json_is_the_whole_result():
    """As the library gives it."""
    done = call("run", "-c", "print('hi'); raise SystemExit(3)", "--json")
    result = msgspec.json.decode(done.stdout, type=ExecutionResult)
    assert (result.stdout, result.exit_code, result.outcome) == ("hi\n", 3, "error")
    assert done.returncode == 3


def test_limits_end_the_program_and_say_so():
    """On stderr, with the status that a killed program has."""
    slow = call("run", "-c", "while True: pass", "--timeout", "0.5")
    assert (slow.returncode, slow.stderr) == (124, b"interpreter-tools run: ended: it ran longer than --timeout\n")
    large = call("run", "-c", "bytearray(1 << 30)", "--memory", "128m")
    assert large.returncode == 137
    assert b"--memory" in large.stderr


def test_limits_of_processes_room_and_output():
    """Each reaches the sandbox."""
    code = (
        "import os, resource\n"
        "for found in map(os.statvfs, ('/workspace', '/tmp')): print(found.f_blocks * found.f_frsize)\n"
        "print(open('/sys/fs/cgroup/pids.max').read() if os.path.exists('/sys/fs/cgroup/pids.max')"
        " else open('/sys/fs/cgroup/pids/pids.max').read())\n"
    )
    done = call("run", "-c", code, "--workspace-size", "10m", "--tmp-size", "2m", "--pids", "50")
    assert done.stdout.split() == [b"10485760", b"2097152", b"50"]
    loud = call("run", "-c", "print('x' * 100_000)", "--output-limit", "1k")
    assert len(loud.stdout) == 1024
    assert loud.stderr == b"interpreter-tools run: ended: it wrote more than --output-limit\n"
    assert loud.returncode != 0


def test_output_has_no_limit_unless_one_is_given():
    """It is not kept in memory."""
    done = call("run", "-c", "print('x' * 20_000_000)")
    assert (len(done.stdout), done.returncode) == (20_000_001, 0)


def test_files_that_were_made_are_kept(tmp_path: Path):
    """Told on stderr; those that were given are not among them."""
    (tmp_path / "given").write_text("x")
    code = "import os; os.mkdir('d'); open('d/b.bin', 'wb').write(b'\\x00\\xff'); open('a.txt', 'w').write('a')"
    out = tmp_path / "new" / "out"
    done = call(
        "run", "-c", f"{code}; print('said'); raise SystemExit(4)", "-f", f"g={tmp_path}/given", "--out", str(out)
    )
    assert (done.returncode, done.stdout) == (4, b"said\n")
    assert done.stderr == f"interpreter-tools run: kept in {out}: a.txt, d/b.bin\n".encode()
    assert {str(path.relative_to(out)) for path in out.rglob("*")} == {"a.txt", "d", "d/b.bin"}
    assert (out / "d/b.bin").read_bytes() == b"\x00\xff"
    nothing = call("run", "-c", "print('said')", "--out", str(out))
    assert (nothing.returncode, nothing.stderr) == (
        0,
        b"interpreter-tools run: the program made no file, so none is kept\n",
    )


def test_mounts_are_read_only_unless_told(tmp_path: Path):
    """And archives are unpacked."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/x").write_text("seen")
    (tmp_path / "out").chmod(0o777)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("y", "unpacked")
    code = (
        "print(open('/in/x').read(), open('zipped/y').read())\n"
        "open('/out/z', 'w').write('written')\n"
        "open('/in/x', 'w')\n"
    )
    done = call(
        *("run", "-c", code, "--mount", f"{tmp_path}/in:/in", "--mount", f"{tmp_path}/out:/out:rw"),
        *("--mount", f"{tmp_path}/z.zip:zipped:zip"),
    )
    assert done.stdout == b"seen unpacked\n"
    assert b"Read-only file system" in done.stderr
    assert (tmp_path / "out/z").read_text() == "written"


_SERVER = """
import socket
server = socket.create_server(("", 8000))
print("up", flush=True)
server.accept()[0].sendall(b"hello")
"""


def test_port_is_reachable_where_it_is_told():
    """On loopback."""
    with start("run", "-c", _SERVER, "--network", "bridge", "--port", "8000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = process.stderr.readline().decode().strip()
        assert told.startswith("interpreter-tools run: port 8000 is 127.0.0.1:")
        assert process.stdout.readline() == b"up\n"
        with socket.create_connection(("127.0.0.1", int(told.rpartition(":")[2])), timeout=20) as connection:
            assert connection.recv(5) == b"hello"
        assert process.wait(20) == 0


def test_configuration_counts_and_options_come_before_it(tmp_path: Path):
    """Of a file, and of the environment."""
    settings = tmp_path / "settings.toml"
    settings.write_text('timeout = 0.5\n[container.environment]\nA = "file"\nB = "file"\n')
    variables = {"INTERPRETER_TOOLS_CONFIG": str(settings), "INTERPRETER_TOOLS_CONTAINER__PIDS_LIMIT": "60"}
    code = "import os; print(os.environ['A'], os.environ['B'])"
    done = call("run", "-c", code, "-e", "B=option", environment=variables)
    assert (done.stdout, done.stderr) == (b"file option\n", b"")
    assert call("run", "-c", "while True: pass", environment=variables).returncode == 124
    late = call("run", "-c", "import time; time.sleep(1); print('late')", "--timeout", "0", environment=variables)
    assert late.stdout == b"late\n"
    wrong = call("run", "-c", "1", environment={"INTERPRETER_TOOLS_CONTAINER__PIDS_LIMIT": "2"})
    assert (wrong.returncode, b"container.pids_limit" in wrong.stderr) == (2, True)


def test_json_takes_input_and_tells_what_was_made(tmp_path: Path):
    """Names that are not UTF-8, too."""
    code = "open(b'\\xff', 'w').write(input())"
    done = call("run", "-c", code, "--json", "--out", str(tmp_path / "out"), stdin=b"typed\n")
    result = msgspec.json.decode(done.stdout, type=ExecutionResult)
    assert result.generated_files == ("\\xff",)
    assert b"kept in " in done.stderr
    assert next((tmp_path / "out").iterdir()).read_text() == "typed"


def test_packages_reach_the_installer():
    """Which refuses what is none, before the code runs."""
    done = call("run", "-c", "print('ran')", "--dep", "not a requirement !")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"interpreter-tools run: --dep: 'not a requirement !' is not a requirement" in done.stderr


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
    ("closed", "stdout", "stderr"),
    [("<&-", b"1\n", b"2\n"), (">&-", b"", b"2\n"), ("2>&-", b"1\n", b""), ("<&- >&- 2>&-", b"", b"")],
)
def test_streams_that_the_caller_closed_are_let_be(closed: str, stdout: bytes, stderr: bytes):
    """Output goes nowhere then, and into no connection that has the same number."""
    line = shlex.join([*COMMAND, "run", "-c", "import sys; print(1); print(2, file=sys.stderr); sys.exit(5)"])
    done = subprocess.run(
        ["sh", "-c", f"{line} {closed}"], capture_output=True, check=False, timeout=120, env=ENVIRONMENT
    )
    assert (done.stdout, done.stderr, done.returncode) == (stdout, stderr, 5)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("run", "/nonexistent.py"), 2, b"/nonexistent.py: No such file or directory"),
        (("run", "-c", "1", "-l", "cobol"), 2, b"unknown language 'cobol'"),
        (("run", "-c", "1", "--file", "a=/nonexistent"), 2, b"/nonexistent: No such file"),
        (("run", "-c", "#!/usr/bin/rexx"), 2, b"'rexx' is named in the first line, and is no known language"),
        (("run", "-c", "1", "--memory", "lots"), 2, b"is not a size"),
        (("run", "-c", "1", "--mount", "x"), 2, b"give SOURCE:TARGET"),
        (("run", "-c", "1", "--mount", "/nonexistent:/x"), 2, b"/nonexistent"),
        (("run", "-c", "1", "--port", "80"), 2, b"add --network bridge"),
        (("run", "-c", "1", "--pids", "2"), 2, b"--pids: 2 is not"),
        (("run", "-c", "1", "--output-limit", "lots"), 2, b"is not a size"),
        (("run", "-c", "1", "--workspace-size", "9g"), 2, b"raise --memory, or lower --workspace-size, --tmp-size"),
        (("run", "-c", "1", "--image", "Bad Image"), 2, b"--image: 'Bad Image' is not a name of an image"),
        (("run", "-c", "1", "--image", "a/../b"), 2, b"--image: 'a/../b' is not a name of an image"),
        (("run", "-c", "1", "--out", "/etc/passwd"), 2, b"--out: '/etc/passwd' is a file, not a directory"),
        (("run", "-c", "1", "--out", "*.csv"), 2, b"--out: '*.csv' is a pattern, not a directory"),
        (("run", "-c", "1", "--config", "/nonexistent"), 2, b"--config: '/nonexistent' cannot be read"),
        (("run", "-c", "1", "-l", "pyton"), 2, b"did you mean 'python'?"),
        (("run", "-c", "1", "--image", "interpreter-tools-test/none:1"), 125, b"there is no image"),
        (("run", "-c", "1", "--docker-host", "unix:///nonexistent.sock"), 125, b"no Docker engine answers"),
    ],
)
def test_what_cannot_run_is_told_in_words(arguments: tuple[str, ...], status: int, words: bytes):
    """2 for the call, 125 for the sandbox as `docker run` has it, in the command's own words; never a traceback."""
    done = call(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert b"Traceback" not in done.stderr
