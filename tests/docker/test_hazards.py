"""What must be survived, one test a hazard, in each of the three ways to surround a program.

The ways: a fresh sandbox for each run in one container (``sandbox``), a container for each run (``container``), and one
container with a verified reset after each run (``reset``). After every hazard an innocent run is right: it sees nothing
of the one before, and can write as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import msgspec
import pytest

from interpreter_tools import (
    ArchitectureMismatch,
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
    StoreFailed,
)
from interpreter_tools._container.container import Container
from interpreter_tools._docker import DockerClient
from interpreter_tools._docker.errors import Refusal
from interpreter_tools._exceptions import ProtocolError
from interpreter_tools._pool import resets
from tests.docker import toy
from tests.docker.conftest import end_as_others_do, spec_of
from tests.docker.stores import remove_store
from tests.relay import Relay
from tests.watch import (
    busy_container,
    containers_of,
    containers_of_process,
    eventually,
    family,
    inspect_container,
    open_descriptors,
    owner_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from interpreter_tools import EngineStats, ExecutionResult
    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._docker import Owner

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
        details = await inspect_container(docker_client, busy_container(place.engine))
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
        began = time.monotonic()
        async for chunk in execution:
            await asyncio.sleep(0.6 if time.monotonic() - began < 2.5 else 0)
            size += len(chunk.data)
        assert ((await execution.result()).outcome, size) == ("ok", 200_001)
    await place.innocent()


async def test_18_crash_is_a_signal_and_leaves_no_core(place: Place) -> None:
    """The signal is told."""
    result = await place.run("import os; os.kill(os.getpid(), 11)")
    assert (result.outcome, result.signal, result.generated_files) == ("error", 11, ())
    await place.innocent()


WHERE = "import re; print(re.search('upperdir=([^,]+)', open('/proc/self/mountinfo').read())[1])"
"""A program that prints which container it is in."""


async def test_19_reset_that_is_not_answered(own: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container is discarded, and the next caller gets another one."""
    monkeypatch.setattr(resets, "_DEADLINE", 0.2)

    def lost(container: Container) -> None:
        """The request does not arrive."""

    monkeypatch.setattr(Container, "ask_for_reset", lost)
    seen: set[str] = set()
    for _ in range(2):
        seen.add((await own.run(WHERE, collect=["*"])).check().stdout)
        await asyncio.sleep(0.4)
    assert len(seen) == 2
    assert set(own.engine.stats().discards) == ({"used"} if own.way == "container" else {"reset: deadline"})


