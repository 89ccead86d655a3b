"""What one program can take of the host beyond its limits, measured on the host; and that everyday programs go on."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = [pytest.mark.docker, pytest.mark.alone]

NODE = "interpreter-tools/node:1"
MEMORY = 128  # MB

# Each takes what it can, prints one line of what it got and of the refusal, and holds it until its stdin ends
_PRELUDE = """
import ctypes, fcntl, os, resource, signal, socket, struct, sys, time
libc, held, count, error = ctypes.CDLL(None, use_errno=True), [], 0, "none"
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
"""
_END = """
print(count, error, flush=True)
sys.stdin.read()
"""
_SLAB = {
    "access control lists": """
        entries = [(1, 7, -1), *((2, 7, 1000 + user) for user in range(5000)), (4, 7, -1), (16, 7, -1), (32, 7, -1)]
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        try:
            for count in range(3000):
                os.mkdir(f"d{count}")
                os.setxattr(f"d{count}", "system.posix_acl_access", value)
                os.setxattr(f"d{count}", "system.posix_acl_default", value)
        except OSError as failure: error = failure.errno
    """,
    "answers in netlink sockets": """
        request = struct.pack("<IHHIIBBHiII", 32, 18, 1, 1, 0, 0, 0, 0, 1, 0, 0)
        while error == "none":
            try: held.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
            except OSError as failure: error = failure.errno; break
            held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            held[-1].setblocking(False)
            try:
                for _ in range(4000): held[-1].send(request)
            except OSError: pass
        count = len(held)
    """,
    "datagrams": """
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while error == "none":
            try: held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            except OSError as failure: error = failure.errno; break
            held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            held[-1].bind(("127.0.0.1", 0))
            for _ in range(500): sender.sendto(bytes(1000), held[-1].getsockname())
        count = len(held)
    """,
    "datagrams in sockets that get their address late": """
        while error == "none":
            try: held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            except OSError as failure: error = failure.errno
        sender, count = held.pop(), len(held)
        for one in held:
            one.bind(("127.0.0.1", 0))
            for _ in range(120): sender.sendto(bytes(1000), one.getsockname())
    """,
    "record locks": """
        end, file = 1 << 40, open("locked", "w+")
        def lock(kind, start, length):
            fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))
        try:
            lock(fcntl.F_WRLCK, 0, end)
            for count in range(1_500_000): lock(fcntl.F_UNLCK, end - 2 * count - 2, 1) # each leaves two in place of one
        except OSError as failure: error = failure.errno
    """,
    "socket filters": """
        code = b"".join(struct.pack("HBBI", 4, 0, 0, number) for number in range(4095))
        buffer = ctypes.create_string_buffer(code + struct.pack("HBBI", 6, 0, 0, 0))
        try:
            while True:
                held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held[-1].setsockopt(socket.SOL_SOCKET, 26, struct.pack("H6xQ", 4096, ctypes.addressof(buffer)))
        except OSError as failure: error = failure.errno
    """,
}


def kernel_memory() -> int:
    """MB that the kernel of this host holds for itself and cannot give back."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    values = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (values["SUnreclaim"] + values["Percpu"] + values["VmallocUsed"]) >> 10


def first_of(path: str) -> int:
    """The number that a file of the host begins with."""
    return int(Path(path).read_text("ascii").split()[0])


async def held_by(engine: ExecutionEngine, program: str, *measured: str) -> tuple[list[str], int, list[int]]:
    """What a program says it got, and what the host misses meanwhile.

    Returns:
        Its line, the growth of the kernel's own memory in MB, and the growth of the numbers in the measured files.
    """
    before, numbers = kernel_memory(), [first_of(path) for path in measured]
    code = _PRELUDE + textwrap.dedent(program) + _END
    async with engine.stream("python", code, memory_limit=f"{MEMORY}m", timeout=150) as execution:
        line = (await anext(execution)).text
        await asyncio.sleep(0.2)
        grown = kernel_memory() - before
        growths = [first_of(path) - number for path, number in zip(measured, numbers, strict=True)]
        await execution.close_stdin()
        (await execution.result()).check()
    return line.split(), grown, growths


@pytest.mark.parametrize("what", _SLAB)
async def test_kernel_memory_that_nobody_is_charged_for_stays_within_the_limit(
    engine: ExecutionEngine, what: str
) -> None:
    """Each of these took between 280 MB and 1.8 GB of the host with a limit of 128 MB."""
    (_, error), grown, _ = await held_by(engine, _SLAB[what])
    assert error != "none"
    assert grown < MEMORY + 32, f"{what}: {grown} MB"


