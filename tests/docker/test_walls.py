"""What the kernel refuses to programs in a sandbox, and that ordinary programs do not notice."""

from __future__ import annotations

import json
import platform
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from interpreter_tools._config.model import ContainerConfig

if TYPE_CHECKING:
    from .conftest import RunInSandbox

pytestmark = [pytest.mark.docker]

# Becomes a user of the sandbox, as the supervisor does for each run
_BECOME_USER = """
import ctypes, errno, json, os, socket, sys
os.setgroups([]); os.setresgid(4711, 4711, 4711); os.setresuid(4711, 4711, 4711); os.chdir("/workspace")
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)

def call(number, *arguments):
    ctypes.set_errno(0)
    fitting = [argument if not isinstance(argument, int) else ctypes.c_long(argument) for argument in arguments]
    return "ok" if libc.syscall(number, *fitting) >= 0 else errno.errorcode[ctypes.get_errno()]

def attempt(function, *arguments):
    try:
        function(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
"""

# By their numbers in the table that all architectures younger than x86_64 share, and in that of x86_64
_CALLS = {
    "unshare of a user namespace": (97, 272, "0x10000000"),
    "unshare of a mount namespace": (97, 272, "0x20000"),
    "clone of a user namespace": (220, 56, "0x10000011, 0, 0, 0, 0"),
    "clone of a network namespace": (220, 56, "0x40000011, 0, 0, 0, 0"),
    "clone of a sibling": (220, 56, "0x8011, 0, 0, 0, 0"),
    "setns": (268, 308, "0, 0"),
    "mount": (40, 165, "b'none', b'/tmp', b'tmpfs', 0, 0"),
    "umount2": (39, 166, "b'/tmp', 0"),
    "pivot_root": (41, 155, "b'/', b'/'"),
    "fsopen": (430, 430, "b'tmpfs', 0"),
    "open_tree": (428, 428, "-100, b'/', 1"),
    "chroot": (51, 161, "b'/'"),
    "io_uring_setup": (425, 425, "1, buffer"),
    "io_uring_enter": (426, 426, "0, 0, 0, 0, 0, 0"),
    "add_key": (217, 248, "b'user', b'x', b'y', 1, -3"),
    "request_key": (218, 249, "b'user', b'x', 0, 0"),
    "keyctl": (219, 250, "0, 0"),
    "bpf": (280, 321, "0, buffer, 120"),
    "userfaultfd": (282, 323, "1"),
    "perf_event_open": (241, 298, "buffer, 0, -1, -1, 0"),
    "shmget": (194, 29, "0, 4096, 0o1600"),
    "msgget": (186, 68, "0, 0o1600"),
    "semget": (190, 64, "0, 1, 0o1600"),
    "mq_open": (180, 240, "b'queue', 0o102, 0o600, 0"),
    "init_module": (105, 175, "0, 0, 0"),
    "syslog": (116, 103, "10, 0, 0"),
    "pidfd_getfd": (438, 438, "0, 0, 0"),
    "open_by_handle_at": (265, 304, "0, 0, 0"),
    "socket(AF_ALG)": (198, 41, "38, 5, 0"),
    "socket(AF_VSOCK)": (198, 41, "40, 1, 0"),
    "socket(AF_VSOCK) with a bit that the kernel ignores": (198, 41, "(1 << 32) | 40, 1, 0"),
    "socket(AF_PACKET)": (198, 41, "17, 3, 0"),
    "socket(AF_TIPC)": (198, 41, "30, 1, 0"),
    "socket(AF_NETLINK, NETLINK_NETFILTER)": (198, 41, "16, 3, 12"),
    "device": (33, 133, "-100, b'd', 0o20600, 0x101" if platform.machine() != "x86_64" else "b'd', 0o20600, 0x101"),
}


async def probe(run_in_sandbox: RunInSandbox, program: str) -> Any:  # noqa: ANN401 - what the program prints, as JSON
    """What a program in a sandbox finds out."""
    return json.loads(await run_in_sandbox(["python3", "-c", _BECOME_USER + textwrap.dedent(program)]))


