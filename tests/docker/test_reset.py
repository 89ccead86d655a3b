"""A container that is used again: whatever a run did to it, the next one finds it as new, or finds another one."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig
from tests.watch import containers_of, eventually, inspect_container, owner_of

from .conftest import BOTH_WAYS, Isolated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools._docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.alone]  # a reset has little time


@pytest.fixture(scope="module", params=BOTH_WAYS)
def isolation(request: pytest.FixtureRequest) -> Isolated:
    """What is around a program goes with it: by a reset, or because a sandbox is thrown away."""
    return request.param


POOL = ContainerStrategy.POOL

LOOK = """
import json, os, socket, subprocess
def walk(top):
    return sorted(os.path.join(at, name) for at, directories, files in os.walk(top) for name in directories + files)
def table(path):
    return [line.split()[-1] for line in open(path).read().splitlines()[1:] if "@" in line]
def listening(path):
    return [line.split()[1] for line in open(path).read().splitlines()[1:] if line.split()[3] != "06"]
space = {top: (os.statvfs(top).f_bfree, os.statvfs(top).f_ffree) for top in ("/workspace", "/tmp", "/dev/shm")}
print(json.dumps({
    "processes": sorted(open(f"/proc/{p}/comm").read().strip() for p in os.listdir("/proc") if p.isdigit()),
    "files": walk("/workspace") + walk("/tmp") + walk("/dev/shm") + walk("/dev/mqueue") + walk("/run/user"),
    "space": space,
    "unix": table("/proc/net/unix"),
    "sockets": [listening("/proc/net/" + name) for name in ("tcp", "tcp6", "udp", "udp6")],
    "ipc": [open("/proc/sysvipc/" + name).read().count("\\n") for name in ("shm", "sem", "msg")],
    "modes": [oct(os.stat(top).st_mode) for top in ("/workspace", "/tmp", "/dev/shm")],
    "owners": [os.stat(top).st_uid for top in ("/workspace", "/tmp", "/dev/shm")],
    "environment": sorted(os.environ),
    "imports": [json.__file__, subprocess.__file__],
}))
"""


@pytest.fixture(scope="module")
async def pristine(single: ExecutionEngine) -> Any:  # noqa: ANN401 - any JSON
    """What a run finds in a container that was never used."""
    return json.loads((await single.run("python", LOOK, strategy=POOL)).check().stdout)


# A section is "### name" and a program.
_SECTION = re.compile(r"^### (.+)\n((?:(?!###).*\n)*)", re.MULTILINE)
DEEDS = [
    pytest.param(program, id=name)
    for name, program in _SECTION.findall(Path(__file__).with_name("reset_programs.txt").read_text("utf-8"))
]


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("deed", DEEDS)
async def test_next_run_finds_everything_as_new(single: ExecutionEngine, pristine: dict[str, Any], deed: str) -> None:
    """In the same container: nothing of this is a reason to give it up."""
    discards = single.stats().discards
    await single.run("python", deed, strategy=POOL, timeout=30)
    found = json.loads((await single.run("python", LOOK, strategy=POOL)).check().stdout)
    assert found == pristine
    assert single.stats().discards == discards


LEAVE_A_FILE = {
    "shell": "pwd; id -u; ls -A; echo x > x",
    "javascript": """
const fs = require('fs');
console.log(process.cwd(), process.getuid(), ...fs.readdirSync('.'));
fs.writeFileSync('x', 'x');
""",
}


@pytest.mark.parametrize("language", LEAVE_A_FILE)
async def test_next_run_of_another_language_finds_everything_as_new(single: ExecutionEngine, language: str) -> None:
    """Its interpreter is booted as the next user, after the reset."""
    uids: set[str] = set()
    for _ in range(3):
        result = await single.run(language, LEAVE_A_FILE[language], strategy=POOL)
        directory, uid, *names = result.check().stdout.split()
        assert (directory, names) == ("/workspace", ["main.sh" if language == "shell" else "main.js"])
        uids.add(uid)
    assert len(uids) > 1


async def test_reset_takes_its_time_or_gives_the_container_up(single: ExecutionEngine) -> None:
    """The next caller is right in any case, and does not wait for long."""
    code = """
