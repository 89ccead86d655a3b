"""Boxes: namespaces for the programs of one user, made in the container and thrown away by a reset."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._languages.python import PYTHON as PYTHON_LANGUAGE
from interpreter_tools._protocol import Exited, Fatal, Hello, Output, Ready, Refused, Reset
from interpreter_tools._protocol.constants import BootMode, Box, Flag
from tests.supervisor.harness import MOUNTS, PATIENCE, PYTHON, STORE, UID, WORKSPACE, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

BOXED = ("box", *MOUNTS)
assert PYTHON_LANGUAGE.boot is not None
ZYGOTE = (PYTHON, *PYTHON_LANGUAGE.boot.command[1:])


@pytest.fixture
def boxed(binary: Path) -> Iterator[Supervisor]:
    """A supervisor whose programs run in boxes, and which boots nothing."""
    with Supervisor(binary, mounts=BOXED) as supervisor:
        assert isinstance(supervisor.boot(), Ready)
        yield supervisor


@pytest.fixture
def forking(binary: Path) -> Iterator[Supervisor]:
    """A supervisor whose programs run in boxes, with a Python outside of them that forks."""
    with Supervisor(binary, mounts=BOXED) as supervisor:
        assert isinstance(supervisor.boot(BootMode.FORK, ZYGOTE, {"A": "b"}), Ready)
        yield supervisor


def run_code(supervisor: Supervisor, code: str, *, uid: int = UID, flags: Flag = Flag.LAST) -> str:
    """What Python prints in the interpreter booted ahead; it must end well."""
    supervisor.put(b"main.py", code.encode(), uid=uid)
    path = f"{WORKSPACE}/main.py"
    ran = supervisor.run([path], environment={"A": "b"}, uid=uid, flags=flags | Flag.BOOTED, timeout=20)
    assert ran.exited.exit_code == 0, ran.stderr.decode()
    return ran.stdout.decode()


def everybody(supervisor: Supervisor) -> list[int]:
    """All processes of the container, as the host numbers them."""
    found = [supervisor.host_pid]
    for pid in found:
        found += supervisor.children(pid)
    return found


# -- the greeting


def test_greeting_says_that_there_are_boxes(binary: Path) -> None:
    """The client relies on it: it never runs a program in such a container without."""
    with Supervisor(binary, mounts=BOXED) as supervisor:
        hello = supervisor.wait(Hello)
        assert (hello.box, hello.errno, hello.pid) == (Box.MADE, 0, 1)


def test_greeting_says_that_none_was_asked_for(supervisor: Supervisor) -> None:
    """As before."""
    assert supervisor.wait(Hello).box is Box.NONE


@pytest.mark.parametrize("powers", ["-all,+setuid,+setgid", "-all,+setuid,+setgid,+kill"])
def test_box_that_cannot_be_made_is_told_and_nothing_runs(binary: Path, powers: str) -> None:
    """The step and the reason; then the supervisor leaves, as it runs nothing outside of a box there."""
    with Supervisor(binary, mounts=BOXED, powers=powers) as supervisor:
        hello = supervisor.wait(Hello)
        assert (hello.box, hello.errno) == (Box.IDS, 1)
        assert "no sandbox can be made here" in supervisor.fatal()


def test_end_of_the_stream_ends_all_of_it(binary: Path) -> None:
    """Before the boot, and after it: PID 1, the keeper, the supervisor of the box, and the programs."""
    with Supervisor(binary, mounts=BOXED) as supervisor:
        supervisor.wait(Hello)
        assert supervisor.leave() == 0
    with Supervisor(binary, mounts=BOXED) as supervisor:
        supervisor.boot()
        supervisor.start(["sh", "-c", "echo; exec sleep 1000"])
        supervisor.wait(Output)
        pids = everybody(supervisor)
        assert len(pids) == 4  # no box is made ahead before the first reset
        assert supervisor.leave() == 0
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


# -- what a program sees


def test_program_sees_its_box_and_nothing_else(boxed: Supervisor) -> None:
    """Its processes, its files, its network; and no capability in any set."""
    code = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "me": os.getpid(), "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
    "powers": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
    "new": status["NoNewPrivs"], "filters": status["Seccomp_filters"],
    "files": [os.listdir(path) for path in PLACES], "links": sorted(os.listdir("/sys/class/net")),
    "unix": open("/proc/net/unix").read().split()[-1],
    "devices": open("/proc/net/dev").read().count(":"),
}))
""".replace("PLACES", repr([WORKSPACE, "/dev/shm"]))
    seen = json.loads(boxed.python(code).stdout)
    assert seen["processes"] == [1, seen["me"]]
    assert set(seen["ids"]) == {UID}
    assert seen["powers"] == [0, 0, 0, 0]
    assert (seen["new"], seen["filters"], seen["files"]) == ("1", "2", [[], []])
    assert (seen["unix"], seen["devices"]) == ("@interpreter-tools", 1)


