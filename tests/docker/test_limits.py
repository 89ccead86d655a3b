"""Limits: what a program may take, how it ends when it takes more, and that only it is hurt."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Unpack, cast

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    PoolConfig,
)
from tests.relay import Relay
from tests.watch import FORK_ALL, LIMITS, ONE_SHOT

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools import ExecutionResult, RunOptions, Session

pytestmark = pytest.mark.docker

POOL, PER_SESSION = ContainerStrategy.POOL, ContainerStrategy.PER_SESSION
MIB = 1 << 20
ALONE = (["supervisor", "python3", "myself"], ["supervisor", "myself"])
"""All processes of a container that is as new; and of a sandbox inside of one, where what boots programs is outside."""


async def processes(engine: ExecutionEngine) -> list[str]:
    """Everything that runs in the container: the supervisor, the interpreter booted ahead, the program itself."""
    code = """
import os
for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
    with open(f"/proc/{pid}/comm") as comm:
        print("myself" if pid == os.getpid() else comm.read().strip())
"""
    return (await engine.run("python", code, strategy=POOL)).check().stdout.split()


async def assert_unharmed(engine: ExecutionEngine, discards: dict[str, int]) -> None:
    """The container was kept, and holds what a new one does."""
    assert await processes(engine) in ALONE
    assert engine.stats().discards == discards


# -- time


STUBBORN = {
    "spins": "while True: pass",
    "sleeps": "import time; time.sleep(99)",
    "waits": "import os; os.mkfifo('f'); open('f')",
    "ignores signals": """
import signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: signal.pause()
""",
    "is stopped": "import os, signal; os.kill(0, signal.SIGSTOP)",
    "forks a tree": """
import os, time
for _ in range(5): os.fork()
time.sleep(99)
""",
    "forks stopped sessions": """
import os, signal, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(99)
time.sleep(99)
""",
    "is a fork bomb": """
import os
while True:
    try: os.fork()
    except BaseException: pass
""",
    "is a thread bomb": """
import threading, time
while True:
    try: threading.Thread(target=time.sleep, args=(99,)).start()
    except BaseException: pass
""",
    "forks and dies": """
import os
while True:
    try:
        if os.fork(): os._exit(0)
    except OSError: pass
""",
    "leaves zombies": """
import os, time
for _ in range(30):
    if os.fork() == 0: os._exit(0)
time.sleep(99)
""",
    "never reads": "import os, time; os.close(0); time.sleep(99)",
    "closes its streams": "import os, time; os.closerange(0, 9); time.sleep(99)",
}


@pytest.mark.parametrize("name", STUBBORN)
async def test_time_limit_ends_whatever_the_program_does(single: ExecutionEngine, name: str) -> None:
    """It, its children, their sessions; the result comes at once, the container is as new."""
    before, discards = time.monotonic(), single.stats().discards
    result = await single.run("python", STUBBORN[name], timeout=0.5, strategy=POOL)
    elapsed = time.monotonic() - before
    if name == "forks and dies":  # the first one ends at once, and all that it left with it
        assert result.outcome in {"ok", "timeout"}
    else:
        assert (result.outcome, result.signal, result.exit_code) == ("timeout", 9, 137)
        assert 0.5 <= result.execution_time < 10
    assert elapsed < 30  # programs that sleep do so for 99 s
    await assert_unharmed(single, discards)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "setInterval(() => {}, 1000)"),
        ("javascript", "for (;;);"),
        ("typescript", "while (true) {}"),
        ("shell", "sleep 99 & sleep 99"),
        ("bash", "bomb() { bomb | bomb & }; bomb; while :; do :; done"),
    ],
)
async def test_time_limit_holds_in_every_language(engine: ExecutionEngine, language: str, code: str) -> None:
    """However its interpreter was started."""
    result = await engine.run(language, code, timeout=0.5)
    assert (result.outcome, result.signal) == ("timeout", 9)
    assert 0.5 <= result.execution_time < 10


async def test_daemon_does_not_outlive_the_program(single: ExecutionEngine) -> None:
    """The program's end is the end, though a child in another session still holds its output."""
    code = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("daemon", flush=True)
        open("/tmp/ready", "w").close()
        time.sleep(0.3)
        print("late", flush=True)
        open("late", "w").close()
        time.sleep(99)
    os._exit(0)
while not os.path.exists("/tmp/ready"): time.sleep(0.01)
print("parent")
"""
    discards = single.stats().discards
    async with single.stream("python", code, timeout=30, strategy=POOL) as execution:
        text = "".join([chunk.text async for chunk in execution])
        result = await execution.result()
    assert (result.outcome, text) == ("ok", "daemon\nparent\n")
    assert result.execution_time < 20
    assert result.generated_files == ()
    await assert_unharmed(single, discards)


# -- memory


async def test_program_over_its_memory_is_oom(single: ExecutionEngine) -> None:
    """Named by the kernel's counter, not guessed from the signal; the supervisor lives."""
    discards = single.stats().discards
    result = await single.run("python", "x = bytearray(400 << 20)", strategy=POOL)
    assert (result.outcome, result.signal, result.exit_code) == ("oom", 9, 137)
    assert 200 * MIB < result.peak_memory <= 257 * MIB
    killed = await single.run("python", "import os; os.kill(os.getpid(), 9)", strategy=POOL)
    assert (killed.outcome, killed.signal) == ("error", 9)
    await assert_unharmed(single, discards)


