"""Sandboxes inside of a container: which run has one, how they are had, and what a program in one can do.

The hardest parts, and what shows that they hold:

- The host's root before an open /proc: ``test_no_identity_of_the_container_opens_what_the_hosts_root_could``.
- Hosts that allow none: ``test_refusal_of_the_supervisor_leads_to_the_next_way``,
  ``test_second_way_keeps_the_masks``.
- All that goes by path or process number: ``test_shared_workspace_is_in_each_sandbox``,
  ``test_program_by_exec_has_the_same_posture``, ``test_installed_packages_are_there``; files, side runs and the store
  of a box in ``tests/supervisor/test_box.py``.
- A Python without ctypes, and machines that are not at hand: ``tests/supervisor/test_box.py``, and
  ``test_filter_of_boxes.py`` beside it.
- Each hazard, with an innocent run after it: ``test_hazards.py``; many of them: ``bench/soak.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Unpack

import aiodocker
import msgspec
import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    Mount,
    PoolConfig,
    SessionConfig,
    create_code_execution_tool,
)
from interpreter_tools._container import boxes
from interpreter_tools._docker.spec import BoxWay
from interpreter_tools._exceptions import SandboxUnavailable
from tests.watch import busy_container, containers_of, eventually, family, inspect_container

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from interpreter_tools import EngineStats, RunOptions
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL, FRESH, OWN = ContainerStrategy.POOL, ContainerStrategy.PER_EXECUTION, ContainerStrategy.PER_SESSION
SANDBOX = EngineConfig(isolation="sandbox", prewarm=(), pool=PoolConfig(min_size=0, max_size=1))


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]]:
    """What this process knows of its engines, for the time of one test."""
    known: dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]] = {}
    monkeypatch.setattr(boxes, "_refusals", known)
    return known


# -- who has one


@pytest.mark.parametrize("strategy", [POOL, FRESH])
async def test_result_says_what_was_around_the_program(strategy: ContainerStrategy) -> None:
    """And so do the numbers of its pool."""
    async with ExecutionEngine(SANDBOX) as engine:
        result = await engine.run("python", "print(1)", strategy=strategy)
        assert (result.stdout, result.isolation) == ("1\n", "sandbox")
        assert {pool.isolation for pool in engine.stats().pools} == {"sandbox"}


async def test_without_sandboxes_the_result_says_so() -> None:
    """``reset`` where the container is used again, ``container`` where it is not."""
    async with ExecutionEngine(EngineConfig(isolation="container", prewarm=())) as engine:
        kinds = [(await engine.run("python", "", strategy=strategy)).isolation for strategy in (POOL, FRESH)]
        assert kinds == ["reset", "container"]


async def test_session_keeps_its_sandbox(boxed_engine: ExecutionEngine) -> None:
    """Files stay between its runs, in every language of one image; another session has another sandbox."""
    async with boxed_engine.session(strategy=OWN) as session:
        await session.run("python", "open('a', 'w').write('1')")
        result = await session.run("python", "import os; print(open('a').read(), os.listdir('/proc')[0] and 2)")
        assert (result.stdout, result.isolation) == ("1 2\n", "sandbox")
        assert await session.list_workspace_files() == ["a"]
    async with boxed_engine.session(strategy=OWN) as session:
        assert (await session.run("python", "import os; print(os.listdir())")).stdout == "['main.py']\n"


async def test_shared_workspace_is_in_each_sandbox(boxed_engine: ExecutionEngine) -> None:
    """Languages of several images see one another's files, as without sandboxes."""
    session_id = await boxed_engine.create_session(SessionConfig(strategy=OWN))
    await boxed_engine.execute_code(session_id, language="python", code="open('a', 'w').write('from Python')")
    code = "console.log(require('fs').readFileSync('a', 'utf8'))"
    result = await boxed_engine.execute_code(session_id, language="javascript", code=code)
    assert (result.stdout, result.isolation) == ("from Python\n", "sandbox")
    await boxed_engine.cleanup_session(session_id)


