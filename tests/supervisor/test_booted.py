"""Runs in an interpreter booted ahead: Python that forks, and Node.js that is used once."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack

import pytest

from interpreter_tools._languages.node import JAVASCRIPT_BOOT
from interpreter_tools._languages.python import PYTHON as PYTHON_LANGUAGE
from interpreter_tools._protocol import Output, Ready, Refused, Reset, Start
from interpreter_tools._protocol.constants import BootMode, Ended, Flag, Why
from tests.supervisor.harness import PATIENCE, PYTHON, UID, WORKSPACE, Options, Ran, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable


class Interpreter(NamedTuple):
    """How it is booted, and the programs of these tests in its language."""

    mode: BootMode
    command: tuple[str, ...]
    file: str
    one: str
    leaves: str
    endless: str
    exits: str
    uid: str
    identity: str
    answer: str
    descriptors: str
    turns: str
    look: str


assert PYTHON_LANGUAGE.boot is not None
FORK = Interpreter(
    mode=BootMode.FORK,
    command=(PYTHON, *PYTHON_LANGUAGE.boot.command[1:]),
    file="main.py",
    one="print(1)",
    leaves="print(globals().get('x', 'new')); x = 1",
    endless="while True: pass",
    exits="import sys; sys.exit(CODE)",
    uid="import os; print(os.getuid())",
    identity="""
import os
print(os.getresuid(), os.getresgid(), os.getgroups(), os.getcwd(), dict(os.environ))
try:
    os.kill(1, 9)
except PermissionError:
    print("no")
""",
    answer=f"({UID}, {UID}, {UID}) ({UID}, {UID}, {UID}) [] {WORKSPACE} {{'A': 'b'}}\nno\n",
    descriptors="""
import os
for fd in os.listdir("/proc/self/fd"):
    try:
        print(fd, os.readlink("/proc/self/fd/" + fd).split(":")[0])
    except FileNotFoundError:
        pass  # the directory that was listed
""",
    turns="""
import os, subprocess, sys
for i in range(3):
    print("a")
    print("b", file=sys.stderr)
    os.write(1, b"c")
    os.write(2, b"d")
    subprocess.run(["sh", "-c", "echo e >&2"])
""",
    look="import os; print(','.join(sorted(os.listdir('.'))), open('file').read())",
)
SINGLE = Interpreter(
    mode=BootMode.SINGLE,
    command=("node", "-e", JAVASCRIPT_BOOT),
    file="main.js",
    one="console.log(1)",
    leaves="console.log(globalThis.x ?? 'new'); x = 1",
    endless="while (true);",
    exits="process.exit(CODE)",
    uid="console.log(process.getuid())",
    identity="""
console.log([process.getuid(), process.geteuid()], [process.getgid(), process.getegid()], process.getgroups(),
  process.cwd(), process.env);
try { process.kill(1, 9) } catch (error) { console.log(error.code) }
""",
    answer=f"[ {UID}, {UID} ] [ {UID}, {UID} ] [ {UID} ] {WORKSPACE} {{ A: 'b' }}\nEPERM\n",
    descriptors="""
const fs = require("fs");
for (const fd of fs.readdirSync("/proc/self/fd"))
  try { console.log(fd, fs.readlinkSync("/proc/self/fd/" + fd).split(":")[0]) } catch {}
""",
    turns="""
