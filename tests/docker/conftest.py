"""A real engine, and ways to reach it that are not its socket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, cast

import pytest

from interpreter_tools import ContainerConfig, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._docker import (
    Demultiplexer,
    DockerClient,
    EngineInfo,
    Owner,
    SupervisorVolume,
    ensure_supervisor_volume,
)
from interpreter_tools._docker.plain import send
from interpreter_tools._docker.spec import container_spec
from tests.docker.codes import LANGUAGES, Codes
from tests.docker.stores import own_store
from tests.docker.workplace import Workplace
from tests.watch import containers_of, eventually, owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from interpreter_tools import Context

IMAGE = "interpreter-tools/python:1"
NAP = ["sleep", "1000"]


Isolated: TypeAlias = Literal["auto", "sandbox", "container"]
BOTH_WAYS: tuple[Isolated, Isolated] = ("container", "sandbox")
"""With a container alone, and with sandboxes inside of it: tests of what is around a program hold for both."""


@pytest.fixture(scope="module")
def isolation() -> Isolated:
    """What is around the programs of a module's tests; one that runs them in both ways has a fixture of its own."""
    return "auto"


@pytest.fixture(scope="session")
async def boxed_engine() -> AsyncIterator[ExecutionEngine]:
    """An engine for many tests, whose programs run in sandboxes inside of containers."""
    config = EngineConfig(isolation="sandbox", prewarm=(), pool=PoolConfig(min_size=0, max_size=2, wait_timeout=120))
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.fixture(scope="session")
async def boxless_engine() -> AsyncIterator[ExecutionEngine]:
    """An engine for many tests, whose programs run in containers without sandboxes inside."""
    config = EngineConfig(isolation="container", prewarm=(), pool=PoolConfig(min_size=0, max_size=4, wait_timeout=120))
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.fixture(scope="module")
def shared_engine(
    shared_engine: ExecutionEngine, isolation: Isolated, request: pytest.FixtureRequest
) -> ExecutionEngine:
    """The engine that tests share, or the one with sandboxes, or the one without."""
    if isolation == "auto":
        return shared_engine
    return cast(
        "ExecutionEngine", request.getfixturevalue("boxed_engine" if isolation == "sandbox" else "boxless_engine")
    )


