"""What a program can reach: itself, and nothing of the supervisor, of other sandboxes, or of the host."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from interpreter_tools import ContainerStrategy

from .conftest import BOTH_WAYS, Isolated

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", params=BOTH_WAYS)
def isolation(request: pytest.FixtureRequest) -> Isolated:
    """All of it holds with sandboxes inside of containers, and without."""
    return request.param


POOL = ContainerStrategy.POOL
NODE_IMAGE = "interpreter-tools/node:1"

PRELUDE = """
import ctypes, errno, json, os, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(function, *arguments):
    try:
        result = function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
def call(function, *arguments):
    return errno.errorcode[ctypes.get_errno()] if function(*arguments) < 0 else "ok"
def read(path):
    with open(path, "rb") as file:
        file.read(100)
def others():
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
"""


async def probe(engine: ExecutionEngine, program: str, **environment: str) -> Any:  # noqa: ANN401 - any JSON
    """What a program prints, as JSON."""
    code = PRELUDE + textwrap.dedent(program)
    result = await engine.run("python", code, environment=environment, strategy=POOL, timeout=30)
    return json.loads(result.check().stdout)


# -- the supervisor


async def test_supervisor_and_interpreter_booted_ahead_are_out_of_reach(
    engine: ExecutionEngine, isolation: Isolated
) -> None:
    """Nothing of theirs can be read, followed, traced, stopped or killed."""
    program = """
        results = {}
        for pid in others():
            for name in ("mem", "environ", "maps", "stack", "io", "auxv", "syscall", "personality"):
                results[f"{pid} {name}"] = attempt(read, f"/proc/{pid}/{name}")
            for name in ("fd", "map_files", "task/%d/fd" % pid):
                results[f"{pid} {name}"] = attempt(os.listdir, f"/proc/{pid}/{name}")
            for name in ("root", "cwd", "exe", "fd/0", "fd/1"):
                results[f"{pid} {name}"] = attempt(os.readlink, f"/proc/{pid}/{name}")
            for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, 0):
                results[f"{pid} kill {number}"] = attempt(os.kill, pid, number)
            results[f"{pid} ptrace"] = call(libc.ptrace, 16, pid, 0, 0)
            results[f"{pid} process_vm_readv"] = call(libc.process_vm_readv, pid, (ctypes.c_void_p * 2)(0, 8), 1,
                                                     (ctypes.c_void_p * 2)(0, 8), 1, 0)
            results[f"{pid} setpriority"] = attempt(os.setpriority, os.PRIO_PROCESS, pid, 19)
            results[f"{pid} affinity"] = attempt(os.sched_setaffinity, pid, [0])
            results[f"{pid} prlimit"] = attempt(__import__("resource").prlimit, pid, 7, (1, 1))
            results[f"{pid} oom_score_adj"] = attempt(open, f"/proc/{pid}/oom_score_adj", "w")
        print(json.dumps(results))
    """
    results: dict[str, str] = await probe(engine, program)
    assert {key.split()[0] for key in results} >= {"1"}
    if isolation == "container":  # the interpreter booted ahead is the other one; from a sandbox it is not to be seen
        assert len({key.split()[0] for key in results}) == 2
    assert set(results.values()) <= {"EACCES", "EPERM", "EROFS"}, results  # the /proc of a sandbox is read-only


@pytest.mark.parametrize("language", ["shell", "bash"])
async def test_shells_hold_three_descriptors(engine: ExecutionEngine, language: str) -> None:
    """And the code's own file, which they read as they go."""
    # the shell itself has a pipe for as long as it starts the two sides of one
    code = "{ sleep 0.2; for n in /proc/$$/fd/*; do readlink $n | cut -d: -f1; done; } | sort; ls /proc/self/fd"
    result = await engine.run(language, code, strategy=POOL)
    file = f"/workspace/main.{'sh' if language == 'shell' else 'bash'}"
    assert result.stdout.split() == [file, "pipe", "pipe", "pipe", "0", "1", "2", "3"]  # 3: the directory, open in ls