import os
for n in range(60_000):
    try: os.link("/workspace/main.py", f"/workspace/{n:0200}")
    except OSError: break
"""
    await single.run("python", code, strategy=POOL)
    before = time.monotonic()
    assert (await single.run("python", "import os; print(os.listdir())", strategy=POOL)).stdout == "['main.py']\n"
    assert time.monotonic() - before < 60


async def test_reuse_is_quick_and_lasting(single: ExecutionEngine) -> None:
    """Hundreds of runs in one container; its processes and its supervisor do not grow."""
    before, counts, sizes = time.monotonic(), set[str](), set[int]()
    refills = single.stats().refills
    for _ in range(300):
        code = """
import os
open("f", "w").write("x" * 100_000)
print(len(os.listdir("/proc")), open("/proc/1/status").read().partition("VmRSS:")[2].split()[0])
"""
        count, size = (await single.run("python", code, strategy=POOL)).check().stdout.split()
        counts.add(count)
        sizes.add(int(size))
    assert time.monotonic() - before < 120
    assert single.stats().refills == refills
    assert len(counts) == 1
    assert max(sizes) < 2048  # KiB


async def test_memory_that_no_process_holds(single: ExecutionEngine) -> None:
    """It was sent through sockets and never received: the next run has it all."""
    hide = """python3 - <<'END'
import os, socket
a, b = socket.socketpair(); f = os.memfd_create("x")
for _ in range(150): os.write(f, b"x" * (1 << 20))
socket.send_fds(a, [b"x"], [a.fileno(), b.fileno(), f]); socket.send_fds(b, [b"x"], [a.fileno(), b.fileno()])
os._exit(0)
END"""
    options = {"image": "interpreter-tools/python:1", "strategy": POOL}
    for _ in range(3):
        assert (await single.run("shell", hide, **options)).outcome == "ok"  # pyright: ignore[reportArgumentType]
        needs = "python3 -c 'print(len(bytearray(150 << 20)))'"
        assert (await single.run("shell", needs, **options)).stdout == "157286400\n"  # pyright: ignore[reportArgumentType]


# -- resets that do not end well

# A quarter of a second. The client sends the reset of such a container itself, after the run: it cannot be over before.
MUCH_TO_WIPE = "for (let n = 0; n < 60_000; n++) require('fs').closeSync(require('fs').openSync(String(n), 'w'))"


@pytest.fixture
async def wiping(docker_client: DockerClient) -> AsyncIterator[tuple[ExecutionEngine, int, str]]:
    """An engine whose only container is being wiped, the supervisor that wipes it, and the container."""
    config = EngineConfig(isolation="container", prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        await engine.run("javascript", "", strategy=POOL)
        (container,) = await containers_of(docker_client, engine)
        inspected = await inspect_container(docker_client, container)
        assert inspected is not None
        assert (await engine.run("javascript", MUCH_TO_WIPE, strategy=POOL)).outcome == "ok"
        yield engine, inspected["State"]["Pid"], container


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGKILL, "reset: lost"), (signal.SIGSTOP, "reset: deadline")], ids=["dead", "silent"]
)
async def test_container_that_is_lost_in_its_reset(
    wiping: tuple[ExecutionEngine, int, str], docker_client: DockerClient, number: signal.Signals, cause: str
) -> None:
    """It is given up, counted by its cause, and removed; whoever waits for it has another."""
    engine, supervisor, lost = wiping
    os.kill(supervisor, number)
    listed = await engine.run("javascript", "console.log(require('fs').readdirSync('.').join())", strategy=POOL)
    assert listed.stdout == "main.js\n"
    assert engine.stats().discards == {cause: 1}
    await eventually(lambda: containers_of(docker_client, engine), lambda found: lost not in found)


async def test_engine_that_closes_in_the_middle_of_a_reset(
    wiping: tuple[ExecutionEngine, int, str], docker_client: DockerClient
) -> None:
    """It does not wait for it, and leaves nothing behind."""
    engine, _, _ = wiping
    owner = owner_of(engine)
    assert engine.stats().starting == 1
    await engine.aclose()
    assert await containers_of(docker_client, owner) == {}
