"""Networks on request, and ports that are published: reachable as asked for, and no further."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING

import aiohttp
import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    NetworkMissing,
    PoolConfig,
)
from interpreter_tools._docker.records import ignore
from tests.watch import ONE_SHOT, containers_of, eventually, inspect_container

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
ONE = PoolConfig(min_size=0, max_size=1)


@pytest.fixture
async def network(docker_client: DockerClient) -> AsyncIterator[str]:
    """A network with a name."""
    name = f"it-test-{uuid.uuid4().hex[:12]}"
    request = docker_client._connection.request
    await request("make a network", "POST", "networks/create", body={"Name": name, "CheckDuplicate": True}, read=ignore)
    yield name

    async def removed() -> bool:
        try:
            await request("remove a network", "DELETE", f"networks/{name}", read=ignore)
        except Exception:  # noqa: BLE001 - containers may still be leaving it
            return False
        return True

    await eventually(removed, bool)


def engine_of(container: ContainerConfig) -> ExecutionEngine:
    """An engine with one container at a time."""
    return ExecutionEngine(EngineConfig(container=container, prewarm=(), pool=ONE))


LOOK = """
import json, socket
def reach(address):
    with socket.socket() as client:
        client.settimeout(2)
        try: client.connect(address)
        except ConnectionRefusedError: return "refused"
        except OSError as error: return type(error).__name__ + str(error.errno)
        return "connected"
gateway = next((line.split()[2] for line in open("/proc/net/route") if line.split()[1] == "00000000"), "")
gateway = ".".join(str(byte) for byte in reversed(bytes.fromhex(gateway)))
print(json.dumps({
    "interfaces": [name for _, name in socket.if_nameindex()],
    "localhost": socket.gethostbyname("localhost"),
    "gateway": reach((gateway, 9)) if gateway else "none",
    "name": socket.gethostname(),
    "own": socket.gethostbyname(socket.gethostname()) != "",
}))
"""


async def test_network_is_there_on_request() -> None:
    """Also after a reset, which finds the container as it was."""
    async with engine_of(ContainerConfig(network="bridge")) as engine:
        for _ in range(3):
            result = await engine.run("python", LOOK, strategy=POOL)
            found = json.loads(result.check().stdout)
            assert "eth0" in found["interfaces"]
            assert found["localhost"] == "127.0.0.1"
            assert found["gateway"] in {"refused", "connected"}  # it answers in any case
            assert found["own"]
        stats = engine.stats()
        assert (stats.refills, stats.discards) == (1, {})


async def test_network_of_one_run_is_that_runs() -> None:
    """The next one has none."""
    async with engine_of(ContainerConfig()) as engine:
        online = json.loads((await engine.run("python", LOOK, network="bridge")).check().stdout)
        offline = json.loads((await engine.run("python", LOOK)).check().stdout)
    assert "eth0" in online["interfaces"]
    assert (offline["interfaces"], offline["gateway"]) == (["lo"], "none")


async def test_listeners_in_a_network_do_not_outlive_their_run() -> None:
    """Nor do connections to them."""
    code = """
import os, socket
servers = [socket.create_server(("0.0.0.0", 8000)), socket.create_server(("::", 8001), family=socket.AF_INET6)]
client = socket.create_connection(("127.0.0.1", 8000))
client.send(b"x")
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("0.0.0.0", 53))
if os.fork() == 0:
    os.setsid()
    import time; time.sleep(99)