async def test_python_holds_three_descriptors(engine: ExecutionEngine) -> None:
    """Whether it was booted ahead or started for the run."""
    code = "import os; print([os.readlink(f'/proc/self/fd/{n}')[:5] for n in range(3)], os.listdir('/proc/self/fd'))"
    for environment in ({}, {"PYTHONHASHSEED": "1"}):
        result = await engine.run("python", code, environment=environment, strategy=POOL)
        assert result.stdout == "['pipe:', 'pipe:', 'pipe:'] ['0', '1', '2', '3']\n"


@pytest.mark.parametrize("language", ["javascript", "typescript"])
async def test_node_holds_what_bare_node_holds(engine: ExecutionEngine, language: str) -> None:
    """Kinds and number of its descriptors are those of ``node main.js``, which needs a few for itself."""
    code = """
const fs = require('fs');
process.stdout.write(''); process.stdin; // what they need is opened at their first use
const links = fs.readdirSync('/proc/self/fd').map((fd) => {
  try { return fs.readlinkSync(`/proc/self/fd/${fd}`).replace(/[:\\d[\\]]+/g, ''); } catch { return 'of readdir'; }
});
console.log(links.sort().join(' '));
"""
    ours = await engine.run(language, code)
    bare = await engine.run("shell", "exec node main.js", image=NODE_IMAGE, files={"main.js": code.encode()})
    assert ours.check().stdout == bare.check().stdout
    assert "socket" not in ours.stdout


async def test_forged_frames_are_plain_output(engine: ExecutionEngine) -> None:
    """Written to every descriptor there may be: the conversation is not one of them."""
    code = """
import os, struct
exit_frame = struct.pack("<IBBH", 48, 0x89, 0, 0) + struct.pack("<IiII3QII", 0, 0, 0, 0, 1, 1, 1, 0, 0)
docker_frame = struct.pack(">BxxxI", 1, len(exit_frame)) + exit_frame
for descriptor in range(1024):
    for data in (exit_frame, docker_frame, b"\\r\\n\\r\\n", b"\\x11\\x10q"):
        try: os.write(descriptor, data)
        except OSError: pass
os._exit(3)
"""
    async with engine.stream("python", code, strategy=POOL) as execution:
        chunks = [chunk async for chunk in execution]
        result = await execution.result()
    forged = b"0\0\0\0\x89\0\0\0"
    for stream in ("stdout", "stderr"):
        data = b"".join(chunk.data for chunk in chunks if chunk.stream == stream)
        assert len(data) == 56 + 64 + 4 + 3
        assert data.startswith(forged)
    assert (result.exit_code, result.outcome) == (3, "error")


async def test_standard_streams_can_be_opened_by_name(engine: ExecutionEngine) -> None:
    """As programs do that take a file's name."""
    code = """
for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
    with open(path, "w") as file: file.write(path + "\\n")
with open("/dev/stderr", "a") as file: file.write("error\\n")
print(open("/dev/stdin").read())
"""
    result = await engine.run("python", code, stdin=b"input", strategy=POOL)
    assert (result.stdout, result.stderr) == ("/dev/stdout\n/dev/fd/1\n/proc/self/fd/1\ninput\n", "error\n")
    shell = await engine.run("shell", "echo 1 > /dev/stdout; echo 2 > /dev/stderr; cat /dev/stdin", stdin=b"3")
    assert (shell.stdout, shell.stderr) == ("1\n3", "2\n")


async def test_names_and_priorities_fool_nobody(engine: ExecutionEngine) -> None:
    """A program that calls itself supervisor is killed like any other."""
    code = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b"supervisor", 0, 0, 0)