async def test_19_reset_that_takes_too_long(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that cannot be removed in time end the container. A sandbox goes with its files, however many there are."""
    pool = PoolConfig(min_size=0, max_size=1, wait_timeout=120)
    async with ExecutionEngine(config_of(place.way, pool=pool)) as engine:
        there = Place(place.way, engine)
        monkeypatch.setattr("interpreter_tools._container.container._RESET_DEADLINE_MS", 1)
        code = f"import os\nfor n in range(2000): os.mkdir(f'/tmp/{{n}}'); open(f'/tmp/{{n}}/f', 'w').close()\n{WHERE}"
        before = (await there.run(code)).check().stdout
        monkeypatch.undo()
        after = (await there.run(f"import os\nprint(os.listdir('/tmp'))\n{WHERE}")).check().stdout
        assert after.startswith("['home']\n")
        assert after.endswith(f"\n{before}") is (place.way == "sandbox")
        wanted = {"sandbox": set[str](), "container": {"used"}, "reset": {"reset: files"}}[place.way]
        assert set(engine.stats().discards) == wanted


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


NO_NAMES = (
    "six --index-url=http://x", "--index-url", "-r/etc/passwd", "six; rm -rf /", "six\nevil", "$(touch x)", "`x`", "",
    "http://x/y.whl", "six @ file:///etc", "../six", "@scope/name@1",
)  # fmt: skip


async def test_45_dependencies_that_are_no_names(place: Place, tmp_path: Path) -> None:
    """They reach no installer and no shell. Names that only look so do, as arguments; what fails there ends the run."""
    async with Relay(tmp_path / "docker.sock") as relay:
        config = config_of(place.way, docker_host=relay.address)

        def installers() -> int:
            return sum(b"name=interpreter-tools-install" in call for call in relay.calls)

        async with ExecutionEngine(config) as engine:
            there = Place(place.way, engine)
            for dependency in NO_NAMES:
                with pytest.raises(ConfigurationError, match="dependencies"):
                    await there.run("print('ran')", dependencies=[dependency])
            assert installers() == 0
            asked = {"python": ('print("ran")', 'six == 0.0.99 ; python_version > "3"')}
            asked["javascript"] = ('console.log("ran")', "@no-such-scope/name@1")
            for count, (language, (code, dependency)) in enumerate(asked.items(), start=1):
                result = await engine.run(language, code, dependencies=[dependency], strategy=place.strategy)
                assert (result.outcome, result.stdout) == ("dependency_error", "")
                assert installers() == count
            await there.innocent()


# -- life


def client_code(way: str, body: str, *, docker_host: str | None = None, store: str = "interpreter-tools-store") -> str:
    """A client in a process of its own, whose ``main`` is given."""
    isolation, strategy = WAYS[way]
    pool = "PoolConfig(min_size=0, max_size=2)"
    more = f"docker_host={docker_host!r}, dependency_store={store!r}"
    return f"""
import asyncio, os, sys
from interpreter_tools import *
strategy = ContainerStrategy.{strategy.name}
config = EngineConfig(isolation={isolation!r}, prewarm=(), pool={pool}, {more})
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
        found = await asyncio.gather(*map(partial(inspect_container, client), ids))
        return {details["State"]["Status"] for details in found if details is not None}

    await eventually(states, lambda seen: seen <= {"created"}, within=10)
    async with ExecutionEngine(config_of(way)):
        await eventually(lambda: containers_of_process(client, pid), lambda ids: not ids)


MOMENTS = {"create": b"/containers/create", "attach": b"/attach", "start": b"/start", "run": b"", "reset": b""}
"""When a client is killed: as it asks the Docker engine for something, or as its program has said something."""


@pytest.mark.parametrize("moment", MOMENTS)
async def test_48_client_that_is_killed(
    place: Place, docker_client: DockerClient, owner: Owner, tmp_path: Path, moment: str
) -> None:
    """What runs ends, the next engine removes what never started, and nobody touches what is another's."""
    body = f"""
async def main():
    print("here", flush=True)
    async with ExecutionEngine(config) as engine:
        code = "print('said', flush=True); {"input()" if moment == "run" else ""}"
        async with engine.stream("python", code, strategy=strategy) as execution:
            await anext(execution)
            if {moment == "reset"}: await execution.result()
            print("said", flush=True)
            await asyncio.sleep(100)
"""
    waiting = await docker_client.create_container(spec_of(owner))  # created by a client that lives, and not started
    code = "print(1, flush=True); print(input())"
    async with place.engine.stream("python", code, strategy=place.strategy, timeout=60) as neighbour:
        await anext(neighbour)
        async with Relay(tmp_path / "docker.sock") as relay:
            process = await start_client(client_code(place.way, body, docker_host=relay.address))
            assert process.stdout is not None
            if MOMENTS[moment]:
                while not any(MOMENTS[moment] in call for call in relay.calls):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.001)
            else:
                assert await process.stdout.readline() == b"said\n"
            process.kill()
            await process.wait()
            await asyncio.sleep(0.1)  # what was asked for reaches the Docker engine
        await nothing_is_left(place.way, process.pid, docker_client)
        await neighbour.send_stdin(b"right\n")
        assert (await neighbour.result()).stdout == "1\nright\n"
    assert await inspect_container(docker_client, waiting) is not None
    await docker_client.remove_container(waiting)
    await place.innocent()


async def test_49_client_that_is_stopped_for_a_while() -> None:
    """All results are right ones, and nothing is lost, though every time limit has passed twice meanwhile."""
    await asyncio.gather(*map(_stopped_for_a_while, WAYS))


async def _stopped_for_a_while(way: str) -> None:
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
        both = asyncio.gather(run, cell)
        results = []
        while not both.done() or not results:
            results.append(await engine.execute_code(session, language="shell", code="test -e kept && echo right"))
        print({(result.outcome, result.stdout[-6:].strip()) for result in (*results, *await both)})
        print(engine.stats().discards)