async def test_installed_packages_are_there(boxed_engine: ExecutionEngine) -> None:
    """An installer has no sandbox; the sandbox sees what it has installed."""
    result = await boxed_engine.run("python", "import six; print(six.__name__)", dependencies=["six"], strategy=POOL)
    assert (result.stdout, result.isolation) == ("six\n", "sandbox"), result
    again = await boxed_engine.run("python", "import six; print(six.__name__)", dependencies=["six"], strategy=POOL)
    assert again.stdout == "six\n"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "import os; print(os.listdir('/sys/class/net') and open('/proc/net/dev').read())"),
        ("shell", "cat /proc/net/dev"),
        ("javascript", "console.log(require('fs').readFileSync('/proc/net/dev', 'utf8'))"),
    ],
)
async def test_sandbox_with_a_network_has_that_of_its_container(
    boxed_engine: ExecutionEngine, language: str, code: str
) -> None:
    """Where no other run is to follow in it; a network is not reset, so a container that is used again has none."""
    for strategy in ("auto", FRESH):
        result = await boxed_engine.run(language, code, network="bridge", strategy=strategy)
        assert result.isolation == "sandbox", result
        assert "eth0:" in result.stdout
    with pytest.raises(SandboxUnavailable, match="network"):
        await boxed_engine.run(language, code, network="bridge", strategy=POOL)


def sleepers(first: int) -> list[int]:
    """The processes of a container that sleep."""
    return [pid for pid in family(first) if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")]


def output_of(program: int) -> BinaryIO:
    """The standard output of a process of a container."""
    return Path(f"/proc/{program}/fd/1").open("wb")


async def test_what_outlives_the_end_of_a_run_ends_with_its_sandbox(docker_client: DockerClient) -> None:
    """The container serves the next run: the kernel tells when nothing of a sandbox is left."""
    async with ExecutionEngine(SANDBOX) as engine:
        async with engine.stream("shell", "echo; exec sleep 99", strategy=POOL) as execution:
            await anext(execution)
            details = await inspect_container(docker_client, busy_container(engine))
            assert details is not None

            async def found() -> list[int]:
                return sleepers(details["State"]["Pid"])

            (program,) = await eventually(found, bool)
            with output_of(program):  # which so never ends
                await execution.kill()
                assert (await execution.result()).outcome == "killed"
        assert (await engine.run("shell", "ls", strategy=POOL)).stdout == "main.sh\n"
        assert engine.stats().discards == {}


# -- the default


@pytest.fixture
def by_default(*, sandboxes_of_the_host: bool) -> None:
    """For tests of a host that allows sandboxes."""
    if not sandboxes_of_the_host:
        pytest.skip("this run stands for a host that allows none")


WHERE = "import os, re; print(re.search('upperdir=([^,]+)', open('/proc/self/mountinfo').read())[1])"
ONE = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))


async def numbers(engine: ExecutionEngine, count: int = 3, **options: Unpack[RunOptions]) -> list[str]:
    """The container of each of several runs."""
    found: list[str] = []
    for _ in range(count):
        found.append((await engine.run("python", WHERE, **options)).check().stdout)
        await eventually(lambda: look(engine), lambda stats: stats.busy == stats.starting == 0)
    return found


async def look(engine: ExecutionEngine) -> EngineStats:
    """The numbers of an engine now."""
    return engine.stats()


@pytest.mark.usefixtures("by_default")
async def test_runs_have_fresh_sandboxes_in_a_container_that_is_used_again() -> None:
    """Where nothing else was asked for; the numbers say so."""
    async with ExecutionEngine(ONE) as engine:
        assert len(set(await numbers(engine))) == 1
        result = await engine.run("python", "open('a', 'w').close()")
        assert (result.isolation, result.generated_files) == ("sandbox", ("a",))
        assert (await engine.run("shell", "ls")).stdout == "main.sh\n"
        assert {pool.isolation for pool in engine.stats().pools} == {"sandbox"}
        assert engine.stats().discards == {}