async def test_dangerous_system_calls_are_refused(run_in_sandbox: RunInSandbox) -> None:
    """EPERM, whatever the arguments."""
    column = 1 if platform.machine() == "x86_64" else 0
    calls = ", ".join(f"{name!r}: call({row[column]}, {row[2]})" for name, row in _CALLS.items())
    results = await probe(run_in_sandbox, f"print(json.dumps({{{calls}}}))")
    assert results == dict.fromkeys(_CALLS, "EPERM")


async def test_clone3_is_not_there(run_in_sandbox: RunInSandbox) -> None:
    """ENOSYS: libc then uses clone, whose flags can be seen."""
    assert await probe(run_in_sandbox, "print(json.dumps(call(435, buffer, 88)))") == "ENOSYS"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has 32-bit calls beside its own")
async def test_32_bit_calls_end_the_program(run_in_sandbox: RunInSandbox) -> None:
    """``int 0x80``, here getpid, is a way around every rule about arguments."""
    program = """
        import mmap
        code = mmap.mmap(-1, 4096, prot=7)
        code.write(bytes.fromhex("b814000000cd80c3"))
        child = os.fork()
        if not child:
            ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
            os._exit(0)
        print(json.dumps(os.WTERMSIG(os.waitpid(child, 0)[1])))
    """
    assert await probe(run_in_sandbox, program) == 31  # SIGSYS


async def test_files_that_are_absent_or_closed(run_in_sandbox: RunInSandbox) -> None:
    """The host's are not there; the image's cannot be changed; what can be written is what gets wiped."""
    program = """
        def write(path):
            return attempt(os.open, path, os.O_WRONLY | os.O_CREAT)
        paths = ["/x", "/etc/x", "/etc/hosts", "/var/tmp/x", "/run/x", "/dev/x", "/dev/mqueue/x"]
        paths += ["/.interpreter-tools/x", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"]
        paths += ["/sys/fs/cgroup/cgroup.procs", "/workspace/x", "/tmp/x", "/dev/shm/x"]
        results = {path: write(path) for path in paths}
        results["sockets"] = [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)]
        try:
            results["kcore"] = os.path.getsize("/proc/kcore")
        except OSError:
            results["kcore"] = 0
        print(json.dumps(results))
    """
    results = await probe(run_in_sandbox, program)
    open_paths = [path for path, result in results.items() if result == "ok"]
    assert open_paths == ["/workspace/x", "/tmp/x", "/dev/shm/x"]
    assert results["sockets"] == []
    assert results["kcore"] == 0


async def test_user_has_no_privileges(run_in_sandbox: RunInSandbox) -> None:
    """And gets none."""
    program = """
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
        results = {name: status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp")}
        results["setuid"] = attempt(os.setuid, 0)
        results["groups"] = attempt(os.setgroups, [0])
        print(json.dumps(results))
    """
    nothing = "0" * 16
    assert await probe(run_in_sandbox, program) == {
        "CapEff": nothing,
        "CapPrm": nothing,
        "CapInh": nothing,
        "CapAmb": nothing,
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "setuid": "EPERM",
        "groups": "EPERM",
    }


async def test_no_network_but_loopback(run_in_sandbox: RunInSandbox) -> None:
    """The name localhost works, so does the sandbox's own, and nothing else can be reached."""
    program = """
        results = {"interfaces": [name for _, name in socket.if_nameindex()], "resolv": open("/etc/resolv.conf").read()}
        server = socket.create_server(("localhost", 8080))
        results["loopback"] = attempt(socket.create_connection, ("localhost", 8080), 5)
        results["own name"] = attempt(socket.create_connection, (socket.gethostname(), 8080), 5)
        for address in ("169.254.169.254", "172.17.0.1", "1.1.1.1"):
            results[address] = attempt(socket.create_connection, (address, 80), 5)
        print(json.dumps(results))
    """
    assert await probe(run_in_sandbox, program) == {
        "interfaces": ["lo"],
        "resolv": "",
        "loopback": "ok",
        "own name": "ok",
        "169.254.169.254": "ENETUNREACH",
        "172.17.0.1": "ENETUNREACH",
        "1.1.1.1": "ENETUNREACH",
    }