"""
    process = await start_client(client_code(way, body))
    for _ in range(2):
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)
        process.send_signal(signal.SIGCONT)
    stdout, errors = await process.communicate()
    assert stdout == f"{ {('ok', 'right')} }\n{ {'used': 1} if way == 'container' else {} }\n".encode(), errors


class Daemon:
    """A Docker engine of the test's own that can be killed, in mount, process and network namespaces of its own.

    Its containerd is a process beside it, as on machines that start both as services, and lives on. It is the first
    process of the namespaces: all others, and all mounts, end with it, and it ends with the process of the tests.

    Args:
        directory: for its files and its socket.
    """

    def __init__(self, directory: Path) -> None:
        self.address = f"unix://{directory}/docker.sock"
        self._directory = directory
        self._containerd: asyncio.subprocess.Process | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        socket = f"{self._directory}/containerd.sock"
        with (self._directory / "log").open("ab") as log:
            if self._containerd is None:
                config = self._directory / "containerd.toml"
                config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
                places = [f"--{name}={self._directory}/containerd-{name}" for name in ("root", "state")]
                own = ("setpriv", "--pdeathsig=KILL", "unshare", "--net", "--pid", "--mount-proc", "--kill-child")
                data = self._directory / "data-root"  # in memory, where an image is loaded and removed at once
                data.mkdir()
                mount = ("sh", "-c", 'mount -t tmpfs -o size=2g tmpfs "$0" && exec "$@"', str(data))
                command = (*own, *mount, "containerd", "--config", str(config), *places, "--address", socket)
                self._containerd = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            places = [f"--{name}={self._directory}/{name}" for name in ("data-root", "exec-root", "pidfile")]
            command = ("dockerd", "--iptables=false", "--ip6tables=false", "--containerd", socket, "-H", self.address)
            self._process = await asyncio.create_subprocess_exec(
                *await self._enter(), *command, *places, stdout=log, stderr=log
            )
        await eventually(self._answers, bool, within=60)

    async def _enter(self) -> list[str]:
        """The command that runs another in the namespaces of containerd."""
        assert self._containerd is not None
        pid = self._containerd.pid
        pids = await eventually(lambda: asyncio.to_thread(family, pid), lambda found: len(found) > 1)
        return ["nsenter", "--target", str(pids[1]), "--net", "--mount", "--pid"]

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, (self._directory / "log").read_text()[-2000:]
        return await self.docker("info") == 0

    async def docker(self, *arguments: str) -> int:
        """Ask it by Docker's command line; return the exit code."""
        command = ("docker", "-H", self.address, *arguments)
        null = subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=null, stderr=null)
        return await process.wait()

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        assert self._process is not None
        pids = await asyncio.to_thread(family, self._process.pid)
        os.kill(pids[1], signal.SIGKILL)
        await self._process.wait()

    async def aclose(self) -> None:
        """End all its processes, and with them its mounts, and remove its files."""
        for process in (self._containerd, self._process):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await asyncio.to_thread(shutil.rmtree, self._directory)