@pytest.mark.usefixtures("by_default")
async def test_runs_have_a_container_each_where_there_are_no_sandboxes(
    refusals: dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the first run, before the host is known to refuse them: no container is reset for runs that trust nobody."""
    monkeypatch.setattr("interpreter_tools._docker.spec.BOX_SECCOMP", boxes_forbidden())
    async with ExecutionEngine(ONE) as engine:
        assert len(set(await numbers(engine, 4))) > 1
        assert {pool.isolation for pool in engine.stats().pools} == {"container"}
        assert engine.stats().discards["used"] == 4
        assert (await engine.run("python", "")).isolation == "container"
        assert [set(ways) for ways in refusals.values()] == [set(BoxWay)]
    insists = msgspec.structs.replace(ONE, strategy=POOL)
    async with ExecutionEngine(insists) as engine:
        assert (await engine.run("python", "")).isolation == "reset"


@pytest.mark.parametrize(("namespace", "same"), [("checked", True), ("new", False)])
async def test_network_namespace_is_new_or_checked(namespace: Literal["checked", "new"], same: bool) -> None:
    """For runs that ask for no socket; the container is the same in both ways."""
    config = msgspec.structs.replace(ONE, isolation="sandbox", network_namespace=namespace, strategy=POOL)
    code = "import os; print(os.readlink('/proc/self/ns/net'))"
    async with ExecutionEngine(config) as engine:
        seen = [(await engine.run("python", code)).check().stdout for _ in range(4)]
        assert [one == following for one, following in itertools.pairwise(seen)] == [same] * 3
        assert engine.stats().discards == {}


async def test_run_with_a_network_has_a_container_of_its_own(*, sandboxes_of_the_host: bool) -> None:
    """With a sandbox in it, but used once."""
    async with ExecutionEngine(ONE) as engine:
        result = await engine.run("python", "", network="bridge")
        assert result.isolation == ("sandbox" if sandboxes_of_the_host else "container")
        await eventually(lambda: look(engine), lambda stats: stats.discards == {"used": 1})


@pytest.mark.usefixtures("by_default")
async def test_strategy_of_the_engine_is_that_of_its_runs_and_its_tool() -> None:
    """A run may say otherwise."""
    config = msgspec.structs.replace(ONE, strategy=FRESH)
    async with ExecutionEngine(config) as engine, create_code_execution_tool(engine=engine) as tool:
        await engine.run("python", "")
        await tool.execute(language="python", code="1")
        await engine.run("python", "", strategy="auto")
        await eventually(lambda: look(engine), lambda stats: stats.discards == {"used": 2})


@pytest.mark.usefixtures("by_default")
async def test_session_takes_a_container_that_is_warm_for_runs() -> None:
    """With a sandbox that is new, though runs have been in the container, which is the session's from then on."""
    async with ExecutionEngine(ONE) as engine:
        (used,) = set(await numbers(engine))
        async with engine.session() as session:
            result = await session.run("python", f"{WHERE}; print(os.listdir()); open('b', 'w').close()")
            assert (result.stdout, result.isolation) == (f"{used}['main.py']\n", "sandbox")
            assert (await session.run("shell", "ls")).stdout == "b\nmain.sh\n"


@pytest.mark.usefixtures("by_default")
@pytest.mark.parametrize("limit", [{"max_uses": 2}, {"max_age": 1.0}])
async def test_container_of_sandboxes_is_replaced(limit: dict[str, float]) -> None:
    """After so many runs, and after some time."""
    pool = PoolConfig(min_size=0, max_size=1, **limit)  # pyright: ignore[reportArgumentType]
    async with ExecutionEngine(EngineConfig(prewarm=(), pool=pool)) as engine:
        first = await numbers(engine, 2)
        assert len(set(first)) == 1 or "max_age" in limit
        if "max_age" in limit:
            await asyncio.sleep(1.2)
        assert (await numbers(engine, 1))[0] not in first
        assert set(engine.stats().discards) == {"uses" if "max_uses" in limit else "age"}


@pytest.mark.usefixtures("by_default")
async def test_tenants_share_no_container() -> None:
    """Runs of one tenant do, in turn; a session has one tenant."""
    async with ExecutionEngine(ONE) as engine:
        seen = [set(await numbers(engine, 2, tenant=tenant)) for tenant in ("a", "b", "a")]
        assert [len(containers) for containers in seen] == [1, 1, 1]
        assert seen[0] == seen[2] != seen[1]
        assert set(await numbers(engine, 1)).isdisjoint(seen[0] | seen[1])
        async with engine.session(tenant="b") as session:
            assert {(await session.run("python", WHERE)).stdout} == seen[1]
            with pytest.raises(ConfigurationError) as caught:
                await session.run("python", "", tenant="a")
            assert (caught.value.field, caught.value.value) == ("tenant", "a")


# -- how they are had


async def look_at(client: DockerClient, engine: ExecutionEngine) -> Mapping[str, Any]:
    """The only container of an engine, as Docker tells of it."""
    (container,) = await containers_of(client, engine)
    inspected = await inspect_container(client, container)
    assert inspected is not None
    return inspected


async def test_first_way_leaves_the_masks_out(docker_client: DockerClient) -> None:
    """And adds no capability: the supervisor mounts a /proc of its own because it sees all of the engine's."""
    async with ExecutionEngine(SANDBOX) as engine:
        await engine.run("python", "", strategy=POOL)
        host = (await look_at(docker_client, engine))["HostConfig"]
        assert (host["MaskedPaths"], host["ReadonlyPaths"]) == ([], [])
        assert "SYS_ADMIN" not in host["CapAdd"]


async def test_second_way_keeps_the_masks(
    docker_client: DockerClient, refusals: dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]]
) -> None:
    """Where the first was refused: the supervisor has CAP_SYS_ADMIN until it is in a user namespace."""
    async with ExecutionEngine(SANDBOX) as engine:
        await engine.run("python", "", strategy=POOL)
        (known,) = refusals.values()
        known[BoxWay.UNMASKED] = SandboxUnavailable("not this way")
        for _ in range(3):
            result = await engine.run("python", LOOK, strategy=FRESH)
            assert (result.isolation, result.stderr) == ("sandbox", "")
    async with ExecutionEngine(SANDBOX) as engine:
        for _ in range(3):
            result = await engine.run("python", LOOK, strategy=POOL)
            seen = json.loads(result.check().stdout)
            assert seen == {"processes": [1, 2], "powers": 0, "sys": "EROFS", "keys": 0}
        host = (await look_at(docker_client, engine))["HostConfig"]
        assert "SYS_ADMIN" in host["CapAdd"]
        assert "/proc/kcore" in host["MaskedPaths"]


