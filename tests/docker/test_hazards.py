"""What must be survived, one test a hazard, in each of the three ways to surround a program.

The ways: a fresh sandbox for each run in one container (``sandbox``), a container for each run (``container``), and one
container with a verified reset after each run (``reset``). After every hazard an innocent run is right: it sees nothing
of the one before, and can write as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerLost,
    ContainerStrategy,
    EngineConfig,
    EngineMisused,
    ExecutionEngine,
    ImageMissing,
    InterpreterMissing,
    InterpreterToolsError,
    InvalidPath,
    PoolConfig,
    PoolTimeout,
)
from interpreter_tools._container.container import Container
from interpreter_tools._docker import DockerClient
from interpreter_tools._exceptions import ProtocolError
from interpreter_tools._pool import resets
from tests.relay import Relay
from tests.watch import busy_container, containers_of, containers_of_process, eventually, open_descriptors, owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ExecutionResult
    from interpreter_tools._config.options import RunOptions

    from .conftest import Isolated

pytestmark = pytest.mark.docker

POOL, FRESH = ContainerStrategy.POOL, ContainerStrategy.PER_EXECUTION
WAYS: dict[str, tuple[Isolated, ContainerStrategy]] = {
    "sandbox": ("sandbox", POOL),
    "container": ("container", FRESH),
    "reset": ("container", POOL),
}

INNOCENT = """
import json, os
mine = [p for p in os.listdir("/proc") if p.isdigit() and p != "1" and os.stat(f"/proc/{p}").st_uid == os.getuid()]
with open("/tmp/much", "wb") as file: file.write(bytes(30 << 20))
os.unlink("/tmp/much")
print(json.dumps({
    "files": [sorted(os.listdir(place)) for place in ("/workspace", "/tmp", "/dev/shm", "/dev/mqueue")],
    "processes": len(mine), "environment": sorted(os.environ), "json": json.__file__.startswith("/usr"),
    "unix": [line.split()[7] for line in open("/proc/net/unix").read().splitlines()[1:] if len(line.split()) > 7],
}))
"""
CLEAN: dict[str, Any] = {
    "files": [["main.py"], ["home"], [], []],
    "processes": 1,
    "json": True,
    "unix": ["@interpreter-tools"],
}


class Place:
    """One of the ways, with an engine of its own."""

    def __init__(self, way: str, engine: ExecutionEngine) -> None:
        self.way = way
        self.isolation, self.strategy = WAYS[way]
        self.engine = engine

    async def run(self, code: str, **options: Unpack[RunOptions]) -> ExecutionResult:
        """Run a program this way."""
        options.setdefault("timeout", 20)
        options["strategy"] = self.strategy
        result = await self.engine.run("python", code, **options)
        assert result.isolation == self.way
        return result

    async def innocent(self) -> None:
        """The next run is right."""
        result = await self.run(INNOCENT)
        seen = json.loads(result.check().stdout)
        environment = seen.pop("environment")
        assert seen == CLEAN
        assert [name for name in environment if "SECRET" in name or "EVIL" in name] == []
        assert self.way == "reset" or set(self.engine.stats().discards) <= {"used"}

    async def innocent_after_loss(self) -> None:
        """The next run is right, in another container than the one that was lost."""
        result = await self.run("import os; print(os.listdir())")
        assert result.stdout == "['main.py']\n"


CONTAINER = ContainerConfig(memory_limit="256m", pids_limit=64)
CONTAINERS = PoolConfig(min_size=0, max_size=2, wait_timeout=120)


def config_of(
    way: str, *, pool: PoolConfig = CONTAINERS, container: ContainerConfig = CONTAINER, docker_host: str | None = None
) -> EngineConfig:
    """An engine with small containers, of which there are two."""
    return EngineConfig(isolation=WAYS[way][0], prewarm=(), pool=pool, container=container, docker_host=docker_host)


@pytest.fixture(scope="module", params=WAYS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """The way that a test is run in."""
    async with ExecutionEngine(config_of(request.param)) as engine:
        yield Place(request.param, engine)


@pytest.fixture
async def own(place: Place) -> AsyncIterator[Place]:
    """The same with an engine for one test, which may harm it."""
    before = open_descriptors()
    async with ExecutionEngine(config_of(place.way)) as engine:
        yield Place(place.way, engine)
    assert open_descriptors() <= before + 2


CALL = """
import ctypes, errno, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
old = platform.machine() == "x86_64"
def call(generic, x86, *arguments):
    ctypes.set_errno(0)
    fitting = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return "ok" if libc.syscall(x86 if old else generic, *fitting) >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(function, *arguments):
    try: function(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
    return "ok"
"""
"""Functions that some of the programs use: what the kernel says to a system call, and to a function of Python's."""


class Program(NamedTuple):
    """One that does harm, or comes after it; how it must end, and what it must print."""

    code: str
    outcome: str
    lines: list[str]

    @classmethod
    def read(cls, text: str) -> Program:
        """Take it out of the file of programs."""
        told = [line for line in text.splitlines() if line.startswith(("#= ", "#> "))]
        code = "\n".join(line for line in text.splitlines() if line not in told)
        outcome = next((line[3:] for line in told if line.startswith("#= ")), "ok")
        prelude = CALL if "attempt(" in code else ""
        return cls(prelude + code, outcome, [line[3:] for line in told if line.startswith("#> ")])

    async def run(self, place: Place) -> None:
        """Run it and see that it ends as it should."""
        options: RunOptions = {"timeout": 0.7 if self.outcome == "timeout" else 60}
        if self.outcome == "output_limit":
            options["output_limit"] = 1 << 20
        if "MINE" in self.code:
            options["environment"] = {"MINE": "a-secret-of-the-run"}
        result = await place.run(self.code, **options)
        assert result.outcome == self.outcome, result
        if self.outcome == "output_limit":
            assert len(result.stdout) <= 1 << 20
        else:
            assert result.stdout.splitlines() == self.lines, result


_SECTION = re.compile(r"^### (.+)\n((?:(?!###).*\n)*)", re.MULTILINE)
HAZARDS = [
    pytest.param([Program.read(text) for text in texts.split("#-- then\n")], id=name)
    for name, texts in _SECTION.findall(Path(__file__).with_name("hazard_programs.txt").read_text("utf-8"))
]


@pytest.mark.parametrize("programs", HAZARDS)
async def test_hazard_of_a_program(place: Place, programs: list[Program], monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as it should, and so does the run after it."""
    monkeypatch.setenv("INTERPRETER_TOOLS_SECRET", "a secret of the host")
    for program in programs:
        await program.run(place)
    await place.innocent()


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        pytest.param("x = '" + "x" * (10 << 20) + "'\nprint(len(x))", f"{10 << 20}\n", id="42 a line of ten megabytes"),
        pytest.param("\ufeffprint('bom')", "bom\n", id="42 a byte order mark"),
        pytest.param(
            "import os, time\nos.write(1, b'\\xe2\\x82'); time.sleep(0.05); os.write(1, b'\\xac\\xff!')",
            "\u20ac\ufffd!",
            id="43 bytes that are no text",
        ),
    ],
)
async def test_hazard_of_a_text(place: Place, code: str, stdout: str) -> None:
    """In, and out."""
    assert (await place.run(code)).stdout == stdout
    await place.innocent()


# -- output and ends


async def test_07_file_of_a_petabyte(place: Place) -> None:
    """Nothing of it is allocated, and it is not brought along."""
    result = await place.run("open('huge', 'wb').truncate(1 << 40); open('small', 'w')", collect=["*"])
    assert (list(result.files), result.files_partial) == (["small"], True)
    await place.innocent()


async def test_10_output_leaves_no_log_on_the_host(place: Place, docker_client: DockerClient) -> None:
    """The container has no log driver."""
    code = "print('x' * (1 << 20), flush=True); input()"
    async with place.engine.stream("python", code, strategy=place.strategy, timeout=20) as execution:
        await anext(execution)
        details = await docker_client.inspect_container(busy_container(place.engine))
        assert details is not None
        assert (details["HostConfig"]["LogConfig"]["Type"], details["LogPath"]) == ("none", "")
        await execution.send_stdin(b"\n")
        assert (await execution.result()).ok
    await place.innocent()


async def test_11_every_byte_of_a_program_that_ends_at_once(place: Place) -> None:
    """Though nothing is flushed, and nobody is waited for."""
    for _ in range(5):
        result = await place.run("import os; os.write(1, b'x' * 50_000); os._exit(3)")
        assert (len(result.stdout), result.exit_code) == (50_000, 3)
    await place.innocent()


async def test_12_slow_reader_of_a_program_that_ends(place: Place) -> None:
    """The run is not late because its reader is."""
    size = 0
    code = "print('x' * 200_000)"
    async with place.engine.stream("python", code, strategy=place.strategy, timeout=2) as execution:
        async for chunk in execution:
            await asyncio.sleep(0.6)
            size += len(chunk.data)
        assert ((await execution.result()).outcome, size) == ("ok", 200_001)
    await place.innocent()


async def test_18_crash_is_a_signal_and_leaves_no_core(place: Place) -> None:
    """The signal is told."""
    result = await place.run("import os; os.kill(os.getpid(), 11)")
    assert (result.outcome, result.signal, result.generated_files) == ("error", 11, ())
    await place.innocent()


async def test_19_reset_beyond_its_deadline(own: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container is discarded, and the next caller gets another one."""
    monkeypatch.setattr(resets, "_DEADLINE", 0.2)

    def lost(container: Container) -> None:
        """The request does not arrive."""

    monkeypatch.setattr(Container, "ask_for_reset", lost)
    for _ in range(2):
        assert (await own.run("print(1)", collect=["*"])).stdout == "1\n"
        await asyncio.sleep(0.4)
    assert set(own.engine.stats().discards) == ({"used"} if own.way == "container" else {"reset: deadline"})


# -- the host's side


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", ".", "a\0b", "a/" * 3000 + "x", "x" * 300])
async def test_36_paths_that_lead_out(place: Place, path: str) -> None:
    """They are refused before anything begins."""
    with pytest.raises((InvalidPath, ConfigurationError)):
        await place.run("", files={path: b""})


async def test_36_names_like_others(place: Place) -> None:
    """Two dots at the beginning of a name are no way up, and a backslash is a character."""
    files = {"..cache": b"1", "a\\b": b"2"}
    result = await place.run("import os; print(sorted(os.listdir()))", files=files)
    assert result.stdout == f"{sorted([*files, 'main.py'])}\n"
    await place.innocent()


async def test_37_links_to_what_the_program_may_not_read(place: Place) -> None:
    """What comes along is what is beneath the workspace."""
    code = """
import os
os.symlink("/proc/1/environ", "link"); os.symlink("/etc", "etc"); os.symlink("/", "root"); open("own", "w")
"""
    result = await place.run(code, collect=["*", "etc/passwd", "root/etc/passwd"])
    assert list(result.files) == ["own"]
    async with place.engine.session() as session:
        await session.run("python", code, strategy=ContainerStrategy.PER_SESSION)
        for path in ("link", "etc/passwd"):
            with pytest.raises(InterpreterToolsError):
                await session.read_file_binary(path)
    await place.innocent()


async def test_38_things_that_are_no_files(place: Place) -> None:
    """Nobody waits for them."""
    code = """
import os, socket
os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("socket"); os.symlink("loop", "loop"); open("own", "w")
"""
    result = await place.run(code, collect=["*"])
    assert (list(result.files), result.generated_files) == (["own"], ("own",))
    await place.innocent()


async def test_39_names_of_any_bytes(place: Place) -> None:
    """They are listed as they are."""
    code = "for name in (b'\\xff', b'a\\nb', b'-rf', b'\\xe2\\x80\\xaeabc'): open(name, 'w')"
    result = await place.run(code)
    assert set(result.generated_files) == {"\udcff", "a\nb", "-rf", "\u202eabc"}
    await place.innocent()


async def test_40_file_that_grows_while_it_is_read(place: Place) -> None:
    """And many of them: what comes along is bounded, and flagged where it is not whole."""
    result = await place.run("for n in range(3000): open(f'{n:05}', 'w').write('x')", collect=["*"])
    assert (len(result.files), result.files_partial, len(result.generated_files)) == (1000, True, 3000)
    code = """
import time
file = open("log", "ab", 0)
print("begun", flush=True)
while True: file.write(bytes(100_000)); time.sleep(0.001)
"""
    async with place.engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        async with session.stream("python", code, timeout=20) as execution:
            await anext(execution)
            await asyncio.sleep(0.2)
            await execution.kill()
            await execution.result()
        assert len(await session.read_file_binary("log")) < 256 << 20
    await place.innocent()


async def test_41_archives_are_bytes_like_others(place: Place, tmp_path: Path) -> None:
    """Nothing is unpacked on the host, and the Docker engine is asked neither for files nor to run a program."""
    code = """
import io, tarfile
with tarfile.open("evil.tar", "w") as tar:
    info = tarfile.TarInfo("../../../../tmp/evil-hazard"); info.size = 4
    tar.addfile(info, io.BytesIO(b"evil"))
"""
    async with Relay(tmp_path / "docker.sock") as relay:
        async with ExecutionEngine(config_of(place.way, docker_host=relay.address)) as engine:
            await engine.run("python", "", strategy=place.strategy)
            asked = len(relay.calls)
            result = await engine.run("python", code, strategy=place.strategy, collect=["*.tar"])
        assert [call for call in relay.calls[asked:] if b"/archive" in call or b"/exec" in call] == []
    assert result.files["evil.tar"].startswith(b"../../../../tmp/evil-hazard")
    assert not await asyncio.to_thread(os.path.lexists, "/tmp/evil-hazard")
    await place.innocent()


@pytest.mark.parametrize("code", ["print('a\0b')", "print('\ud800')"])
async def test_42_code_that_is_no_text(place: Place, code: str) -> None:
    """A NUL byte is the language's matter, and a lone surrogate is refused or told by it."""
    try:
        result = await place.run(code)
    except ConfigurationError:
        pass
    else:
        assert result.outcome in {"ok", "error"}
    await place.innocent()


@pytest.mark.parametrize("data", [b"\xff" * 8, (0xFFFFFFF0).to_bytes(4, "little") + bytes([3, 0, 0, 0]), b"\1\0\0"])
async def test_44_supervisor_that_says_anything(own: Place, data: bytes) -> None:
    """A wrong frame ends the run with an error of its own, and its container; one that is cut ends with the stream."""
    code = "print('begun', flush=True); input()"
    async with own.engine.stream("python", code, strategy=own.strategy, timeout=20) as execution:
        await anext(execution)
        assert own.engine._running is not None
        (container,) = (busy for pool in own.engine._running.runtime.pools.values() for busy in pool._busy)
        container.channel.data_received(data)
        if len(data) < 4:
            container.channel.connection_lost(None)
        with pytest.raises((ProtocolError, ContainerLost)):
            await execution.result()
    await own.innocent_after_loss()


@pytest.mark.parametrize(
    "dependency", ["six --index-url=http://x", "six; rm -rf /", "--index-url", "http://x/y.whl", "@scope/name@1"]
)
async def test_45_dependencies_that_are_no_names(place: Place, dependency: str) -> None:
    """They reach no installer, and no shell."""
    with pytest.raises(InterpreterToolsError):
        (await place.run("print('ran')", dependencies=[dependency])).check()
    await place.innocent()


# -- life


def client_code(way: str, body: str) -> str:
    """A client in a process of its own, whose ``main`` is given."""
    isolation, strategy = WAYS[way]
    return f"""
import asyncio, os, sys
from interpreter_tools import *
strategy = ContainerStrategy.{strategy.name}
config = EngineConfig(isolation={isolation!r}, prewarm=(), pool=PoolConfig(min_size=0, max_size=2))
{body}
asyncio.run(main())
"""


async def start_client(code: str) -> asyncio.subprocess.Process:
    """Start it, and wait for its first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "always", "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline()
    return process


async def test_46_cancelled_at_random_moments(own: Place) -> None:
    """No output of one run is in another, and no container is lost for good."""
    chance = random.Random(46)

    async def one(number: int) -> None:
        delay = chance.random() * 0.03
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                assert (await own.run(f"print({number})")).stdout == f"{number}\n"

    for number in range(0, 40, 2):
        await asyncio.gather(one(number), one(number + 1))
    assert (await own.run("print('right')")).stdout == "right\n"


async def test_47_loop_that_is_closed_without_the_engine(place: Place, docker_client: DockerClient) -> None:
    """It warns, and the containers end with their streams."""
    body = """
async def main():
    engine = await ExecutionEngine(config).start()
    await engine.run("python", "", strategy=strategy)
    print(os.getpid(), flush=True)
"""
    process = await start_client(client_code(place.way, body))
    _, errors = await process.communicate()
    assert b"ResourceWarning" in errors
    await nothing_is_left(place.way, process.pid, docker_client)


async def nothing_is_left(way: str, pid: int, client: DockerClient) -> None:
    """What a dead client had runs no more; what never started is removed by the next engine."""

    async def states() -> set[str]:
        ids = await containers_of_process(client, pid)
        found = await asyncio.gather(*map(client.inspect_container, ids))
        return {details["State"]["Status"] for details in found if details is not None}

    await eventually(states, lambda seen: seen <= {"created"})
    async with ExecutionEngine(config_of(way)):
        await eventually(lambda: containers_of_process(client, pid), lambda ids: not ids)


@pytest.mark.parametrize("after", [0.05, 0.25, 0.6])
async def test_48_client_that_is_killed(place: Place, docker_client: DockerClient, after: float) -> None:
    """While it creates, starts, runs and resets: what runs ends, and the next engine removes what never started."""
    body = """
async def main():
    print("here", flush=True)
    async with ExecutionEngine(config) as engine:
        async def work():
            while True: await engine.run("python", "import time; time.sleep(0.05)", strategy=strategy)
        await asyncio.gather(*(work() for _ in range(3)))
"""
    process = await start_client(client_code(place.way, body))
    await asyncio.sleep(after)
    process.kill()
    await process.wait()
    await nothing_is_left(place.way, process.pid, docker_client)


async def test_49_client_that_is_stopped_for_a_while(place: Place) -> None:
    """All results are right ones, and nothing is lost, though every time limit has passed twice meanwhile."""
    body = """
async def main():
    async with ExecutionEngine(config) as engine:
        await engine.warm("python", strategy=strategy)
        context = await engine.context("python").__aenter__()
        session = await engine.create_session(idle_timeout=1)
        await engine.execute_code(session, language="python", code="open('kept', 'w').close()")
        print("here", flush=True)
        code = "import time; print('x' * 300_000); time.sleep(0.4); print('right')"
        run = engine.run("python", code, timeout=2, strategy=strategy)
        cell = context.run(code, timeout=2)
        results = [*await asyncio.gather(run, cell)]
        results.append(await engine.execute_code(session, language="shell", code="test -e kept && echo right"))
        print([(result.outcome, result.stdout[-6:].strip()) for result in results])
        print(engine.stats().discards)
"""
    process = await start_client(client_code(place.way, body))
    for _ in range(2):
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)
        process.send_signal(signal.SIGCONT)
    stdout, errors = await process.communicate()
    assert stdout == f"{[('ok', 'right')] * 3}\n{ {'used': 1} if place.way == 'container' else {} }\n".encode(), errors


async def test_50_docker_engine_that_dies_and_comes_back(place: Place, tmp_path: Path) -> None:
    """What runs raises at once; then it works again."""
    async with (
        Relay(tmp_path / "docker.sock") as relay,
        ExecutionEngine(config_of(place.way, docker_host=relay.address)) as engine,
    ):
        there = Place(place.way, engine)
        async with engine.stream("python", "print(1, flush=True); input()", strategy=there.strategy) as execution:
            await anext(execution)
            await relay.close()
            with pytest.raises(ContainerLost):
                async with asyncio.timeout(30):
                    await execution.result()
        with pytest.raises(InterpreterToolsError):
            await there.run("")
        await relay.open()

        async def again() -> str:
            with contextlib.suppress(InterpreterToolsError):
                return (await there.run("print('again')")).stdout
            return ""

        await eventually(again, lambda stdout: stdout == "again\n")


@pytest.mark.parametrize("how", ["rm", "kill"])
async def test_51_container_that_others_end(own: Place, how: str) -> None:
    """A busy one raises; an idle one is replaced."""

    async def end(container: str) -> None:
        command = ["docker", *([how, "-fv"] if how == "rm" else [how]), container]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)

    async with own.engine.stream("python", "print(1, flush=True); input()", strategy=own.strategy) as execution:
        await anext(execution)
        await end(busy_container(own.engine))
        with pytest.raises(ContainerLost):
            await execution.result()
    await own.innocent_after_loss()
    async with await DockerClient.connect() as client:
        for container in await containers_of(client, own.engine):
            with contextlib.suppress(subprocess.CalledProcessError):
                await end(container)
    await asyncio.sleep(0.2)
    await own.innocent_after_loss()


def supervisors_of(pid: int) -> list[int]:
    """The processes of a container that are ours, PID 1 first."""
    pids = [pid]
    for member in pids:
        pids += map(int, Path(f"/proc/{member}/task/{member}/children").read_text().split())
    return [member for member in pids if Path(f"/proc/{member}/comm").read_text() == "supervisor\n"]


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_52_supervisor_that_is_killed(own: Place, docker_client: DockerClient, which: int) -> None:
    """PID 1, the keeper of boxes, the supervisor of one: whichever there is."""
    async with own.engine.stream("python", "print(1, flush=True); input()", strategy=own.strategy) as execution:
        await anext(execution)
        details = await docker_client.inspect_container(busy_container(own.engine))
        assert details is not None
        supervisors = await asyncio.to_thread(supervisors_of, details["State"]["Pid"])
        os.kill(supervisors[min(which, len(supervisors) - 1)], signal.SIGKILL)
        with pytest.raises(ContainerLost):
            await execution.result()
    await own.innocent_after_loss()


async def test_53_images_that_cannot_be_used(own: Place) -> None:
    """One clear error each, and one attempt."""
    for image, error in (
        ("interpreter-tools-no-such-image:1", ImageMissing),
        ("interpreter-tools/node:1", InterpreterMissing),
    ):
        async with ExecutionEngine(config_of(own.way, container=ContainerConfig(image=image))) as engine:
            with pytest.raises(error):
                await engine.run("python", "", strategy=own.strategy)
            assert engine.stats().discards.get("failed", 1) == 1
    await own.innocent()


@pytest.mark.parametrize(
    "answer", [b'HTTP/1.1 500 X\r\nContent-Length: 28\r\n\r\n{"message":"disk is full  "}', b"", None]
)
async def test_54_55_creation_that_fails_or_hangs(
    place: Place, tmp_path: Path, answer: bytes | None, docker_client: DockerClient
) -> None:
    """The error has the Docker engine's words, or comes when the caller has waited long enough; nothing is left."""
    pool = PoolConfig(min_size=0, max_size=1, wait_timeout=2.0 if answer is None else 60.0)
    async with Refusing(tmp_path / "docker.sock", answer) as relay:
        async with ExecutionEngine(config_of(place.way, docker_host=relay.address, pool=pool)) as engine:
            with pytest.raises(InterpreterToolsError) as caught:
                async with asyncio.timeout(90):
                    await engine.run("python", "", strategy=place.strategy)
            assert not answer or "disk is full" in str(caught.value)
            owner = owner_of(engine)
            await relay.close()
        await eventually(lambda: containers_of(docker_client, owner), lambda found: not found)


class Refusing(Relay):
    """A Docker engine that creates no container.

    Args:
        path: of its socket.
        answer: to the wish; empty: the connection breaks. None: nothing comes.
    """

    def __init__(self, path: Path, answer: bytes | None) -> None:
        super().__init__(path)
        self._answer = answer
        self._clients: dict[asyncio.StreamReader, asyncio.StreamWriter] = {}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[reader] = writer
        await super()._serve(reader, writer)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, asks: bool) -> None:
        while asks and (data := await source.read(65536)):
            if b"/containers/create" in data:
                if self._answer is None:
                    await asyncio.sleep(60)
                client = self._clients[source]
                client.write(self._answer or b"")
                client.close()
                break
            sink.write(data)
            await sink.drain()
        if asks:
            sink.close()
        else:
            await super()._copy(source, sink, asks=asks)


async def test_56_more_callers_than_containers(own: Place) -> None:
    """Each gets its own result; who waits too long is told; who stops waiting takes no container with it."""
    results = await asyncio.gather(*(own.run(f"print({n})") for n in range(24)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(24)]
    pool = PoolConfig(min_size=1, max_size=1, wait_timeout=0.5)
    async with ExecutionEngine(config_of(own.way, pool=pool)) as engine:
        there = Place(own.way, engine)
        await engine.warm("python", strategy=there.strategy)
        async with engine.stream("python", "print(1, flush=True); input()", strategy=there.strategy) as execution:
            await anext(execution)
            with pytest.raises(PoolTimeout):
                await there.run("")
            waiting = asyncio.create_task(there.run(""))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await execution.send_stdin(b"\n")
            await execution.result()
    await own.innocent()


async def test_57_many_cold_starts_at_once(place: Place, tmp_path: Path) -> None:
    """Few containers are created side by side; another event loop is refused."""
    async with Relay(tmp_path / "docker.sock") as relay:
        pool = PoolConfig(min_size=0, max_size=3, wait_timeout=60)
        async with ExecutionEngine(config_of(place.way, docker_host=relay.address, pool=pool)) as engine:
            there = Place(place.way, engine)
            results = await asyncio.gather(*(there.run("print(1)") for _ in range(12)))
            assert {result.stdout for result in results} == {"1\n"}
            told: list[BaseException] = []

            def elsewhere() -> None:
                try:
                    asyncio.run(engine.run("python", ""))
                except EngineMisused as error:
                    told.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)
            assert len(told) == 1
        created = [call for call in relay.calls if b"/containers/create" in call]
        assert len(created) <= (18 if place.way == "container" else 4)


async def test_58_two_installations_of_the_same(place: Place) -> None:
    """Both runs find whole packages; and a sandbox cannot write where they are."""
    name = "six==1.16.0" if time.time_ns() % 2 else "six==1.17.0"
    code = "import os, six; d = os.path.dirname(six.__file__); print(six.PY3, os.access(d, os.W_OK))"
    async with ExecutionEngine(config_of(place.way)) as other:
        there = Place(place.way, other)
        runs = [here.run(code, dependencies=[name], timeout=60) for here in (place, there)]
        assert [result.stdout for result in await asyncio.gather(*runs)] == ["True False\n"] * 2
    await place.innocent()