def test_places_have_the_sizes_of_the_container(boxed: Supervisor) -> None:
    """Bytes and files: those that the engine gave to the mounts below."""
    outside = [os.statvfs(f"/proc/{boxed.host_pid}/root{path}") for path in MOUNTS]
    code = f"import os; print([tuple(os.statvfs(p))[2:4] + (os.statvfs(p).f_files,) for p in {list(MOUNTS)}])"
    sizes = [(place.f_blocks, place.f_blocks, place.f_files) for place in outside]
    assert eval(boxed.python(code).stdout)[0][0] == sizes[0][0]
    full = boxed.shell("head -c 300M /dev/zero > big; echo $?; wc -c < big")
    assert full.stdout.split()[0] != b"0"
    assert int(full.stdout.split()[1]) <= 256 << 20


def test_what_engines_mask_is_masked(boxed: Supervisor) -> None:
    """Empty, or read-only: /proc is as in a container that the engine has masked."""
    code = """
import errno, os
def attempt(path, flags):
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
for path in ("/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/kcore"):
    if os.path.exists(path):
        assert open(path, "rb").read() == b"", path
for path in ("/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware"):
    if os.path.exists(path):
        assert os.listdir(path) == [], path
for path in ("kernel/core_pattern", "net/ipv4/ip_forward", "vm/drop_caches"):
    print(path, attempt("/proc/sys/" + path, os.O_WRONLY))
for path in ("/proc/sysrq-trigger", "/proc/irq/0/smp_affinity"):
    if os.path.exists(path):
        print(path, attempt(path, os.O_WRONLY))
"""
    answers = boxed.python(code).stdout.split()[1::2]
    assert set(answers) <= {b"EACCES", b"EROFS", b"EPERM"}
    assert answers


def test_calls_that_make_and_enter_namespaces_are_refused(boxed: Supervisor) -> None:
    """The container's profile has to allow them to the supervisor; a second filter refuses them to programs."""
    code = """
import ctypes, errno, json, os, platform
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "ok") if getattr(libc, name)(*arguments) < 0 else "ok"
clone = 56 if platform.machine() == "x86_64" else 220
answers = {"mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, 0), "umount": call("umount2", b"/tmp", 2)}
answers["remount"] = call("mount", b"none", b"/proc/sys", None, 4128, 0)
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    answers[f"unshare {flag:x}"] = call("unshare", flag)
    answers[f"clone {flag:x}"] = call("syscall", clone, flag | 17, 0, 0, 0, 0)
answers["sibling"] = call("syscall", clone, 0x8011, 0, 0, 0, 0)
answers["setns"] = call("setns", os.open("/proc/self/ns/net", os.O_RDONLY), 0)
answers["seccomp"] = call("syscall", 317 if platform.machine() == "x86_64" else 277, 1, 0, 0)
answers["prctl"] = call("prctl", 22, 2, 0, 0, 0)
print(json.dumps(answers))
"""
    answers = json.loads(boxed.python(code).stdout)
    assert (answers.pop("seccomp"), answers.pop("prctl")) == ("ENOSYS", "EINVAL")
    assert set(answers.values()) == {"EPERM"}, answers