async def test_aio_of_the_whole_host_is_not_one_program_s(engine: ExecutionEngine) -> None:
    """65 calls emptied ``fs.aio-max-nr`` for everybody."""
    program = """
        number = 206 if os.uname().machine == "x86_64" else 0
        while libc.syscall(number, 1000, ctypes.byref(ctypes.c_ulong(0))) == 0: count += 1
        error = ctypes.get_errno()
    """
    line, _, (grown,) = await held_by(engine, program, "/proc/sys/fs/aio-nr")
    assert line == ["0", "38"]  # ENOSYS: programs then do without
    assert grown < 1000


async def test_one_process_holds_a_thousand_files(engine: ExecutionEngine) -> None:
    """However high it sets its own limit."""
    program = """
        try:
            while True: held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as failure: error = failure.errno
        count = len(held)
    """
    (count, error), _, _ = await held_by(engine, program, "/proc/sys/kernel/pty/nr")
    assert (error, int(count) < 1024) == ("24", True)


async def test_terminals_of_the_host_are_not_one_container_s(engine: ExecutionEngine) -> None:
    """However many processes ask for them; and each that there is works."""
    program = """
        for number in range(8):
            if not os.fork():
                try:
                    while True: held.append(os.openpty())
                except OSError: time.sleep(60)
        while True:
            try:
                master, slave = os.openpty()
                held.append(master)
                os.write(slave, b"x")
                assert os.read(master, 1) == b"x"
            except OSError as failure:
                error = failure.errno
                break
        for _ in range(500): # another process may have the last one and not see it yet
            count = len(os.listdir("/dev/pts")) - 1
            if count >= 64: break
            time.sleep(0.01)
    """
    (count, error), _, (terminals,) = await held_by(engine, program, "/proc/sys/kernel/pty/nr")
    assert (count, error) == ("64", "28")  # ENOSPC
    assert terminals <= 64 + 32


async def test_filters_cannot_be_nested(engine: ExecutionEngine) -> None:
    """As on a kernel without seccomp; each filter is code in memory that all of the host shares."""
    program = """
        code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
        filters = ctypes.create_string_buffer(struct.pack("H6xQ", 1, ctypes.addressof(code)))
        prctl, number = (157, 317) if os.uname().machine == "x86_64" else (167, 277)
        answers = []
        hidden = ctypes.c_long(22 + (1 << 32)) # the kernel reads the half that says 22
        for call in ((prctl, 22, 2, filters), (prctl, hidden, 2, filters), (number, 1, 0, filters)):
            answers += [libc.syscall(*call), ctypes.get_errno()]
        count, error = 0, "-".join(map(str, answers))
    """
    (_, answers), _, _ = await held_by(engine, program)
    assert answers == "-1-22--1-22--1-38"


async def test_cores_are_dumped_to_nobody(engine: ExecutionEngine) -> None:
    """A limit of 1, which a program cannot lower: of 0 the kernel takes no notice where core_pattern is a program."""
    program = """
        core = resource.RLIMIT_CORE
        limits = [resource.getrlimit(core)]
        resource.setrlimit(core, (0, 0)) # nothing fails
        limits.append(resource.getrlimit(core))
        try: resource.prlimit(0, core, (0, 0))
        except OSError as failure: limits.append(type(failure).__name__)
        assert os.system("ulimit -c 0") == 0
        error = str(limits).replace(" ", "")
    """
    (_, limits), _, _ = await held_by(engine, program)
    assert limits == "[(1,1),(1,1),'PermissionError']"


async def test_locks_are_counted_whoever_made_them(engine: ExecutionEngine) -> None:
    """A process that shares its files with another cannot leave locks behind that name a dead owner."""
    program = """
        CLONE_FILES, CLONE_THREAD = 0x400, 0x10000
        error = libc.syscall(56 if os.uname().machine == "x86_64" else 220, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
        if error == 0: os._exit(0)
        try: fcntl.fcntl(open("x", "w"), 37, struct.pack("hhqqi4x", 1, 0, 0, 0, 0))
        except OSError as failure: count = failure.errno
    """
    line, _, _ = await held_by(engine, program)
    assert line == ["22", "-1"]


# -- everyday programs