@pytest.fixture(scope="module")
async def single(isolation: Isolated) -> AsyncIterator[ExecutionEngine]:
    """An engine whose runs take turns in one container, so that each shows what the one before has left."""
    container = ContainerConfig(memory_limit="256m", pids_limit=64)
    config = EngineConfig(isolation=isolation, container=container, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset may take as long as this machine needs while it is busy: what it does is tested, and not its time."""
    monkeypatch.setattr("interpreter_tools._container.container._RESET_DEADLINE_MS", 60_000)
    monkeypatch.setattr("interpreter_tools._pool.resets._DEADLINE", 90.0)


@pytest.fixture(scope="module")
async def store(docker_client: DockerClient) -> AsyncIterator[str]:
    """A store that nobody else uses."""
    async with own_store(docker_client) as name:
        yield name


@pytest.fixture(scope="module")
async def store_engine(store: str) -> AsyncIterator[ExecutionEngine]:
    """An engine with that store."""
    pool = PoolConfig(min_size=0, max_size=4, wait_timeout=120)
    async with ExecutionEngine(EngineConfig(prewarm=(), pool=pool, dependency_store=store)) as engine:
        yield engine


@pytest.fixture(params=LANGUAGES)
def codes(request: pytest.FixtureRequest) -> Codes:
    """The languages whose contexts have checkpoints and branches."""
    return Codes(request.param)


@pytest.fixture(scope="session")
async def lasting_engine() -> AsyncIterator[ExecutionEngine]:
    """An engine whose sessions may stay from one test to the next."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4, wait_timeout=120))
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.fixture(scope="module")
def workplace_engine(isolation: Isolated, request: pytest.FixtureRequest) -> ExecutionEngine:
    """The engine of ``workplace``."""
    engines = {"auto": "lasting_engine", "sandbox": "boxed_engine", "container": "boxless_engine"}
    return cast("ExecutionEngine", request.getfixturevalue(engines[isolation]))


@pytest.fixture(scope="module")
async def workplace(workplace_engine: ExecutionEngine) -> AsyncIterator[Workplace]:
    """Where the contexts of a module's tests live that need no container of their own."""
    place = Workplace(workplace_engine)
    yield place
    await place.aclose()


@pytest.fixture
async def any_context(workplace: Workplace, codes: Codes) -> AsyncIterator[Context]:
    """A context of one of them."""
    async with workplace.context(codes.language, timeout=60, checkpoint_limit=4) as context:
        yield context


@pytest.fixture
async def own_engine(docker_client: DockerClient) -> AsyncIterator[ExecutionEngine]:
    """An engine of the test's own, which must leave neither container nor volume."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4), max_sessions=3)
    async with ExecutionEngine(config) as engine:
        owner = owner_of(engine)
        yield engine
    await eventually(lambda: containers_of(docker_client, owner), lambda found: not found)
    assert not await docker_client.list_volumes({"interpreter-tools.owner": owner})


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[DockerClient]:
    """The engine that the machine has."""
    async with await DockerClient.connect() as client:
        yield client


@pytest.fixture(scope="session")
async def info(client: DockerClient) -> EngineInfo:
    """What it can do."""
    return await client.info()


@pytest.fixture(scope="session")
async def volume(client: DockerClient) -> SupervisorVolume:
    """The volume with the supervisor; it stays, as it does in use."""
    return await ensure_supervisor_volume(client)


@pytest.fixture
async def owner(client: DockerClient) -> AsyncIterator[Owner]:
    """An owner whose containers must be gone when the test ends."""
    owner = await asyncio.to_thread(Owner.current)
    yield owner
    left = await client.list_containers(labels={"interpreter-tools.owner": owner.id})
    while left and all(container.state == "removing" for container in left):  # by the engine itself: AutoRemove
        await asyncio.sleep(0.01)
        left = await client.list_containers(labels={"interpreter-tools.owner": owner.id})
    for container in left:
        await client.remove_container(container.id)
    assert not left


_OF_OTHERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rm": ("DELETE", "", {"force": "true", "v": "true"}),
    "kill": ("POST", "/kill", {}),
    "pause": ("POST", "/pause", {}),
    "stop": ("POST", "/stop", {"t": "0"}),
}


async def end_as_others_do(container: str, how: str) -> None:
    """Remove, kill, pause or stop a container, as ``docker`` does, whose start takes longer than some tests have.

    Raises:
        Refusal: the engine refused.
    """
    method, path, params = _OF_OTHERS[how]
    await send(
        "/var/run/docker.sock", method, f"containers/{container}{path}", version="v1.41", params=params, data=None
    )


class Received(asyncio.Protocol):
    """What an attach stream brings."""

    def __init__(self) -> None:
        self._demultiplexer = Demultiplexer()
        self.data = bytearray()
        self.arrived = asyncio.Event()
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Strip Docker's headers."""
        for payload in self._demultiplexer.feed(data):
            self.data += payload
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The container has ended."""
        del exc
        self.ended.set()


class RunInSandbox(Protocol):
    """How ``run_in_sandbox`` is called."""

    async def __call__(self, argv: list[str], *, image: str = IMAGE, config: ContainerConfig | None = None) -> str:
        """Run a program as PID 1 of a sandbox and return its output."""
        ...


@pytest.fixture
def run_in_sandbox(client: DockerClient, info: EngineInfo, volume: SupervisorVolume, owner: Owner) -> RunInSandbox:
    """Run a program as PID 1, as root, within the walls of a sandbox; return stdout and stderr."""

    async def run(argv: list[str], *, image: str = IMAGE, config: ContainerConfig | None = None) -> str:
        config = config or ContainerConfig()
        traits = volume.traits(info)
        spec = container_spec(image, config, volume=volume.name, labels=owner.labels(), traits=traits)
        spec |= {"Entrypoint": ["/bin/sh", "-c", 'exec 2>&1 "$@"', "sh", *argv], "Cmd": [], "OpenStdin": False}
        container = await client.create_container(spec)
        try:
            _, received = await attach(client, container)
            await client.start_container(container)
            async with asyncio.timeout(60):
                await received.ended.wait()
        finally:
            await client.remove_container(container)
        return received.data.decode()

    return run


async def attach(client: DockerClient, container: str) -> tuple[asyncio.Transport, Received]:
    """A container's stdin and what comes from its stdout."""
    transport, protocol = await client.attach(container, Received)
    assert isinstance(protocol, Received)
    return transport, protocol


def spec_of(owner: Owner, *argv: str, host: Mapping[str, object] | None = None) -> dict[str, object]:
    """A plain container of a test.

    Args:
        owner: whose it is.
        argv: its program; none means one that waits.
        host: more of its ``HostConfig``.
    """
    return {
        "Image": IMAGE,
        "Cmd": list(argv or NAP),
        "NetworkDisabled": True,
        "Labels": owner.labels(),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}, **(host or {})},
    }