@pytest.fixture(scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    """An engine with the image of Python."""
    if os.geteuid():
        pytest.skip("only root can start a Docker engine")
    daemon = Daemon(tmp_path_factory.mktemp("dockerd"))
    image = daemon._directory / "image.tar"
    saving = await asyncio.create_subprocess_exec("docker", "save", "-o", str(image), "interpreter-tools/python:1")
    assert await saving.wait() == 0
    try:
        await daemon.start()
        assert await daemon.docker("load", "-i", str(image)) == 0
        image.unlink()
        yield daemon
    finally:
        await daemon.aclose()


async def test_50_docker_engine_that_dies_and_comes_back(place: Place, daemon: Daemon) -> None:
    """What runs raises within five seconds; then runs are right again, and nothing of the time before is left."""
    async with ExecutionEngine(config_of(place.way, docker_host=daemon.address)) as engine:
        there = Place(place.way, engine)
        async with engine.stream("python", "print(1, flush=True); input()", strategy=there.strategy) as execution:
            await anext(execution)
            await daemon.kill()
            with pytest.raises(ContainerLost):
                async with asyncio.timeout(5):
                    await execution.result()
        with pytest.raises(InterpreterToolsError):
            await there.run("")
        await daemon.start()

        async def again() -> str:
            with contextlib.suppress(InterpreterToolsError):
                return (await there.run("print('again')")).stdout
            return ""

        await eventually(again, lambda stdout: stdout == "again\n")
        async with await DockerClient.connect(daemon.address) as client:

            def known(found: dict[str, str]) -> bool:
                assert engine._running is not None
                return found.keys() <= {container.id for container in engine._running.runtime._containers}

            await eventually(lambda: containers_of(client, engine), known)
            owner = owner_of(engine)
            await engine.aclose()
            await eventually(lambda: containers_of(client, owner), lambda found: not found)


@pytest.mark.parametrize("how", ["rm", "kill", "pause"])
async def test_51_container_that_others_end(own: Place, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy one raises, a paused one at its deadline; an idle one is replaced; none of them stays."""
    monkeypatch.setattr("interpreter_tools._execution.execution._BACKSTOP", 0.5)
    ended: set[str] = set()

    async def end(container: str) -> None:
        await end_as_others_do(container, how)
        ended.add(container)

    code = "print(1, flush=True); input()"
    async with own.engine.stream("python", code, strategy=own.strategy, timeout=3) as execution:
        await anext(execution)
        await end(busy_container(own.engine))
        with pytest.raises(ContainerLost):
            await execution.result()
    await own.innocent_after_loss()

    async def look() -> EngineStats:
        return own.engine.stats()

    await eventually(look, lambda stats: stats.starting == stats.busy == 0)
    async with await DockerClient.connect() as client:
        for container in await containers_of(client, own.engine):
            with contextlib.suppress(Refusal):
                await end(container)
        await asyncio.sleep(0.2)
        if how == "pause":  # nobody tells the engine: the first run finds out
            runs = [own.run("print(2)", timeout=2) for _ in range(4)]
            for result in await asyncio.gather(*runs, return_exceptions=True):
                assert isinstance(result, ContainerLost) or (
                    not isinstance(result, BaseException) and result.stdout == "2\n"
                )
        await own.innocent_after_loss()
        await eventually(lambda: containers_of(client, own.engine), lambda found: not ended & found.keys(), within=90)


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
        details = await inspect_container(docker_client, busy_container(own.engine))
        assert details is not None
        supervisors = await asyncio.to_thread(supervisors_of, details["State"]["Pid"])
        os.kill(supervisors[min(which, len(supervisors) - 1)], signal.SIGKILL)
        with pytest.raises(ContainerLost):
            await execution.result()
    await own.innocent_after_loss()


@pytest.fixture(scope="module")
def foreign_image() -> Iterator[str]:
    """An image for another kind of processor, with nothing in it."""
    tag = f"it-test-{uuid.uuid4().hex[:12]}:1"
    with io.BytesIO() as layer, tarfile.open(fileobj=layer, mode="w") as empty:
        empty.close()
        data = layer.getvalue()
    layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]}
    image = {"architecture": "s390x", "os": "linux", "config": {}, "rootfs": layers}
    manifest = [{"Config": "image.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tree:
        for name, content in (
            ("layer.tar", data),
            ("image.json", json.dumps(image).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tree.addfile(entry, io.BytesIO(content))
    subprocess.run(["docker", "load"], input=archive.getvalue(), check=True, capture_output=True)
    yield tag
    subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


@pytest.mark.parametrize("case", ["missing", "foreign", "without an interpreter"])
async def test_53_images_that_cannot_be_used(place: Place, tmp_path: Path, foreign_image: str, case: str) -> None:
    """One clear error, which names the image, and one attempt, though the pool wants a container kept warm."""
    image, error, attempts = {
        "missing": ("interpreter-tools-no-such-image:1", ImageMissing, 0),
        "foreign": (foreign_image, ArchitectureMismatch, 0),
        "without an interpreter": ("interpreter-tools/node:1", InterpreterMissing, 1),
    }[case]
    async with Relay(tmp_path / "docker.sock") as relay:
        config = config_of(place.way, container=ContainerConfig(image=image), docker_host=relay.address)
        pool = PoolConfig(min_size=1, max_size=2, wait_timeout=60)
        async with ExecutionEngine(msgspec.structs.replace(config, pool=pool)) as engine:
            with pytest.raises(error, match=re.escape(image)):
                await engine.run("python", "", strategy=place.strategy)
            await asyncio.sleep(0.5)
        assert sum(b"name=interpreter-tools-" in call for call in relay.calls) == attempts
    await place.innocent()


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


class Counting(Relay):
    """A Docker engine whose creations take long. The first of them wait until there are four.

    Attributes:
        most: creations that were under way side by side, at most.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.most = 0
        self._under_way = 0
        self._four = asyncio.Event()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, asks: bool) -> None:
        while asks and (data := await source.read(65536)):
            if b"/containers/create" in data:
                self._under_way += 1
                self.most = max(self.most, self._under_way)
                if self.most == 4:
                    self._four.set()
                await self._four.wait()
                await asyncio.sleep(0.3)  # a fifth would come meanwhile
                self._under_way -= 1
            sink.write(data)
            await sink.drain()
        await super()._copy(source, sink, asks=asks)


async def test_57_two_hundred_cold_starts_at_once(place: Place, tmp_path: Path, docker_client: DockerClient) -> None:
    """Four containers are created side by side. All callers get results, or leave without leaving any container."""
    async with Counting(tmp_path / "docker.sock") as relay:
        pool = PoolConfig(min_size=0, max_size=200)
        async with ExecutionEngine(config_of(place.way, docker_host=relay.address, pool=pool)) as engine:
            there, owner = Place(place.way, engine), owner_of(engine)
            callers = [asyncio.create_task(there.run(f"print({number})")) for number in range(200)]
            if place.way == "container":  # 200 containers take half a minute
                done, left = await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
                for caller in left:
                    caller.cancel()
                await asyncio.gather(*left, return_exceptions=True)
            else:
                done = set(callers)
            for caller in done:
                assert (await caller).stdout == f"{callers.index(caller)}\n"
        assert relay.most == 4
        await eventually(lambda: containers_of(docker_client, owner), lambda found: not found)


async def test_57_other_loop_and_fork(place: Place) -> None:
    """An engine of another event loop, or of the process before a fork, is refused by an error that says so."""
    told: list[str] = []

    def elsewhere() -> None:
        try:
            asyncio.run(place.engine.run("python", ""))
        except EngineMisused as error:
            told.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(told) == 1
    assert "event loop" in told[0]
    body = """
async def main():
    engine = await ExecutionEngine(config).start()
    print("here", flush=True)
    await engine.run("python", "", strategy=strategy)
    pid = os.fork()
    try:
        (await engine.run("python", "print('parent')", strategy=strategy)).stdout
        print("parent", flush=True)
    except EngineMisused as error:
        print(error, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    await engine.aclose()
"""
    process = await start_client(client_code(place.way, body))
    stdout, errors = await process.communicate()
    assert sorted(line.partition("\n")[0] for line in stdout.decode().splitlines() if "hint" not in line) == [
        "parent",
        "the engine was started before a fork",
    ], errors


@pytest.fixture
async def store(docker_client: DockerClient) -> AsyncIterator[str]:
    """A dependency store of the test's own, for packages that are made and not fetched."""
    name = f"interpreter-tools-test-{uuid.uuid4().hex[:12]}"
    with toy.registered():
        yield name
    await remove_store(docker_client, name)


def with_store(way: str, store: str) -> ExecutionEngine:
    """An engine with that store, whose installers have no network."""
    return toy.make_engine(store, size=1, isolation=WAYS[way][0], container=CONTAINER, strategy=WAYS[way][1])


async def test_58_two_installations_of_one_key(place: Place, store: str) -> None:
    """One of two engines installs. Both runs find whole packages, and cannot write where they are."""
    code = "slow-1; test -w $TOYS || echo closed"
    async with with_store(place.way, store) as one, with_store(place.way, store) as two:
        results = await asyncio.gather(*(engine.run("toy", code, dependencies=["slow-1"]) for engine in (one, two)))
        assert [(result.stdout, result.isolation) for result in results] == [("tool slow-1\nclosed\n", place.way)] * 2
        assert sorted(result.dependency_stdout for result in results) == ["", "installing slow-1\n"]


@pytest.mark.parametrize("options", ["size=16k,nr_inodes=3", "ro"])
async def test_58_store_that_takes_nothing(place: Place, store: str, docker_client: DockerClient, options: str) -> None:
    """A full one and a read-only one: an error each time, and never half of an entry."""
    wanted = {"type": "tmpfs", "device": "tmpfs", "o": options}
    await docker_client.create_volume(store, {}, options=wanted)
    async with with_store(place.way, store) as engine:
        for _ in range(2):
            with pytest.raises(StoreFailed, match=r"No space left|Read-only"):
                await engine.run("toy", "echo ran", dependencies=["a"])
        assert (await engine.run("toy", "ls -A; echo $TOYS")).stdout == "main.toy\n\n"


async def test_58_client_that_is_killed_while_it_installs(
    place: Place, store: str, docker_client: DockerClient
) -> None:
    """Its entry is half written: nobody uses it, and the next one who asks for it installs anew."""
    body = """
from tests.docker import toy
async def main():
    with toy.registered():
        async with ExecutionEngine(config) as engine:
            async with engine.stream("toy", "slow-1", dependencies=["a", "slow-1"], strategy=strategy) as execution:
                async for chunk in execution:
                    print(chunk.stream, flush=True)
"""
    process = await start_client(client_code(place.way, body, store=store))  # it has installed the first of the two
    process.kill()
    await process.wait()
    async with with_store(place.way, store) as engine:
        result = await engine.run("toy", "a; slow-1", dependencies=["a", "slow-1"])
        assert (result.stdout, result.isolation) == ("tool a\ntool slow-1\n", place.way)
        assert result.dependency_stdout == "installing a\ninstalling slow-1\n"
    await eventually(lambda: containers_of_process(docker_client, process.pid), lambda found: not found)