async def test_copies_keep_what_they_can(engine: ExecutionEngine) -> None:
    """Extended attributes are not there, as on many file systems."""
    code = """
import errno, os, shutil, subprocess, tarfile
os.mkdir("d"); open("d/a", "w").write("x"); os.chmod("d/a", 0o640); os.utime("d/a", (1, 1))
shutil.copy2("d/a", "b"); shutil.copytree("d", "e")
commands = "cp -a d f; tar -cf t.tar d; mkdir g; tar -xpf t.tar -C g; mv d h; ls -l h/a; install h/a i"
for command in commands.split("; "):
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
tarfile.open("u.tar", "w").add("h")
try: os.listxattr("b")
except OSError as error: print(errno.errorcode[error.errno])
print([(os.stat(path).st_mtime, oct(os.stat(path).st_mode)[-3:]) for path in ("b", "e/a", "f/a", "g/d/a", "h/a")])
"""
    result = await engine.run("python", code)
    assert result.stderr == ""
    assert result.check().stdout == f"ENOTSUP\n{[(1.0, '640')] * 5}\n"


async def test_interfaces_and_names_are_found(engine: ExecutionEngine) -> None:
    """By all who ask netlink: libc's resolver and lists of interfaces, Node's servers for developers."""
    code = """
import concurrent.futures, socket
names = lambda _: (socket.getaddrinfo("localhost", 80)[0][4], socket.if_nameindex())
with concurrent.futures.ThreadPoolExecutor(16) as executor:
    print(set(map(str, executor.map(names, range(400)))))
"""
    result = await engine.run("python", code)
    assert result.check().stdout.strip() == str({str((("::1", 80, 0, 0), [(1, "lo")]))})
    code = (
        "const os = require('os'); for (let i = 300; i--;) os.networkInterfaces(); console.log(os.networkInterfaces())"
    )
    result = await engine.run("javascript", code)
    assert "127.0.0.1" in result.check().stdout


async def test_sockets_that_were_closed_are_not_counted(engine: ExecutionEngine) -> None:
    """The kernel frees them some time later: a program that opens one after another has all of them."""
    code = """
import collections, errno, socket, threading
seen = collections.Counter()
def work():
    for _ in range(600):
        try:
            for _ in range(3): socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one: one.bind(("::1", 0))
            seen["ok"] += 1
        except OSError as error: seen[errno.errorcode[error.errno]] += 1
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(dict(seen))
"""
    assert (await engine.run("python", code, timeout=60)).check().stdout == "{'ok': 4800}\n"


async def test_sockets_are_to_be_had_again_once_they_were_closed(engine: ExecutionEngine) -> None:
    """A program that has as many as it may is told so, also by a call after the first."""
    code = """
import errno, socket
def fill():
    held = []
    try:
        while len(held) < 2000: held.append(socket.socket())
    except OSError as error:
        told = errno.errorcode[error.errno]
    try: socket.socket()
    except OSError as error: return told, errno.errorcode[error.errno], len(held) > 300
print([fill() for _ in range(3)])
"""
    result = await engine.run("python", code, timeout=60)
    assert result.check().stdout == f"{[('ENFILE', 'ENFILE', True)] * 3}\n"


async def test_databases_lock_as_often_as_they_like(engine: ExecutionEngine) -> None:
    """How many locks are held is bounded, not how often they are taken; also while processes wait for each other."""
    code = """
import fcntl, multiprocessing, sqlite3
def work(number):
    database = sqlite3.connect("data.db", timeout=60, isolation_level=None)
    for step in range(150): database.execute("insert into t values (?)", (step,))
    database.close()
if __name__ == "__main__":
    with sqlite3.connect("data.db", isolation_level=None) as database: database.execute("create table t (x)")
    with multiprocessing.Pool(4) as pool: pool.map(work, range(4))
    print(database.execute("select count(*) from t").fetchone()[0])
    with open("file", "w") as file:
        for _ in range(30_000): fcntl.lockf(file, fcntl.LOCK_EX); fcntl.lockf(file, fcntl.LOCK_UN)
        fcntl.flock(file, fcntl.LOCK_EX)
    print("locked")
"""
    result = await engine.run("python", code, timeout=60)
    assert result.check().stdout == "600\nlocked\n"


async def test_locks_refused_to_one_run_are_granted_to_the_next(engine: ExecutionEngine) -> None:
    """In the same session at once."""
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        refused = await session.run("python", _PRELUDE + textwrap.dedent(_SLAB["record locks"]) + _END, stdin=b"")
        assert refused.stdout.split()[1] == "37"
        granted = await session.run("python", "import fcntl; fcntl.lockf(open('f', 'w'), fcntl.LOCK_EX)")
        assert granted.outcome == "ok"