async def test_limits_of_the_kernel(run_in_sandbox: RunInSandbox) -> None:
    """Memory without swap, processes, files: as configured."""
    program = """
        import resource
        limits = {"core": resource.RLIMIT_CORE, "files": resource.RLIMIT_NOFILE}
        results = {name: resource.getrlimit(limit) for name, limit in limits.items()}
        status = os.statvfs("/workspace")
        results["size"] = status.f_blocks * status.f_frsize
        results["inodes"] = status.f_files
        children = []
        while attempt(lambda: children.append(os.fork() or os._exit(__import__("time").sleep(60) or 0))) == "ok":
            pass
        results["children"] = len(children)
        for child in children:
            os.kill(child, 9)
        print(json.dumps(results))
    """
    mib = 1 << 20
    config = ContainerConfig(memory_limit="128m", workspace_size="8m", tmp_size="4m", pids_limit=20)
    output = await run_in_sandbox(["python3", "-c", _BECOME_USER + textwrap.dedent(program)], config=config)
    assert json.loads(output) == {
        "core": [1, 1],
        "files": [1024, 1024],
        "size": 8 * mib,
        "inodes": 2048,
        "children": 19,
    }


async def test_ordinary_python_runs(run_in_sandbox: RunInSandbox) -> None:
    """Processes, threads, pools, locks, sockets, databases, maps, pipes."""
    program = """
        import asyncio, concurrent.futures, mmap, sqlite3, subprocess, tempfile
        import multiprocessing, multiprocessing.shared_memory

        async def network():
            server = await asyncio.start_server(lambda _reader, writer: writer.close(), "localhost", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"x")
            return await reader.read()

        with multiprocessing.Pool(2) as pool:
            results = [pool.map(abs, [-1, 2])]
        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            results.append(list(executor.map(abs, [-3, 4])))
        memory = multiprocessing.shared_memory.SharedMemory(create=True, size=100)
        memory.close(); memory.unlink()
        results.append(subprocess.run("echo hi | tr a-z A-Z", shell=True, capture_output=True, text=True).stdout)
        results.append(asyncio.run(network()).decode())
        database = sqlite3.connect("data.db")
        database.execute("pragma journal_mode=wal"); database.execute("create table t (x)"); database.commit()
        results.append(database.execute("select count(*) from t").fetchone())
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 4096); file.flush(); mmap.mmap(file.fileno(), 4096).close()
        os.mkfifo("fifo"); socket.socketpair(); os.memfd_create("x"); os.nice(1); os.sched_getaffinity(0)
        print(json.dumps(results))
    """
    assert await probe(run_in_sandbox, program) == [[1, 2], [3, 4], "HI\n", "", [0]]


async def test_ordinary_node_runs(run_in_sandbox: RunInSandbox) -> None:
    """Workers, children, sockets, watches, WebAssembly."""
    program = """
        process.setgroups([]); process.setgid(4711); process.setuid(4711); process.chdir("/workspace");
        const {Worker} = require("worker_threads"), fs = require("fs"), net = require("net");
        fs.writeFileSync("a", "x"); fs.watch(".", () => {}).close();
        new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
        console.log(require("child_process").execSync("echo hi | tr a-z A-Z").toString().trim());
        const server = net.createServer(c => c.end("net")).listen(0, "localhost", () =>
            net.connect(server.address().port, "localhost").on("data", data => {
                console.log(data.toString()); server.close();
                new Worker("require('worker_threads').parentPort.postMessage('worker')", {eval: true})
                    .on("message", message => console.log(message));
            }));
    """
    output = await run_in_sandbox(["node", "--no-warnings", "-e", program], image="interpreter-tools/node:1")
    assert output.splitlines()[-3:] == ["HI", "net", "worker"]


async def test_ordinary_shell_runs(run_in_sandbox: RunInSandbox) -> None:
    """Pipes, jobs, signals, files."""
    program = """
        cd /workspace && mkdir -p a/b && cp -a a c && mv c d && rm -rf d && ls
        for i in 1 2 3; do echo $i; done | sort -r | head -1
        timeout 0.1 sleep 10; echo $?
        bash -c 'diff <(echo a) <(echo b)' | tail -1
        printf '#!/bin/sh\\necho run' > script && chmod +x script && ./script
    """
    output = await run_in_sandbox(["sh", "-c", program], image="interpreter-tools/shell:1")
    assert output.split("\n") == ["a", "3", "124", "> b", "run", ""]