def test_supervisor_is_out_of_reach(boxed: Supervisor) -> None:
    """It is PID 1 of the box; it cannot be signalled, read or followed."""
    ran = boxed.shell(
        "kill -9 1; for f in mem environ maps fd root cwd exe ns/user; do cat /proc/1/$f 2>&1 | tail -c 20; done"
    )
    assert b"not permitted" in ran.stderr
    assert ran.stdout.count(b"denied") == 8


def test_mount_of_the_caller_below_a_new_place_stays(binary: Path, tmp_path: Path) -> None:
    """A directory of the host that is mounted in the workspace is there in each box, with what is in it."""
    inner = f"{WORKSPACE}/given"
    with Supervisor(
        binary, mounts=("box", WORKSPACE, inner, "/tmp", "/dev/shm"), tmpfs=(WORKSPACE, inner, "/tmp", "/dev/shm")
    ) as boxed:
        boxed.boot()
        assert boxed.shell("ls; echo 1 > given/x && ls given", flags=Flag.LAST).stdout.split() == [b"given", b"x"]
        assert boxed.reset() == ""
        assert boxed.shell("ls; ls given").stdout.split() == [b"given"]
    with Supervisor(binary, mounts=BOXED, tmpfs=(*MOUNTS, inner)) as boxed:
        boxed.boot()
        for _ in range(2):
            ran = boxed.shell("ls; ls given; echo 1 > given/x", flags=Flag.LAST)
            assert ran.stderr == b""
            assert boxed.reset() == ""
        assert boxed.shell("ls given").stdout == b"x\n"  # it is the caller's, and no reset touches it


def test_shared_workspace_is_not_covered(binary: Path) -> None:
    """Other containers have the same one."""
    with Supervisor(binary, mounts=("box=shared", *MOUNTS)) as boxed:
        boxed.boot()
        boxed.shell("echo 1 > kept; echo 2 > /tmp/gone", flags=Flag.LAST)
        assert boxed.reset() == ""
        assert boxed.shell("ls; ls /tmp").stdout == b"kept\nhome\n"


def test_entry_of_the_store_is_linked(binary: Path) -> None:
    """Its directory may be root's of the host: the keeper has opened it before it stopped to be that."""
    key = "a" * 64
    with Supervisor(binary, mounts=("box", f"store={STORE}", *MOUNTS)) as boxed:
        boxed.boot()
        boxed.send(boxed.connection.need(key, link="modules", path="lib"))
        refused = boxed.refusal(["sh", "-c", ":"])
        assert refused.subject == key.encode()
        Path(f"/proc/{boxed.host_pid}/root{STORE}/{key}/lib").mkdir(parents=True)
        boxed.send(boxed.connection.need(key, link="modules", path="lib"))
        assert boxed.shell("readlink modules").stdout.decode() == f"{STORE}/{key}/lib\n"


# -- the reset


def test_nothing_of_a_run_is_left(boxed: Supervisor) -> None:
    """Files, processes that want to stay, sockets, names: they go with the box. The next user is another one."""
    leave = """
import os, socket, time
for place in PLACES: open(f"{place}/left", "w").write("x" * 100_000)
s = socket.socket(); s.bind(("127.0.0.1", 8080)); s.listen()
u = socket.socket(socket.AF_UNIX); u.bind("\\0name"); u.listen()
if os.fork() == 0:
    os.setsid()
    os.closerange(0, 3)
    while True: time.sleep(1)
""".replace("PLACES", repr(list(MOUNTS)))
    look = """
import os, socket
for place in PLACES: print(os.listdir(place))
s = socket.socket(); s.bind(("127.0.0.1", 8080)); s.listen()
print(os.getuid(), [name for name in os.listdir("/proc") if name.isdigit()], "@name" in open("/proc/net/unix").read())
""".replace("PLACES", repr(list(MOUNTS)))
    for uid in range(UID, UID + 3):
        boxed.python(leave, uid=uid, flags=Flag.LAST)
        before = everybody(boxed)
        assert boxed.reset(uid=uid + 1) == ""
        assert not any(Path(f"/proc/{pid}").exists() for pid in before[2:] if pid not in everybody(boxed))
        ran = boxed.python(look, uid=uid + 1, flags=Flag.LAST)
        assert ran.stdout.decode().splitlines() == ["[]", "['home']", "[]", f"{uid + 1} ['1', '2'] False"]
        assert boxed.reset(uid=uid + 1) == ""