_STEPS_BACK = """
for process in /proc/self /proc/$$; do
  for value in -1000 -1 0 999; do
    (echo $value > $process/oom_score_adj) 2> /dev/null && echo "$process takes $value"
  done
  cat $process/oom_score_adj
done
"""


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("shell", _STEPS_BACK),
        ("python", f"import subprocess; subprocess.run(['sh', '-c', {_STEPS_BACK!r}])"),
        ("javascript", f"require('child_process').spawnSync('sh', ['-c', {_STEPS_BACK!r}], {{stdio: 'inherit'}})"),
    ],
)
async def test_no_program_steps_back_when_memory_is_short(engine: ExecutionEngine, language: str, code: str) -> None:
    """It goes first; else a small one that fills the memory would have the kernel take the supervisor."""
    result = await engine.run(language, code)
    assert (result.stdout, result.stderr) == ("1000\n1000\n", "")


async def test_child_over_the_memory_dies_alone(single: ExecutionEngine) -> None:
    """Its parent sees SIGKILL and goes on, and ends as it likes; the result tells of the child beside that."""
    code = """
import subprocess, sys
big = subprocess.Popen([sys.executable, "-c", "x = bytearray(400 << 20)"])
small = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
print(big.wait(), small.wait())
"""
    result = await single.run("python", code, strategy=POOL)
    assert (result.stdout, result.exit_code, result.outcome, result.oom_kills) == ("-9 0\n", 0, "ok", 1)


async def test_interpreter_that_waits_outlives_a_program_beside_it(single: ExecutionEngine) -> None:
    """A variable of Python's own makes a run start another one; when that runs out of memory, it alone is killed."""
    code = """
import os
f = os.memfd_create("x"); os.set_inheritable(f, True)
os.execvp("dd", ["dd", "if=/dev/zero", f"of=/proc/self/fd/{f}", "bs=64k", "status=none"])
"""
    discards = single.stats().discards
    for _ in range(2):
        result = await single.run("python", code, strategy=POOL, environment={"PYTHONHASHSEED": "1"})
        assert (result.outcome, result.signal) == ("oom", 9)
        await assert_unharmed(single, discards)


async def test_limits_of_one_run_end_with_it(engine: ExecutionEngine) -> None:
    """Memory, cores and time."""
    allocate = "x = bytearray(100 << 20)"
    assert (await engine.run("python", allocate, memory_limit="64m")).outcome == "oom"
    assert (await engine.run("python", allocate)).outcome == "ok"
    spin = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    slow = await engine.run("python", spin, cpu_limit=0.25)
    assert slow.outcome == "ok"
    assert slow.cpu_time < 0.6 * slow.execution_time


LOOK = f"""
{LIMITS}
import json
print(json.dumps([limit(), room("/workspace"), room("/tmp")]))
"""