print("ok")
"""
    async with engine_of(ContainerConfig(network="bridge")) as engine:
        for _ in range(3):
            result = await engine.run("python", code, strategy=POOL)
            assert result.stdout == "ok\n", result.stderr
        assert engine.stats().discards == {}


async def test_named_network_resolves_names(docker_client: DockerClient, network: str) -> None:
    """Those of its other containers, by the engine's own resolver; and a reset is as clean."""
    async with (
        engine_of(ContainerConfig(network=network)) as server,
        engine_of(ContainerConfig(network=network)) as client,
    ):
        code = """
import socket
print("ready", flush=True)
with socket.create_server(("0.0.0.0", 8000)) as server:
    connection, _ = server.accept()
    connection.sendall(b"hello")
"""
        async with server.stream("python", code, timeout=60) as serving:
            async for _ in serving:
                break
            (container,) = await containers_of(docker_client, server)
            summary = await inspect_container(docker_client, container)
            assert summary is not None
            name = summary["Name"].removeprefix("/")
            ask = f"""
import socket, time
for attempt in range(600):
    try: connection = socket.create_connection(({name!r}, 8000)); break
    except ConnectionRefusedError: time.sleep(0.05)
print(connection.recv(100))
"""
            assert (await client.run("python", ask, strategy=POOL)).stdout == "b'hello'\n"
            assert (await serving.result()).outcome == "ok"
        missing = "import socket\ntry: socket.gethostbyname('no-such-host.invalid')\nexcept OSError: print('unknown')"
        assert (await client.run("python", missing, strategy=POOL)).stdout == "unknown\n"
        assert client.stats().discards == {}


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_missing_network_is_told_once(docker_client: DockerClient, strategy: ContainerStrategy) -> None:
    """By its name; nobody tries again until somebody asks, and nothing is left."""
    async with engine_of(ContainerConfig(network="no-such-network")) as engine:
        for attempt in (1, 2):
            with pytest.raises(NetworkMissing, match="docker network create") as caught:
                await engine.run("python", "", strategy=strategy)
            assert caught.value.network == "no-such-network"
            await asyncio.sleep(0.5)  # several times as long as the first back-off
            assert engine.stats().discards == {"failed": attempt}
        assert not await containers_of(docker_client, engine)


@pytest.mark.parametrize("network", ["", "host", "container:x", "ns:/proc/1/ns/net", "../x", "a b", "-x", "a/b"])
def test_networks_that_are_none_of_dockers_are_refused(network: str) -> None:
    """The host's own above all."""
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(network=network)
    assert caught.value.field == "container.network"


@pytest.mark.parametrize("ports", [(0,), (65536,), (-1,), ("80",), (True,), (80, 80), 80])
def test_ports_that_are_none_are_refused(ports: tuple[int, ...]) -> None:
    """By their field."""
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(network="bridge", ports=ports)
    assert caught.value.field.startswith("container.ports")


def test_ports_need_a_network() -> None:
    """The way out is told."""
    with pytest.raises(ConfigurationError, match="network='bridge'"):
        ContainerConfig(ports=(80,))


SERVE = """
import http.server
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from " + self.path.encode())
    def log_message(self, *arguments): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Hello)
print("ready", flush=True)
server.serve_forever()
"""


async def test_published_port_is_reachable_from_the_host_on_loopback_only(docker_client: DockerClient) -> None:
    """Each container has ports of its own, and a container is told where they are."""
    async with engine_of(ContainerConfig(network="bridge", ports=(8000, 9000))) as engine:
        for _ in range(2):
            async with engine.stream("python", SERVE, timeout=60, strategy=POOL) as execution:
                async for _chunk in execution:
                    break
                (pool,) = engine._running.runtime.pools.values()  # type: ignore[union-attr]
                (container,) = pool._busy
                assert container.ports.keys() == {8000, 9000}
                port = container.ports[8000]
                inspected = await inspect_container(docker_client, container.name)
                assert inspected is not None
                assert inspected["Id"] == container.id
                bindings = inspected["NetworkSettings"]["Ports"]["8000/tcp"]
                assert bindings == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"http://127.0.0.1:{port}/x") as response,
                ):
                    assert await response.text() == "hello from /x"
                await execution.kill()
                assert (await execution.result()).outcome == "killed"


async def test_ports_are_asked_for_only_where_there_are_any(docker_client: DockerClient) -> None:
    """A container without them costs no further request, and publishes nothing."""
    async with engine_of(ContainerConfig(network="bridge")) as engine:
        await engine.run("python", "", strategy=POOL)
        (container,) = await containers_of(docker_client, engine)
        inspected = await inspect_container(docker_client, container)
        assert inspected is not None
        ports: dict[str, object] = inspected["NetworkSettings"]["Ports"] or {}
        assert not any(ports.values())