NETWORK = "import os; print(os.stat('/proc/self/ns/net').st_ino)"

LOCAL_SOCKETS = """
import socket, threading
one, two = socket.socketpair()
listener = socket.socket(socket.AF_UNIX); listener.bind("\\0name"); listener.listen()
client = socket.socket(socket.AF_UNIX); client.connect("\\0name"); client.send(b"x" * 1000)
"""


@pytest.mark.parametrize("code", ["", LOCAL_SOCKETS])
def test_network_that_nothing_was_done_to_serves_the_next_box(boxed: Supervisor, code: str) -> None:
    """No socket of the run before but local ones, of which none is left: it is as it was made."""
    seen: set[bytes] = set()
    for uid in range(UID, UID + 3):
        seen.add(boxed.python(code + "\n" + NETWORK, uid=uid, flags=Flag.LAST).stdout)
        assert boxed.reset(uid=uid + 1) == ""
    assert len(seen) == 1


@pytest.mark.parametrize("arguments", [("box",), ("box", f"store={STORE}")])
def test_each_box_has_a_new_network_where_that_is_asked_for(binary: Path, arguments: tuple[str, ...]) -> None:
    """Also after a run that has asked for no socket."""
    with Supervisor(binary, mounts=(arguments[0], "network=new", *arguments[1:], *MOUNTS)) as boxed:
        boxed.boot()
        seen: list[bytes] = []
        for uid in range(UID, UID + 4):
            seen.append(boxed.python(NETWORK, uid=uid, flags=Flag.LAST).stdout)
            assert boxed.reset(uid=uid + 1) == ""
        assert all(one != next_one for one, next_one in itertools.pairwise(seen))


@pytest.mark.parametrize("mode", [BootMode.NONE, BootMode.FORK])
def test_boxes_of_a_container_with_a_network_have_that_one(binary: Path, mode: BootMode) -> None:
    """It is the one that PID 1 is in. There is no reset, as that would not reset it."""
    with Supervisor(binary, mounts=("box", "network=container", *MOUNTS)) as boxed:
        boxed.boot(mode, ZYGOTE if mode is BootMode.FORK else (), {"A": "b"})
        forks = mode is BootMode.FORK
        seen = run_code(boxed, NETWORK) if forks else boxed.python(NETWORK, flags=Flag.LAST).stdout
        assert int(seen) == Path(f"/proc/{boxed.host_pid}/ns/net").stat().st_ino
        boxed.send(boxed.connection.reset(Reset(5000, UID + 1)))
        boxed.expected_status = None
        assert "network is not reset" in boxed.wait(Fatal).message


USES = {
    "an unbound socket of the internet": "s = socket.socket()",
    "one of IPv6": "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "one of netlink": "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "a connection that waits for its end": """
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
client = socket.create_connection(listener.getsockname()); client.close()
""",
}


@pytest.mark.parametrize("use", USES)
def test_network_that_was_used_goes_with_its_box(boxed: Supervisor, use: str) -> None:
    """The box after it has another one, also where many runs in a row use theirs."""
    seen: list[bytes] = []
    for index, uses in enumerate([True, False, False, True, True, False]):
        code = f"import socket\n{USES[use]}\n{NETWORK}" if uses else NETWORK
        seen.append(boxed.python(code, uid=UID + index, flags=Flag.LAST).stdout)
        assert boxed.reset(uid=UID + index + 1) == ""
    assert seen[0] != seen[1]
    assert seen[3] != seen[4] != seen[5]