refused = 0
for attempt in (lambda: os.nice(-1), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
                lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")):
    try: attempt()
    except OSError: refused += 1
mine, supervisors = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, 1))
print(refused, mine - supervisors, flush=True)
while True: pass
"""
    result = await engine.run("python", code, timeout=0.5, strategy=POOL)
    assert (result.outcome, result.stdout) == ("timeout", "3 10\n")


# -- privileges


async def test_program_has_no_powers_and_gets_none(engine: ExecutionEngine) -> None:
    """Not root, no capability, no way to either."""
    program = """
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
        results = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs")}
        results["seccomp"], results["groups"], results["root"] = status["Seccomp"], os.getgroups(), os.getuid() == 0
        results["setuid"] = [attempt(os.setuid, 0), attempt(os.setgid, 0), attempt(os.setresuid, 0, 0, 0)]
        results["more"] = [attempt(os.setgroups, [0]), attempt(os.chroot, "/tmp"), attempt(os.mknod, "d", 0o20600, 259)]
        results["chown"] = attempt(lambda: (open("f", "w"), os.chown("f", 0, 0)))
        print(json.dumps(results))
    """
    results = await probe(engine, program)
    powers = [results[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")]
    assert powers == [0, 0, 0, 0]
    assert (results["NoNewPrivs"], results["seccomp"], results["groups"], results["root"]) == (1, "2", [], False)
    assert {*results["setuid"], *results["more"], results["chown"]} == {"EPERM"}


async def test_setuid_programs_gain_nothing(engine: ExecutionEngine) -> None:
    """Those of the image, and those that a program makes."""
    code = """
cp $(command -v id) mine; chmod 4755 mine; ./mine -u
su -c 'id -u' root < /dev/null
mount -t tmpfs none /tmp
newgrp root < /dev/null
id -u
"""
    result = await engine.run("shell", code, strategy=POOL)
    uids = set(re.findall(r"\b\d+\b", result.stdout))  # su asks for a password
    assert len(uids) == 1
    assert int(uids.pop()) >= 1000


async def test_system_calls_that_open_the_kernel_are_refused(engine: ExecutionEngine) -> None:
    """EPERM, or as if the kernel did not know them."""
    program = """
        flags = {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000}
        results = {name: call(libc.unshare, flag) for name, flag in flags.items()}
        results["mount"] = call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, 0)
        results["umount"] = call(libc.umount, b"/proc/keys")
        results["setns"] = call(libc.setns, os.open("/proc/self/ns/net", os.O_RDONLY), 0)
        numbers = {"io_uring": 425, "fsopen": 430, "open_tree": 428, "pidfd_getfd": 438, "clone3": 435}
        for name, number in numbers.items():
            results[name] = call(libc.syscall, number, 0, 0, 0, 0, 0)
        results["shm"] = call(libc.shmget, 1, 4096, 0o1600)
        results["msg"] = call(libc.msgget, 1, 0o1600)
        results["sem"] = call(libc.semget, 1, 1, 0o1600)
        for name, (family, kind, protocol) in {"vsock": (40, 1, 0), "alg": (38, 5, 0), "packet": (17, 3, 0),
                                               "netfilter": (16, 3, 12), "bluetooth": (31, 3, 1)}.items():
            results[name] = attempt(socket.socket, family, kind, protocol)
        print(json.dumps(results))
    """
    results: dict[str, str] = await probe(engine, program)
    assert set(results.values()) == {"EPERM", "ENOSYS"}, results
    assert {name for name, result in results.items() if result == "ENOSYS"} == {"clone3"}


# -- the host


async def test_the_host_is_not_there(engine: ExecutionEngine) -> None:
    """No socket of Docker's, no memory, no knobs; what is to see of the kernel cannot be written."""
    program = """
        places = ["/", "/etc", "/usr/bin", "/var/tmp", "/run", "/home", "/root", "/sys", "/dev", "/dev/mqueue",
                  "/.interpreter-tools", os.path.dirname(os.__file__)]
        results = {place: attempt(open, place + "/probe", "w") for place in places}
        for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/kcore", "/proc/kmsg", "/dev/mem",
                     "/dev/kmsg", "/dev/sda", "/dev/vda", "/var/run/docker.sock", "/run/docker.sock",
                     "/proc/sys/vm/drop_caches",
                     "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs", "/.interpreter-tools/supervisor"):
            results[path] = attempt(os.open, path, os.O_WRONLY)
        print(json.dumps([results, sorted(os.listdir("/dev")), sorted(os.listdir("/sys/firmware"))]))
    """
    refusals, devices, firmware = await probe(engine, program)
    assert set(refusals.values()) <= {"EROFS", "EACCES", "ENOENT", "EPERM", "ENOSPC"}, refusals
    plain = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "console", "core"}
    assert set(devices) <= plain | {"fd", "stdin", "stdout", "stderr"}
    assert firmware == []