const fs = require("fs");
for (let i = 0; i < 3; i++) {
  console.log("a");
  console.error("b");
  fs.writeSync(1, "c");
  fs.writeSync(2, "d");
  require("child_process").spawnSync("sh", ["-c", "echo e >&2"], { stdio: "inherit" });
}
""",
    look="const fs = require('fs'); console.log(fs.readdirSync('.').sort().join(), fs.readFileSync('file', 'utf8'))",
)


@pytest.fixture(params=[FORK, SINGLE], ids=["fork", "single"])
def interpreter(request: pytest.FixtureRequest, supervisor: Supervisor) -> Interpreter:
    """Each of them, booted."""
    return boot(supervisor, request.param)


def boot(supervisor: Supervisor, interpreter: Interpreter) -> Interpreter:
    """Boots Python or Node.js, which must succeed."""
    assert supervisor.boot(interpreter.mode, interpreter.command, {"PATH": "/usr/bin:/bin"}) == Ready()
    return interpreter


def run(supervisor: Supervisor, interpreter: Interpreter, code: str, **options: Unpack[Options]) -> Ran:
    """Run code in the interpreter booted ahead."""
    supervisor.put(interpreter.file.encode(), code.encode(), uid=options.get("uid", UID))
    options["flags"] = options.get("flags", Flag(0)) | Flag.BOOTED
    return supervisor.run([f"{WORKSPACE}/{interpreter.file}"], **options)


def state(pid: int) -> str:
    """What proc(5) says that a process does: sleeps, for one."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until(right: Callable[[], bool]) -> None:
    """Wait for something that nobody tells."""
    deadline = time.monotonic() + PATIENCE
    while not right():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_booted_run_is_the_users(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """Its identity, directory and variables are the run's, and it cannot touch PID 1."""
    ran = run(supervisor, interpreter, interpreter.identity, environment={"A": "b"})
    assert ran.stdout.decode() == interpreter.answer


def test_booted_runs_follow_each_other(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """Each has an interpreter that no other has used; a start that comes too early waits for it."""
    for _ in range(4):
        assert run(supervisor, interpreter, interpreter.leaves).stdout == b"new\n"


def test_booted_run_holds_three_descriptors(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """A program can forge no frame: no stream of ours is within its reach."""
    output = run(supervisor, interpreter, interpreter.descriptors).stdout.decode()
    links = dict(line.split() for line in output.splitlines())
    assert [links.pop(fd) for fd in "012"] == ["pipe"] * 3
    own = {"anon_inode", "pipe", "/dev/null"} if interpreter is SINGLE else set[str]()  # of Node's event loop
    assert set(links.values()) <= own


def test_booted_run_merges_its_output(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """For one run: the next one has two pipes again."""
    merged = run(supervisor, interpreter, interpreter.turns, flags=Flag.MERGED)
    assert (merged.stdout, merged.stderr) == (b"a\nb\ncde\n" * 3, b"")
    apart = run(supervisor, interpreter, interpreter.turns)
    assert (apart.stdout, apart.stderr) == (b"a\nc" * 3, b"b\nde\n" * 3)
    output = run(supervisor, interpreter, interpreter.descriptors, flags=Flag.MERGED).stdout.decode()
    links = dict(line.split() for line in output.splitlines())
    assert [links.pop(fd) for fd in "012"] == ["pipe"] * 3


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_booted_exit_codes(supervisor: Supervisor, interpreter: Interpreter, code: int) -> None:
    """As the interpreter itself would exit."""
    exited = run(supervisor, interpreter, interpreter.exits.replace("CODE", str(code))).exited
    assert (exited.ended, exited.exit_code, exited.signal) == (Ended.EXITED, code, 0)


def test_booted_run_goes_first_when_memory_is_short(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """And cannot change that, nor can a program beside the interpreter."""
    file = "/proc/self/oom_score_adj"
    code = f"""
try:
    open("{file}", "w").write("999")
except PermissionError:
    print(open("{file}").read(), end="")
"""
    if interpreter is SINGLE:
        code = f"""
const fs = require("fs");
try {{ fs.writeFileSync("{file}", "999") }} catch (error) {{ process.stdout.write(fs.readFileSync("{file}")) }}
"""
    for _ in range(2):
        assert run(supervisor, interpreter, code).stdout == b"1000\n"
        assert supervisor.shell(f"echo 999 > {file} || cat {file}").stdout == b"1000\n"


def test_booted_run_that_never_ends_is_killed(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """And the next one finds an interpreter."""
    exited = run(supervisor, interpreter, interpreter.endless, timeout=0.2).exited
    assert (exited.ended, exited.exit_code, exited.signal) == (Ended.TIMEOUT, -1, signal.SIGKILL)
    assert run(supervisor, interpreter, interpreter.one).stdout == b"1\n"


def test_exec_beside_a_booted_interpreter(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """A run that is an exec, and kills all it can reach, changes nothing for the next booted one."""
    for _ in range(2):
        assert supervisor.shell("kill -9 -1; echo alone").stdout == b"alone\n"
        assert run(supervisor, interpreter, interpreter.one).stdout == b"1\n"


def test_reset_boots_for_the_next_user(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """The next run is another user's, in a fresh interpreter."""
    assert run(supervisor, interpreter, interpreter.uid, flags=Flag.LAST).stdout == b"%d\n" % UID
    assert supervisor.reset(uid=UID + 1) == ""
    assert run(supervisor, interpreter, interpreter.uid, uid=UID + 1).stdout == b"%d\n" % (UID + 1)


def test_reset_that_follows_by_itself(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """The end is told first; a start that is refused has no reset."""
    refused = supervisor.refusal(
        ["/workspace/x"], flags=Flag.BOOTED | Flag.LAST, directory="/x", reset=Reset(5000, 1001)
    )
    assert refused.why is Why.CWD
    for uid in range(UID, UID + 5):
        options: Options = {"uid": uid, "flags": Flag.LAST, "reset": Reset(5000, uid + 1)}
        assert run(supervisor, interpreter, interpreter.uid, **options).stdout == b"%d\n" % uid
        assert supervisor.verdict() == ""
    assert supervisor.shell("ls -A", uid=UID + 5).stdout == b""


def test_reset_before_any_run(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """A container in which no program ran is as new, and serves the next user."""
    supervisor.put(b"left", b"x")
    assert supervisor.reset(uid=UID + 1) == ""
    assert supervisor.shell("ls -A", uid=UID + 1).stdout == b""
    assert supervisor.refusal(["/workspace/x"], flags=Flag.BOOTED, uid=UID + 1, directory="/x").why is Why.CWD
    assert supervisor.reset(uid=UID + 2) == ""
    assert run(supervisor, interpreter, interpreter.uid, uid=UID + 2).stdout == b"%d\n" % (UID + 2)


def test_reset_in_the_middle(supervisor: Supervisor) -> None:
    """Only the last run can be followed by one."""
    supervisor.boot()
    supervisor.start(["true"], reset=Reset(5000, UID + 1))
    assert "a start with a reset that is not the last" in supervisor.fatal()


def test_dead_interpreter_is_booted_again(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """A program may have filled the memory; but when it happens time after time, something else is wrong."""
    parked = 1 if interpreter is FORK else 0  # children of a zygote

    def kill() -> int:
        until(lambda: [len(supervisor.children(child)) for child in supervisor.children()] == [parked])
        (child,) = supervisor.children()
        os.kill(child, signal.SIGKILL)
        return child

    def kill_and_wait() -> None:
        dead = kill()
        until(lambda: dead not in supervisor.children())

    for _ in range(4):
        kill_and_wait()
        assert run(supervisor, interpreter, interpreter.one).stdout == b"1\n"
    kill_and_wait()
    kill_and_wait()
    kill()
    assert "the interpreter booted ahead is gone" in supervisor.fatal()


@pytest.mark.parametrize("waits", [True, False], ids=["runs", "has-ended"])
def test_program_outlives_its_zygote(supervisor: Supervisor, waits: bool) -> None:
    """Its end is told all the same, and the next run has another zygote."""
    boot(supervisor, FORK)
    (zygote,) = supervisor.children()
    code = "import sys; print(1, flush=True); sys.stdin.read(); sys.exit(5)"
    supervisor.put(b"main.py", code.encode())
    supervisor.start([f"{WORKSPACE}/main.py"], flags=Flag.BOOTED | Flag.STDIN)
    supervisor.wait(Output)
    (program,) = supervisor.children(zygote)
    if waits:
        os.kill(zygote, signal.SIGKILL)
        until(lambda: program in supervisor.children())
    else:
        os.kill(zygote, signal.SIGSTOP)
        until(lambda: ") T " in Path(f"/proc/{zygote}/stat").read_text("ascii"))
    supervisor.send(supervisor.connection.stdin(b""))
    if not waits:
        until(lambda: ") Z " in Path(f"/proc/{program}/stat").read_text("ascii"))
        os.kill(zygote, signal.SIGKILL)
    exited = supervisor.finish().exited
    assert (exited.ended, exited.exit_code, exited.unclean) == (Ended.EXITED, 5, False)
    assert run(supervisor, FORK, FORK.one).stdout == b"1\n"


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd"])
def test_refused_start_does_not_cost_the_interpreter(
    supervisor: Supervisor, interpreter: Interpreter, program: str
) -> None:
    """The one that had to go for it is booted again."""
    for _ in range(3):
        assert supervisor.refusal([program]).why is Why.PROGRAM
        assert run(supervisor, interpreter, interpreter.one, timeout=10).stdout == b"1\n"


def test_start_without_descriptors_does_not_cost_the_interpreter(
    supervisor: Supervisor, interpreter: Interpreter
) -> None:
    """Neither pipes nor a process could be made; a moment later they can."""
    held = len(list(Path(f"/proc/{supervisor.host_pid}/fd").iterdir()))
    resource.prlimit(supervisor.host_pid, resource.RLIMIT_NOFILE, (held + 4, 4096))
    assert isinstance(supervisor.refusal(["true"]), Refused)
    resource.prlimit(supervisor.host_pid, resource.RLIMIT_NOFILE, (1024, 4096))
    assert run(supervisor, interpreter, interpreter.one, timeout=10).stdout == b"1\n"


def test_child_that_dies_before_its_run_is_replaced(supervisor: Supervisor) -> None:
    """Whether it waits alone or beside a program; at the third in a row, something is wrong."""
    boot(supervisor, FORK)
    (zygote,) = supervisor.children()

    def kill(*, ends: bool = False) -> None:
        until(lambda: len(supervisor.children(zygote)) == 1)
        (parked,) = supervisor.children(zygote)
        os.kill(parked, signal.SIGKILL)
        if not ends:  # else the zygote goes, too, and with it what could be read of its children
            until(lambda: parked not in supervisor.children(zygote))

    kill()
    supervisor.start(["sh", "-c", "read line; echo $line"], flags=Flag.STDIN)
    kill()
    supervisor.send(supervisor.connection.stdin(b"still here\n"))
    assert supervisor.finish().stdout == b"still here\n"
    assert run(supervisor, FORK, FORK.one).stdout == b"1\n"
    kill()
    kill()
    kill(ends=True)
    assert "the interpreter booted ahead is gone" in supervisor.fatal()


def test_start_on_a_dead_interpreter_leaves_no_file_behind(supervisor: Supervisor) -> None:
    """It is dead before it is handed the run, and nobody has noticed."""
    boot(supervisor, FORK)
    supervisor.shell("echo old > file")
    (zygote,) = supervisor.children()
    until(lambda: len(supervisor.children(zygote)) == 1 and state(zygote) == "S")  # it has told of its child
    (parked,) = supervisor.children(zygote)
    os.kill(zygote, signal.SIGSTOP)
    os.kill(parked, signal.SIGKILL)
    until(lambda: state(parked) == "Z")
    supervisor.send(supervisor.connection.put_for_run(b"file", b"brought\n", uid=UID))
    supervisor.start(["main.py"], flags=Flag.BOOTED)
    assert supervisor.wait(Refused).why is Why.RESOURCE
    os.kill(zygote, signal.SIGCONT)
    assert supervisor.shell("cat file; ls").stdout == b"old\nfile\n"


def test_booted_run_sees_nothing_of_what_its_files_replaced(supervisor: Supervisor, interpreter: Interpreter) -> None:
    """It begins once that is gone."""
    supervisor.shell(f"echo old > file; echo old > {interpreter.file}")
    supervisor.send(supervisor.connection.put_for_run(b"file", b"brought", uid=UID))
    supervisor.send(supervisor.connection.put_for_run(interpreter.file.encode(), interpreter.look.encode(), uid=UID))
    supervisor.start([f"{WORKSPACE}/{interpreter.file}"], flags=Flag.BOOTED)
    assert supervisor.finish().stdout == f"file,{interpreter.file} brought\n".encode()


def test_single_interpreter_is_gone_before_another_program_starts(supervisor: Supervisor) -> None:
    """It is the same user's, so that program could tamper with it."""
    boot(supervisor, SINGLE)
    names = supervisor.shell("cat /proc/[0-9]*/comm").stdout.split()
    assert names == [b"supervisor", b"sh"]


def test_no_interpreter_is_booted_after_the_last_run(supervisor: Supervisor) -> None:
    """Work that nobody would use would delay the next container."""
    boot(supervisor, SINGLE)
    run(supervisor, SINGLE, SINGLE.one, flags=Flag.LAST)
    time.sleep(0.1)
    assert supervisor.children() == []


def test_client_that_leaves_while_its_start_waits(supervisor: Supervisor) -> None:
    """The end of the stream is noticed though nothing is read from it."""
    boot(supervisor, SINGLE)
    run(supervisor, SINGLE, SINGLE.one)
    supervisor.send(supervisor.connection.start(Start(["main.js"], {}, uid=UID, flags=Flag.BOOTED)))
    assert supervisor.leave() == 0