HELD = """
import array, socket
one = socket.socket(socket.AF_UNIX); one.bind("\\0held"); one.listen()
a, b = socket.socketpair()
for s in (a, b):
    rights = array.array("i", [a.fileno(), b.fileno(), one.fileno()])
    s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
"""


def test_name_that_outlives_its_program_is_in_no_other_box(boxed: Supervisor) -> None:
    """Local sockets that hold each other live on until the kernel collects them: then the network is renewed, too."""
    for uid in range(UID, UID + 6):
        look = "names = open('/proc/net/unix').read(); print('@held' in names)\n"
        assert boxed.python(look + HELD, uid=uid, flags=Flag.LAST).stdout == b"False\n"
        assert boxed.reset(uid=uid + 1) == ""


def test_reset_that_follows_by_itself_is_answered_behind_the_end(boxed: Supervisor) -> None:
    """As without boxes."""
    for uid in range(UID, UID + 5):
        boxed.start(["sh", "-c", "echo 1"], uid=uid, flags=Flag.LAST, reset=Reset(5000, uid + 1))
        boxed.wait(Exited)
        assert boxed.verdict() == ""


def test_what_comes_in_the_middle_of_a_reset_is_kept(boxed: Supervisor) -> None:
    """The next supervisor reads on where the one before has stopped, also in the middle of a frame."""
    boxed.shell(":", flags=Flag.LAST)
    reset = boxed.connection.reset(Reset(5000, UID + 1))
    boxed.send(reset)
    assert boxed.verdict() == ""
    put = boxed.connection.put(b"file", b"x" * 50_000, uid=UID + 1)
    boxed.send(put[:10])
    time.sleep(0.01)
    boxed.send(put[10:])
    assert isinstance(boxed.sync(), Ready)
    assert boxed.shell("wc -c < file", uid=UID + 1).stdout == b"50000\n"


@pytest.mark.parametrize("which", [1, 2])
def test_end_of_keeper_or_supervisor_ends_the_container(boxed: Supervisor, which: int) -> None:
    """Nothing goes on without the other."""
    boxed.start(["sleep", "1000"])
    time.sleep(0.1)
    pids = everybody(boxed)
    os.kill(pids[which], signal.SIGKILL)
    boxed.expected_status = None
    boxed.process.wait(PATIENCE)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


# -- the zygote


def test_child_of_the_zygote_is_in_the_box(forking: Supervisor) -> None:
    """Before it runs anything: PID, files, network, filters, capabilities; the zygote is not to be seen."""
    code = f"""
import os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(os.getpid(), os.getresuid(), status["CapEff"], status["CapPrm"], status["Seccomp_filters"], status["NoNewPrivs"])
print(sorted(name for name in os.listdir("/proc") if name.isdigit()), os.listdir("/proc/self/fd"), os.listdir())
open("{WORKSPACE}/left", "w").close()
"""
    for uid in range(UID, UID + 3):
        first, second = run_code(forking, code, uid=uid).splitlines()
        assert first == f"2 {(uid, uid, uid)} {'0' * 16} {'0' * 16} 2 1"
        assert second == "['1', '2'] ['0', '1', '2', '3'] ['main.py']"
        assert forking.reset(uid=uid + 1) == ""


def test_boxes_of_children_and_of_programs_are_the_same(forking: Supervisor) -> None:
    """The interpreter booted ahead and a program by exec share the files, the processes and the network of one box."""
    names = ["pid", "mnt", "net", "user", "ipc", "uts"]
    look = f"import os; print([os.readlink('/proc/self/ns/' + name) for name in {names}])"
    mine = run_code(forking, look, flags=Flag(0))
    assert forking.python(look).stdout.decode() == mine
    outside = [str(Path(f"/proc/{forking.host_pid}/ns/{name}").readlink()) for name in ("pid", "mnt", "net")]
    assert not set(outside) & set(eval(mine))