async def test_nothing_of_the_client_s_surroundings_gets_in(
    engine: ExecutionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a secret of one run into places where others could read it."""
    monkeypatch.setenv("SECRET_OF_THE_HOST", "hidden-host-value")
    program = """
        found = []
        for pid in others() + ["self"]:
            for name in ("cmdline", "environ", "comm", "status"):
                try: text = open(f"/proc/{pid}/{name}", "rb").read()
                except OSError: continue
                if b"hidden" in text: found.append(f"{pid} {name}")
        print(json.dumps([found, os.environ.get("SECRET"), "SECRET_OF_THE_HOST" in os.environ, socket.gethostname()]))
    """
    found, secret, host, name = await probe(engine, program, SECRET="hidden-run-value")
    assert (secret, host, name) == ("hidden-run-value", False, "localhost")
    assert found in ([], ["self environ"])


# -- the network, and neighbours


async def test_only_loopback_is_there(engine: ExecutionEngine) -> None:
    """No internet, no names, no metadata service, no gateway of Docker's, no host; by version 4 or 6."""
    program = """
        results = {}
        for address in ("1.1.1.1", "169.254.169.254", "172.17.0.1", "10.0.0.1", "192.168.0.1", "100.100.100.200"):
            results[address] = attempt(lambda: socket.create_connection((address, 80), 3))
        for address in ("2606:4700:4700::1111", "fe80::1"):
            results[address] = attempt(lambda: socket.create_connection((address, 80), 3))
        try: results["names"] = socket.getaddrinfo("example.com", 80)
        except socket.gaierror: results["names"] = "EAI"
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        results["datagram"] = attempt(datagram.sendto, b"x", ("8.8.8.8", 53))
        server = socket.create_server(("localhost", 8080))
        names = ("localhost", "127.0.0.1", socket.gethostname())
        local = [attempt(socket.create_connection, (name, 8080)) for name in names]
        print(json.dumps([results, local, [name for _, name in socket.if_nameindex()]]))
    """
    results, local, interfaces = await probe(engine, program)
    assert set(results.values()) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EINVAL", "EAI"}, results
    assert local == ["ok", "ok", "ok"]
    assert interfaces == ["lo"]


async def test_neighbours_do_not_meet(engine: ExecutionEngine) -> None:
    """The same port, the same abstract name, the same files at the same time; other users."""
    code = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 9999))
abstract = socket.socket(socket.AF_UNIX); abstract.bind("\\0name")
for path in ("/workspace/x", "/tmp/x", "/dev/shm/x"): open(path, "x")
print(os.getuid(), flush=True)
sys.stdin.read()
print(sorted(os.listdir("/tmp")))
"""
    async with engine.stream("python", code) as one, engine.stream("python", code) as other:
        uids = [(await anext(execution)).text for execution in (one, other)]
        for execution in (one, other):
            await execution.close_stdin()
        results = await asyncio.gather(one.result(), other.result())
    assert [result.outcome for result in results] == ["ok", "ok"]
    assert len(set(uids)) == 2


async def test_kernel_counters_of_one_user_are_not_another_s(engine: ExecutionEngine) -> None:
    """Inotify instances are counted for each user, over all containers."""
    exhaust = """
import ctypes, os, sys
libc, count = ctypes.CDLL(None), 0
while libc.inotify_init() >= 0: count += 1
print(count, flush=True)
sys.stdin.read()
"""
    async with engine.stream("python", exhaust) as execution:
        assert int((await anext(execution)).text) > 10
        code = "import ctypes; print(ctypes.CDLL(None).inotify_init())"
        assert int((await engine.run("python", code)).stdout) >= 0
        await execution.kill()
        await execution.result()


async def test_every_reuse_has_another_user(engine: ExecutionEngine) -> None:
    """What the one before owned is not the next one's."""
    runs = [await engine.run("python", "import os; print(os.getuid(), os.getgid())", strategy=POOL) for _ in range(8)]
    users = [run.check().stdout for run in runs]
    assert all(one != next_one for one, next_one in itertools.pairwise(users))
