"""What programs do to their supervisor on a real engine; ``tests/supervisor`` has more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker

SESSION = ContainerStrategy.PER_SESSION
POOL = ContainerStrategy.POOL

# -- the supervisor lives

SIGNALS = """
import os, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        while True:
            for number in (15, 2, 1, 3):
                try: os.kill(1, number)
                except OSError: pass
time.sleep(0.02)
"""


@pytest.mark.parametrize("end", ["", "time.sleep(99)"], ids=["ends", "times-out"])
async def test_signals_to_the_supervisor_change_nothing(engine: ExecutionEngine, end: str) -> None:
    """Neither while the program runs nor while what it left is killed; a session keeps its files."""
    async with engine.session(strategy=SESSION) as session:
        await session.write_file("kept", b"1")
        for _ in range(8):
            result = await session.run("python", SIGNALS + end, timeout=1 if end else 10)
            assert result.outcome == ("timeout" if end else "ok")
        assert await session.read_file_binary("kept") == b"1"


FILLS = """
import os
WHO
try: open("/proc/self/oom_score_adj", "w").write("0")
except OSError: pass  # where the kernel has Landlock, and in a sandbox
f = os.memfd_create("x")
while True: os.write(f, b"x" * (1 << 20))
"""


@pytest.mark.parametrize("who", ["if os.fork(): os.wait(); raise SystemExit(1)", ""], ids=["child", "program"])
async def test_program_that_spares_itself_fills_the_memory(engine: ExecutionEngine, who: str) -> None:
    """The kernel may take the waiting interpreter instead: that costs no more than its boot."""
    async with engine.session(strategy=SESSION) as session:
        for _ in range(8):
            result = await session.run("python", FILLS.replace("WHO", who), memory_limit="64m", timeout=20)
            assert result.outcome == "oom"
            assert result.oom_kills
            assert (await session.run("python", "print(1)")).stdout == "1\n"


async def test_child_that_was_killed_for_memory_is_told_beside_the_outcome(engine: ExecutionEngine) -> None:
    """The program coped: its outcome is its own."""
    code = """
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "x = bytearray(1 << 30)"]).returncode)
"""
    result = await engine.run("python", code, memory_limit="64m")
    assert (result.check().stdout, result.oom_kills) == ("-9\n", 1)
    assert (await engine.run("python", code + "sys.exit(3)", memory_limit="64m")).outcome == "oom"
    assert (await engine.run("python", "print(1)")).oom_kills == 0


# -- a run ends

HOLDS = """
import os, socket
a, b = socket.socketpair()
socket.send_fds(a, [b"x"], [a.fileno(), b.fileno(), 1, 2])
os.write(1, b"done")
os._exit(0)
"""


@pytest.mark.parametrize("strategy", [SESSION, POOL])
async def test_pipe_that_is_held_in_flight_does_not_hold_the_run(
    engine: ExecutionEngine, strategy: ContainerStrategy
) -> None:
    """The result comes when the program has ended, and not when the kernel happens to look."""
    async with engine.session(strategy=strategy) as session:
        for _ in range(5):
            before = time.monotonic()
            result = await session.run("python", HOLDS, timeout=60)
            assert time.monotonic() - before < 30  # a run that is held ends with its time limit
            assert result.check().stdout == "done"


# -- what is left

BINDS = """
import socket
server = socket.socket()
server.bind(("127.0.0.1", 8000))  # without SO_REUSEADDR
server.listen()
client = socket.create_connection(("127.0.0.1", 8000))
accepted, _ = server.accept()
accepted.close()
client.recv(1)
client.close()
print(open("/proc/net/tcp").read().count(" 06 "))
"""


async def test_connections_of_the_last_run_leave_no_trace(single: ExecutionEngine) -> None:
    """The next run binds the same port, and in the same container."""
    discards = single.stats().discards
    for _ in range(3):
        assert (await single.run("python", BINDS, strategy=POOL)).check().stdout == "0\n"
    assert single.stats().discards == discards


async def test_flow_label_is_refused(single: ExecutionEngine) -> None:
    """It would live on for seconds, and cannot be taken away: it would cost the container."""
    code = """
import ctypes, errno, platform, socket, struct
libc, number = ctypes.CDLL(None, use_errno=True), {"x86_64": 54}.get(platform.machine(), 208)  # setsockopt
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
label = socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!I", 0x4242)
request = label + struct.pack("=BBHHHI", 0, 1, 1, 60, 60, 0)
for level in (41, 41 | 1 << 32):  # the kernel reads the lower half
    got = libc.syscall(number, s.fileno(), ctypes.c_long(level), 32, request, len(request))
    print(got, errno.errorcode[ctypes.get_errno()])
print(len(open("/proc/net/ip6_flowlabel").readlines()))
"""
    discards = single.stats().discards
    refused = "-1 ENOPROTOOPT\n"
    assert (await single.run("python", code, strategy=POOL)).check().stdout == f"{refused}{refused}1\n"
    assert single.stats().discards == discards


# -- names

BLOCKS = {
    "fifo": "import os; os.unlink('main.py'); os.mkfifo('main.py')",
    "link": "import os; os.unlink('main.py'); os.symlink('/etc/passwd', 'main.py')",
    "loop": "import os; os.unlink('main.py'); os.symlink('main.py', 'main.py')",
    "directory": "import os; os.unlink('main.py'); os.makedirs('main.py/a/b'); os.chmod('main.py', 0)",
    "mode": "import os; os.chmod('main.py', 0)",
}


@pytest.mark.parametrize("deed", BLOCKS.values(), ids=BLOCKS)
async def test_program_cannot_stand_in_the_way_of_the_next(engine: ExecutionEngine, deed: str) -> None:
    """Whatever it makes of its own file, the session goes on."""
    async with engine.session(strategy=SESSION) as session:
        (await session.run("python", deed)).check()
        for number in range(2):
            assert (await session.run("python", f"print({number})")).check().stdout == f"{number}\n"


async def test_files_of_a_renamed_directory_are_generated(engine: ExecutionEngine) -> None:
    """By the run that renamed it, under their new names."""
    async with engine.session(strategy=SESSION) as session:
        made = await session.run("python", "import os; os.makedirs('out/a'); open('out/a/x', 'w'); open('out/y', 'w')")
        assert made.generated_files == ("out/a/x", "out/y")
        moved = await session.run("python", "import os; os.rename('out', 'final')")
        assert moved.generated_files == ("final/a/x", "final/y")
        assert (await session.run("python", "")).generated_files == ()