def test_parked_child_that_nobody_took_goes_with_its_box(forking: Supervisor) -> None:
    """Its end, which the zygote tells, is of no run of the next box."""
    for uid in range(UID, UID + 4):
        assert run_code(forking, "print(1)", uid=uid, flags=Flag(0)) == "1\n"  # another one is parked behind it
        assert forking.reset(uid=uid + 1) == ""


def test_end_of_the_zygote_ends_its_children_and_nothing_else(forking: Supervisor) -> None:
    """Nobody could tell how they end. The box boots an interpreter of its own then, and so does each later box."""
    code = "import time\nprint(1, flush=True)\ntime.sleep(99)"
    forking.put(b"main.py", code.encode(), uid=UID)
    forking.start([f"{WORKSPACE}/main.py"], environment={"A": "b"}, uid=UID, flags=Flag.BOOTED)
    forking.wait(Output)
    keeper = everybody(forking)[1]
    zygote = next(pid for pid in forking.children(keeper) if "python" in Path(f"/proc/{pid}/comm").read_text())
    os.kill(zygote, signal.SIGKILL)
    exited = forking.wait(Exited)
    assert (exited.signal, exited.unclean) == (signal.SIGKILL, False)
    assert run_code(forking, "print(2)", flags=Flag(0)) == "2\n"
    for uid in range(UID + 1, UID + 4):
        assert forking.reset(uid=uid) == ""
        assert run_code(forking, "print(3)", uid=uid, flags=Flag(0)) == "3\n"


def test_program_goes_first_when_memory_is_short(forking: Supervisor) -> None:
    """However it came into the box: a zygote's child, or a child of the supervisor there."""
    look = "print(open('/proc/self/oom_score_adj').read().strip())"
    assert run_code(forking, look, flags=Flag(0)) == "1000\n"
    assert forking.python(look).stdout == b"1000\n"


def test_python_that_cannot_enter_is_started_in_each_box(binary: Path) -> None:
    """An image without ctypes: its zygote says so, and leaves."""
    command = (*ZYGOTE[:-1], "import sys; sys.modules['_ctypes'] = None\n" + ZYGOTE[-1])
    with Supervisor(binary, mounts=BOXED) as supervisor:
        assert isinstance(supervisor.boot(BootMode.FORK, command, {"A": "b"}), Ready)
        for uid in range(UID, UID + 3):
            code = (
                "import os; print(os.getuid(), os.listdir(), 1 in map(int, filter(str.isdigit, os.listdir('/proc'))))"
            )
            assert run_code(supervisor, code, uid=uid) == f"{uid} ['main.py'] True\n"
            assert supervisor.reset(uid=uid + 1) == ""


def test_missing_interpreter_is_refused_in_a_box(binary: Path) -> None:
    """As without."""
    with Supervisor(binary, mounts=BOXED) as supervisor:
        assert isinstance(supervisor.boot(BootMode.FORK, ["no-such-program"]), Refused)


# -- what the host's root could


def test_no_process_of_the_container_is_the_hosts_root(forking: Supervisor) -> None:
    """Each has an id that owns nothing outside, and none a capability there: its user namespace is another one."""
    ours = Path("/proc/self/ns/user").readlink()
    forking.put(b"main.py", b"import time; print(1, flush=True); time.sleep(1000)")
    forking.start([f"{WORKSPACE}/main.py"], environment={"A": "b"}, flags=Flag.BOOTED)
    forking.wait(Output)
    pids = everybody(forking)
    assert len(pids) == 5  # PID 1, the keeper, the zygote, the supervisor of the box, the program
    owners = {pid: Path(f"/proc/{pid}/status").read_text().partition("Uid:")[2].split()[:4] for pid in pids}
    assert all(int(uid) >= UID for uids in owners.values() for uid in uids), owners
    assert len({uid for uids in owners.values() for uid in uids}) == 2  # one of all, and the program's
    assert ours not in {Path(f"/proc/{pid}/ns/user").readlink() for pid in pids}