async def look(runner: ExecutionEngine | Session, **options: Unpack[RunOptions]) -> list[int]:
    """Processes, and bytes of the workspace and of /tmp, that a run may have."""
    return json.loads((await runner.run("python", LOOK, **options)).check().stdout)


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_processes_and_room_of_one_run_end_with_it(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """As its memory does: it has a container of that shape."""
    usual = await look(engine, strategy=strategy)
    assert usual == [256, 256 * MIB, 64 * MIB]
    asked = await look(engine, strategy=strategy, pids_limit=40, workspace_size="8m", tmp_size=2 * MIB)
    assert asked == [40, 8 * MIB, 2 * MIB]
    assert await look(engine, strategy=strategy) == usual


async def test_limits_of_a_run_are_set_on_the_container_of_its_session(tmp_path: Path) -> None:
    """All three at once, and not asked for again; what changes none asks the engine for nothing."""
    small = ContainerConfig(memory_limit="256m", workspace_size="16m", tmp_size="4m", pids_limit=50)
    async with Relay(tmp_path / "docker.sock") as relay:
        config = EngineConfig(
            docker_host=relay.address, container=small, prewarm=(), pool=PoolConfig(min_size=0, max_size=1)
        )
        async with ExecutionEngine(config) as engine, engine.session(strategy=PER_SESSION) as session:

            def updates() -> int:
                return sum(b"/update" in call for call in relay.calls)

            assert await look(session) == [50, 16 * MIB, 4 * MIB]
            await look(session, pids_limit=50, memory_limit="256m", workspace_size="16m", cpu_limit=None)
            await session.write_file("a", b"1")
            assert updates() == 0
            assert await look(session, pids_limit=20) == [20, 16 * MIB, 4 * MIB]
            assert await look(session, pids_limit=20) == [20, 16 * MIB, 4 * MIB]
            assert updates() == 1
            assert await look(session, memory_limit="128m", cpu_limit=1) == [50, 16 * MIB, 4 * MIB]
            assert updates() == 2
            assert await look(session) == [50, 16 * MIB, 4 * MIB]
            assert updates() == 3
            assert len(session.info().container_history) == 1


@pytest.mark.parametrize("name", ["workspace_size", "tmp_size"])
async def test_room_that_is_there_keeps_its_size(engine: ExecutionEngine, name: str) -> None:
    """The call is refused, and the session is as it was."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.run("shell", "echo kept > file")
        with pytest.raises(ConfigurationError, match=f"{name}: '8m' cannot change for a run"):
            await session.run("shell", "true", **cast("RunOptions", {name: "8m"}))
        assert (await session.run("shell", "cat file")).stdout == "kept\n"


async def test_files_of_a_session_are_not_limited_by_its_last_run(engine: ExecutionEngine) -> None:
    """What was given to one run has ended with it."""
    async with engine.session(strategy=PER_SESSION) as session:
        assert (await session.run("shell", "true", memory_limit="40m")).outcome == "ok"
        await session.write_file("large", bytes(100 * MIB))
        assert (await session.run("shell", "stat -c %s large")).stdout == f"{100 * MIB}\n"


# -- space


async def test_full_mounts_are_an_error_of_the_program_only(single: ExecutionEngine) -> None:
    """ENOSPC, not oom; and the next run can write as much."""
    code = """
import errno, json
written = {}
for directory in ("/workspace", "/tmp", "/dev/shm"):
    size = 0
    try:
        with open(directory + "/full", "wb", 0) as file:
            while True:
                size += file.write(bytes(1 << 16))
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    written[directory] = size
print(json.dumps(written))
"""
    discards = single.stats().discards
    results = [await single.run("python", code, strategy=POOL) for _ in range(3)]
    assert [result.outcome for result in results] == ["ok"] * 3, results
    written = json.loads(results[0].stdout)
    assert written["/workspace"] >= 127 * MIB
    assert written["/tmp"] >= 31 * MIB
    assert written["/dev/shm"] > 8 * MIB
    assert all(
        abs(json.loads(result.stdout)[place] - size) < MIB for result in results for place, size in written.items()
    )
    await assert_unharmed(single, discards)


async def test_million_files_are_an_error_of_the_program_only(single: ExecutionEngine) -> None:
    """There is an end to them; then the next run is right, in whichever container."""
    code = """
import errno
made = 0
try:
    for made in range(1_000_000):
        open(f"/tmp/{made}", "w").close()
except OSError as error:
    assert error.errno == errno.ENOSPC, error
print(made)
"""
    results = [await single.run("python", code, strategy=POOL) for _ in range(2)]
    assert [result.outcome for result in results] == ["ok", "ok"]
    assert 1000 < int(results[0].stdout) < 200_000
    assert results[0].stdout == results[1].stdout


async def test_processes_are_counted(single: ExecutionEngine) -> None:
    """Threads and children alike; the program is told by EAGAIN."""
    discards = single.stats().discards
    result = await single.run("python", FORK_ALL, strategy=POOL)
    assert (result.outcome, result.exit_code) == ("ok", 0)
    assert 40 < int(result.stdout) < 64
    await assert_unharmed(single, discards)


async def test_descriptors_are_counted(single: ExecutionEngine) -> None:
    """Those of the program only."""
    code = """
import errno, os
opened = 0
try:
    while opened < 10_000:
        os.pipe()
        opened += 2
except OSError as error:
    assert error.errno == errno.EMFILE, error
print(opened)
"""
    discards = single.stats().discards
    result = await single.run("python", code, strategy=POOL)
    assert (result.outcome, int(result.stdout) > 1000) == ("ok", True)
    await assert_unharmed(single, discards)


async def test_wild_mixtures_end(single: ExecutionEngine) -> None:
    """Everything at once, several times over."""
    code = """
import os, sys, threading
def shout():
    while True:
        try: os.write(1, b"x" * 65536)
        except OSError: pass
def grow():
    kept = []
    while True:
        try: kept.append(bytearray(1 << 20))
        except MemoryError: pass
def fill(number):
    while True:
        try: open(f"/tmp/{os.getpid()}-{number}", "ab").write(bytes(1 << 16))
        except OSError: pass
for number in range(4):
    try: os.fork()
    except OSError: pass
for function in (shout, grow, lambda: fill(1)):
    threading.Thread(target=function).start()
"""
    results: list[ExecutionResult] = [await single.run("python", code, timeout=2, strategy=POOL) for _ in range(3)]
    assert {result.outcome for result in results} <= {"oom", "output_limit", "timeout"}
    assert await processes(single) in ALONE