async def test_host_that_allows_none_is_told_once(
    refusals: dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]],
) -> None:
    """With ``isolation="sandbox"`` as an error that names the step; else the run has what there was before."""
    async with ExecutionEngine(SANDBOX) as engine:
        await engine.run("python", "", strategy=POOL)
        (known,) = refusals.values()
        known |= dict.fromkeys(BoxWay, SandboxUnavailable("no user namespace can be made", "user", 1))
        with pytest.raises(SandboxUnavailable) as caught:
            await engine.run("python", "", strategy=FRESH)
        assert (caught.value.step, caught.value.errno) == ("user", 1)
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        kinds = [(await engine.run("python", "", strategy=strategy)).isolation for strategy in (POOL, FRESH)]
        assert kinds == ["reset", "container"]


@pytest.mark.usefixtures("by_default")
async def test_refusal_of_the_supervisor_leads_to_the_next_way(
    docker_client: DockerClient,
    refusals: dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A profile without ``unshare`` stands for a host that forbids it: no program ran there, and all is remembered."""
    monkeypatch.setattr("interpreter_tools._docker.spec.BOX_SECCOMP", boxes_forbidden())
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        assert (await engine.run("python", "print(1)", strategy=POOL)).isolation == "reset"
        (known,) = refusals.values()
        assert {way: error.step for way, error in known.items()} == {BoxWay.UNMASKED: "user", BoxWay.ADMIN: "proc"}
        assert {error.errno for error in known.values()} == {1}
        host = (await look_at(docker_client, engine))["HostConfig"]
        assert host["MaskedPaths"]
        assert "SYS_ADMIN" not in host["CapAdd"]


def boxes_forbidden() -> str:
    """The usual profile, which allows no namespaces."""
    from interpreter_tools._docker.spec import SECCOMP

    return SECCOMP


LOOK = """
import errno, json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def attempt(path):
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
print(json.dumps({
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "powers": sum(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")),
    "sys": "EROFS" if attempt("/proc/sys/kernel/core_pattern") in ("EROFS", "EACCES") else "open",
    "keys": len(open("/proc/keys").read()),
}))
"""


# -- what a program can do, call by call

POSTURE = """
import ctypes, errno, fcntl, json, os, platform, socket, termios
libc = ctypes.CDLL(None, use_errno=True)
old = platform.machine() == "x86_64"
def call(number, *arguments):
    ctypes.set_errno(0)
    fitting = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return "ok" if libc.syscall(number, *fitting) >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
def numbered(generic, x86):
    return x86 if old else generic
net = os.open("/proc/self/ns/net", os.O_RDONLY)
path, none, null = b"/tmp", b"none", None
seen = {
    "mount": call(numbered(40, 165), none, path, b"tmpfs", 0, null),
    "remount of /proc/sys": call(numbered(40, 165), none, b"/proc/sys", null, 32 | 4096, null),
    "umount": call(numbered(39, 166), b"/proc/keys", 2),
    "pivot_root": call(numbered(41, 155), path, path),
    "chroot": call(numbered(51, 161), path),
    "setns": call(numbered(268, 308), net, 0),
    "open_tree": call(428, -100, path, 1),
    "move_mount": call(429, -1, b"", -1, b"", 0),
    "fsopen": call(430, b"tmpfs", 0),
    "mount_setattr": call(442, -100, path, 0, null, 0),
    "clone3": call(435, null, 0),
    "clone of a sibling": call(numbered(220, 56), 0x8011, 0, 0, 0, 0),
    "seccomp": call(numbered(277, 317), 1, 0, null),
    "another filter by prctl": call(numbered(167, 157), 22, 2, null, 0, 0),
    "bpf": call(numbered(280, 321), 0, null, 0),
    "io_uring": call(425, 1, null),
    "keyctl": call(numbered(219, 250), 0, 0, 0, 0, 0),
    "userfaultfd": call(numbered(282, 323), 0),
    "perf_event_open": call(numbered(241, 298), null, 0, 0, 0, 0),
    "kexec_load": call(numbered(104, 246), 0, 0, null, 0),
    "init_module": call(numbered(105, 175), null, 0, null),
    "ptrace of the supervisor": call(numbered(117, 101), 16, 1, 0, 0),
    "signal to the supervisor": attempt(os.kill, 1, 9),
    "setuid": attempt(os.setuid, 0),
    "setgroups": attempt(os.setgroups, [0]),
    "capset": call(numbered(91, 126), (0x20080522).to_bytes(4, "little") + bytes(4), b"\\xff" * 24),
    "a device": attempt(os.mknod, "/workspace/d", 0o20666, os.makedev(1, 1)),
    "a host name": attempt(socket.sethostname, "x"),
    "AF_VSOCK": attempt(socket.socket, 40, 1),
    "AF_ALG": attempt(socket.socket, 38, 5),
    "AF_PACKET": attempt(socket.socket, 17, 3),
}
kinds = ((1, 0), (1, 6), (2, 0), (2, 17), (1, 262), (1, 132), (1, 255), (2, 136), (2, 255))
for kind, protocol in (*kinds, (3, 1), (3, 255), (4, 0), (5, 132), (6, 33)):
    for family in (2, 10):
        seen[f"socket {family} {kind} {protocol}"] = attempt(socket.socket, family, kind | 0x80000, protocol)
of_tcp = ((6, 31, b"tls"), (6, 14, bytes(216)), (6, 32, bytes(216)), (6, 38, bytes(248)), (6, 1, 1))
for level, option, value in (*of_tcp, (17, 100, 2), (17, 103, 100)):
    for family in (2, 10):
        kind = socket.SOCK_STREAM if level == 6 else socket.SOCK_DGRAM
        with socket.socket(family, kind) as made:
            seen[f"option {family} {level} {option}"] = attempt(made.setsockopt, level, option, value)
inside, outside = os.openpty()
for discipline in (1, 15, 21, 99):  # SLIP, HCI, GSM
    number = discipline.to_bytes(4, "little")
    seen[f"line discipline {discipline}"] = attempt(fcntl.ioctl, outside, termios.TIOCSETD, number)
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80):
    seen[f"unshare {flag:#x}"] = call(numbered(97, 272), flag)
    if flag > 0x80:
        seen[f"clone {flag:#x}"] = call(numbered(220, 56), flag | 17, 0, 0, 0, 0)
for name in ("sys/kernel/core_pattern", "sys/vm/drop_caches", "sys/net/ipv4/ip_forward", "sysrq-trigger",
             "self/oom_score_adj", "1/mem", "irq/default_smp_affinity"):
    answer = attempt(lambda: os.close(os.open("/proc/" + name, os.O_WRONLY)))
    seen["/proc/" + name] = "no" if answer in ("EACCES", "EROFS", "ENOENT", "EPERM") else answer
for name in ("/etc/x", "/usr/bin/x", "/x", "/.interpreter-tools/x", "/sys/x", "/dev/x"):
    answer = attempt(lambda: os.close(os.open(name, os.O_WRONLY | os.O_CREAT)))
    seen[name] = "no" if answer in ("EACCES", "EROFS", "EPERM") else answer
for name in ("environ", "root", "cwd", "fd", "maps", "ns/user"):
    look = {"fd": os.listdir, "environ": open, "maps": lambda path: open(path).read()}.get(name, os.readlink)
    seen["/proc/1/" + name] = attempt(look, "/proc/1/" + name)
print(json.dumps(seen))
"""

_OF_SOCKETS = {
    "ok": ("1 0", "1 6", "2 0", "2 17"),
    "EPROTONOSUPPORT": ("1 262", "1 132", "1 255", "2 136", "2 255"),  # programs that would like MPTCP then take TCP
    "ESOCKTNOSUPPORT": ("4 0", "5 132", "6 33"),
}
_OF_OPTIONS = {
    "ok": ("6 1", "17 103"),
    "ENOPROTOOPT": ("6 31", "6 14", "6 32", "6 38", "17 100"),  # libraries of TLS then encrypt themselves
}
OTHER_ANSWERS = {
    "clone3": "ENOSYS",
    "seccomp": "ENOSYS",
    "another filter by prctl": "EINVAL",
    **{f"socket {family} {kind}": word for family in (2, 10) for word, kinds in _OF_SOCKETS.items() for kind in kinds},
    **{f"option {family} {kind}": word for family in (2, 10) for word, kinds in _OF_OPTIONS.items() for kind in kinds},
    **{f"line discipline {number}": "EINVAL" for number in (1, 15, 21, 99)},
}


@pytest.mark.parametrize(("strategy", "network"), [(POOL, "none"), (FRESH, "bridge")])
async def test_posture_of_an_attacker_inside(
    boxed_engine: ExecutionEngine, strategy: ContainerStrategy, network: str
) -> None:
    """Each call that would lead out is refused; what differs from the written answer is shown."""
    result = await boxed_engine.run("python", POSTURE, strategy=strategy, network=network, timeout=30)
    seen: dict[str, str] = json.loads(result.check().stdout)
    assert len(seen) > 60
    differs = {
        name: answer
        for name, answer in seen.items()
        if answer != OTHER_ANSWERS.get(name, answer if answer in {"EPERM", "EACCES", "no"} else "EPERM")
    }
    assert differs == {}


async def test_program_by_exec_has_the_same_posture(boxed_engine: ExecutionEngine) -> None:
    """It comes another way into the box: as a child of the supervisor there."""
    environment = {"PYTHONHASHSEED": "random"}
    booted = await boxed_engine.run("python", POSTURE, strategy=POOL, timeout=30)
    started = await boxed_engine.run("python", POSTURE, strategy=POOL, timeout=30, environment=environment)
    assert json.loads(started.check().stdout) == json.loads(booted.check().stdout)


# Joins the namespaces of a process, as its root, and opens what the host's root could write. It writes nothing.
_OPEN_AS = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = sys.argv[1]
kinds = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("pid", "mnt", "user")]
for kind in kinds:
    if libc.setns(kind, 0) < 0: sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/modprobe",
             "/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register", "/proc/irq/default_smp_affinity",
             "/proc/kcore", "/dev/mem", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent",
             "/sys/fs/cgroup/memory/release_agent"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        print(path)
    except OSError:
        pass
"""


async def test_no_identity_of_the_container_opens_what_the_hosts_root_could(docker_client: DockerClient) -> None:
    """PID 1, keeper, zygote, supervisor: each is joined with all powers that it could have, and opens nothing."""
    async with (
        ExecutionEngine(SANDBOX) as engine,
        engine.stream("python", "import time; time.sleep(60)", strategy=POOL),
    ):
        first = (await look_at(docker_client, engine))["State"]["Pid"]
        pids = await eventually(lambda: asyncio.to_thread(family, first), lambda found: len(found) == 5)
        for pid in pids:
            status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
            ids = status.partition("Uid:")[2].split()[:4]
            assert min(int(number) for number in ids) >= 10_000
            command = [sys.executable, "-c", textwrap.dedent(_OPEN_AS), str(pid)]
            answer = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            assert (answer.returncode, answer.stdout) == (0, ""), answer


# -- the workspace by another name


@pytest.fixture
async def image_with_home(docker_client: DockerClient) -> AsyncIterator[str]:
    """An image of bash in which ``/home/user`` is a link to the workspace."""
    image, pieces = "interpreter-tools-test-home:1", io.BytesIO()
    with tarfile.open(fileobj=pieces, mode="w") as archive:
        link = tarfile.TarInfo("home/user")
        link.type, link.linkname = tarfile.SYMTYPE, "/workspace"
        archive.addfile(link)
    async with aiodocker.Docker(url=docker_client.endpoint.url) as docker:
        container = await docker.containers.create({"Image": "interpreter-tools/shell:1"})
        await container.put_archive("/", pieces.getvalue())  # pyright: ignore[reportUnknownMemberType]
        await container.commit(repository="interpreter-tools-test-home", tag="1")
        await container.delete()
    yield image
    await docker_client.remove_image(image)


async def test_directory_by_another_name_keeps_that_name(image_with_home: str) -> None:
    """What was entered as ``/home/user`` is no link to a program, and what is above it cannot be written to."""
    code = "cd /home/user/d; /bin/pwd; echo two > b; cat /workspace/d/b; touch /home/x || ls /home"
    container = ContainerConfig(image=image_with_home)
    async with ExecutionEngine(msgspec.structs.replace(SANDBOX, container=container)) as engine:
        result = await engine.run("shell", code, files={"d/a": "one"}, strategy=POOL)
    assert (result.stdout, result.isolation) == ("/home/user/d\ntwo\nuser\n", "sandbox"), result


# -- many


async def test_file_that_was_replaced_on_the_host_ends_its_container(tmp_path: Path) -> None:
    """The kernel mounts it in no further sandbox. The numbers say so, and do not say that a run has left something."""
    source = tmp_path / "in.txt"
    await asyncio.to_thread(source.write_text, "1")
    async with ExecutionEngine(SANDBOX) as engine:
        mounts = (Mount(source=str(source), target="in.txt"),)
        code = "import time; time.sleep(0.5); print(open('in.txt').read())"
        async with engine.stream("python", code, mounts=mounts, strategy=POOL) as execution:
            await asyncio.to_thread((tmp_path / "new").write_text, "2")
            await asyncio.to_thread((tmp_path / "new").rename, source)
            assert (await execution.result()).stdout == "1\n"
        assert (await engine.run("python", code, mounts=mounts, strategy=POOL)).stdout == "2\n"
        await eventually(lambda: look(engine), lambda stats: stats.discards == {"mount": 1})


@pytest.mark.parametrize("language", ["python", "javascript", "shell"])
async def test_innocent_run_after_each_hostile_one(language: str) -> None:
    """One container; no run is lost, none is discarded, and none sees the one before."""
    hostile = [
        ("shell", ":(){ :|:& };:; sleep 100"),
        ("shell", "head -c 1G /dev/zero > big; for n in $(seq 2000); do : > /tmp/$n; done"),
        ("shell", "setsid sh -c 'exec >&- 2>&-; while :; do sleep 1; done' & kill -9 -1"),
        ("python", "import os; x = bytearray(1 << 31)"),
        ("python", "import os\nfor i in range(3000): os.mkdir('d'); os.chdir('d')"),
        ("python", "import socket; s = [socket.socket() for _ in range(200)]; import os; os.kill(os.getpid(), 11)"),
        ("python", "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.kill(os.getpid(), 19)"),
    ]
    innocent = {
        "python": "import os; print(os.listdir(), os.listdir('/dev/shm'))",
        "javascript": "console.log(require('fs').readdirSync('.'), require('fs').readdirSync('/dev/shm'))",
        "shell": "ls; ls /dev/shm",
    }[language]
    wanted = {"python": "['main.py'] []\n", "javascript": "[ 'main.js' ] []\n", "shell": "main.sh\n"}[language]
    container = ContainerConfig(memory_limit="256m", pids_limit=64)
    config = EngineConfig(isolation="sandbox", container=container, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        for name, code in hostile:
            result = await engine.run(name, code, strategy=POOL, timeout=1.5)
            assert result.isolation == "sandbox"
            after = await engine.run(language, innocent, strategy=POOL, timeout=20)
            assert (after.stdout, after.outcome) == (wanted, "ok"), (code, after)
        assert engine.stats().discards == {}


@pytest.mark.usefixtures("by_default")
async def test_memory_of_a_run_is_not_what_others_have_left_of_it() -> None:
    """Its runs have one limit, in turn: what was read, written, taken, and killed for leaves the next one its room."""
    greedy = [
        ("shell", "find / -xdev -type f -exec cat {} + 2>/dev/null >/dev/null"),
        ("shell", "head -c 1G /dev/zero > big; head -c 1G /dev/zero > /tmp/big; head -c 1G /dev/zero > /dev/shm/big"),
        ("python", "x = bytearray(1 << 31)"),
        ("python", "import os, time\nwhile os.fork(): pass\nx = bytearray(200 << 20); time.sleep(9)"),
        ("python", "import os, time; os.write(os.memfd_create('x'), bytes(100 << 20)); time.sleep(9)"),
    ]
    container = ContainerConfig(memory_limit="256m", pids_limit=64)
    config = EngineConfig(container=container, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        for language, code in greedy:
            assert (await engine.run(language, code, timeout=2.0)).isolation == "sandbox"
            after = await engine.run("python", "x = bytearray(170 << 20); print(len(x) >> 20)", timeout=30)
            assert (after.stdout, after.outcome, after.oom_kills) == ("170\n", "ok", 0), (code, after)
        assert engine.stats().discards == {}


def zygotes_of(first: int) -> list[int]:
    """Return the interpreters that the keeper of a container has booted, outside of all sandboxes."""
    keeper = family(first)[1]
    zygotes: list[int] = []
    for pid in map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends just now
            if Path(f"/proc/{pid}/comm").read_text().startswith("python"):
                zygotes.append(pid)
    return zygotes


async def test_zygote_that_was_killed_is_booted_anew(docker_client: DockerClient) -> None:
    """It is there for the sandbox after the next reset. Until then each run has an interpreter of its own."""
    async with ExecutionEngine(SANDBOX) as engine:
        for _ in range(2):
            async with engine.stream("python", "print(1); input()", strategy=POOL) as execution:
                await anext(aiter(execution))  # the program runs: before that, another interpreter would take it
                first = (await look_at(docker_client, engine))["State"]["Pid"]
                (killed,) = await asyncio.to_thread(zygotes_of, first)
                os.kill(killed, signal.SIGKILL)
                assert (await execution.result()).signal == signal.SIGKILL
            for _ in range(2):
                assert (await engine.run("python", "print(1)", strategy=POOL)).stdout == "1\n"
            await eventually(
                lambda first=first: asyncio.to_thread(zygotes_of, first),
                lambda zygotes, killed=killed: len(zygotes) == 1 and zygotes != [killed],
            )
        assert engine.stats().discards == {}


async def test_module_that_cannot_be_shared_does_not_keep_python_out_of_its_sandbox() -> None:
    """The zygote starts anew without it, and enters sandboxes all the same."""
    container = ContainerConfig(preload=("json", "no_such_module"))
    config = EngineConfig(isolation="sandbox", container=container, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        for _ in range(2):
            result = await engine.run("python", "import sys; print('json' in sys.modules)", strategy=POOL)
            assert (result.stdout, result.isolation) == ("True\n", "sandbox")