class Scripted(NamedTuple):
    """An engine that answers as a test wants.

    Attributes:
        host: its address.
        requests: the lines it was asked with, ``"GET /v1.41/info"``.
    """

    host: str
    requests: list[str]


class Serve(Protocol):
    """How ``scripted`` is called."""

    async def __call__(self, answer: Callable[[str, int], bytes | None]) -> Scripted:
        """An engine of a function from a request, and how often it came, to an answer.

        None means that no answer comes, empty bytes that the connection breaks.
        """
        ...


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[Serve]:
    """Make engines that answer as a test wants."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(answer: Callable[[str, int], bytes | None]) -> Scripted:
            requests: list[str] = []

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    while True:
                        head = (await reader.readuntil(b"\r\n\r\n")).decode()
                        request = head.partition("?")[0].partition(" HTTP")[0]
                        for line in head.split("\r\n"):
                            if line.lower().startswith("content-length:"):
                                await reader.readexactly(int(line.partition(":")[2]))
                        requests.append(request)
                        sent = answer(request, requests.count(request))
                        if sent is None:
                            await reader.read()
                            break
                        if not sent:
                            break
                        writer.write(sent)
                writer.close()

            path = tmp_path / "engine.sock"
            server = await asyncio.start_unix_server(handle, path)
            stack.push_async_callback(_stop, server)
            return Scripted(f"unix://{path}", requests)

        yield serve


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


def answer(body: str, status: int = 200) -> bytes:
    """An answer of an engine."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


VERSION = answer('{"Version": "99", "ApiVersion": "1.41", "Arch": "arm64", "Os": "linux"}')


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect somebody to the engine's socket."""
    up_reader, up_writer = await asyncio.open_unix_connection("/var/run/docker.sock")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()

    tasks = [asyncio.ensure_future(copy(reader, up_writer)), asyncio.ensure_future(copy(up_reader, writer))]
    await asyncio.wait(tasks, return_when=asyncio.ALL_COMPLETED if writer.can_write_eof() else asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for sink in (writer, up_writer):
        sink.close()


@pytest.fixture
async def remote_host() -> AsyncIterator[str]:
    """The engine as a remote one: over TCP."""
    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await _stop(server)


@pytest.fixture
async def tls_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The engine behind TLS that asks for the client's certificate; the variables of Docker's command line name it."""
    certificates = tmp_path / "certificates"
    await asyncio.to_thread(make_certificates, certificates)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await _stop(server)


def make_certificates(directory: Path) -> None:
    """One certificate that is authority, server and client at once."""
    directory.mkdir()
    subject = ["-subj", "/CN=engine", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1", "-nodes"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *files], check=True, capture_output=True
    )
    (directory / "ca.pem").write_bytes((directory / "cert.pem").read_bytes())
