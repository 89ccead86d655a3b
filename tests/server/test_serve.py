"""``interpreter-tools serve`` as a process: what it prints, whom it lets in, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import ssl
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.command import COMMAND, ENVIRONMENT, call
from tests.watch import CLIENTS, containers_of_process, eventually, nothing_is_left_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

KEY = "a key of twenty bytes".replace(" ", "-")


class _Command:
    """A server that runs, with what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process, printed: str) -> None:
        self.process = process
        self.printed = printed
        self.exports = dict(re.findall(r"^export (\w+)=(.*)$", printed, re.MULTILINE))
        found = re.search(r"serve: (\S+)", printed)
        assert found is not None
        self.url = found[1]
        self.port = int(self.url.rpartition(":")[2])


@contextlib.asynccontextmanager
async def started(*arguments: str, lines: int = 4, **environment: str) -> AsyncGenerator[_Command]:
    """Start a server, and end it."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "serve",
        *("--port", "0", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, **environment},
    )
    CLIENTS.add(process.pid)
    assert process.stdout is not None
    try:
        printed = b"".join([await asyncio.wait_for(process.stdout.readline(), 60) for _ in range(lines)]).decode()
        yield _Command(process, printed)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _run(url: str, code: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        return await _post(client, url, code)


async def _post(client: httpx.AsyncClient, url: str, code: str) -> httpx.Response:
    return await client.post(f"{url}/run_code", json={"language": "python", "code": code, "run_timeout": 60})


async def _runs(endpoint: str, verify: ssl.SSLContext | bool = True) -> bool:
    """Whether a run is in the server of this URL, which has the key in it."""
    async with httpx.AsyncClient(timeout=60, verify=verify) as client:
        return "interpreter_tools_running 1.0\n" in (await client.get(f"{endpoint}/metrics")).text


@pytest.mark.docker
async def test_exports_lead_clients_to_the_server_and_sigterm_drains_it(docker_client: DockerClient):
    """A run that is on its way is answered; the status is 0, and no container is left."""
    async with started("--wires", "sandbox-fusion", "--log", "json") as server:
        endpoint = server.exports["SANDBOX_FUSION_ENDPOINT"]
        assert (await _run(endpoint, "print(1)")).json()["run_result"]["stdout"] == "1\n"
        assert (await _run(server.url, "print(1)")).status_code == 401
        slow = asyncio.create_task(_run(endpoint, "import time; time.sleep(2); print('done')"))
        await eventually(lambda: _runs(endpoint), bool)
        server.process.send_signal(signal.SIGTERM)
        assert (await slow).json()["run_result"]["stdout"] == "done\n"
        _, logged = await asyncio.wait_for(server.process.communicate(), 30)
        assert server.process.returncode == 0
        assert await containers_of_process(docker_client, server.process.pid) == []
        assert logged.count(b'"event":"run"') == 2
        assert b"print" not in logged
        assert re.search(rb"it_[0-9a-f]+", logged) is None


@pytest.mark.docker
async def test_killed_server_leaves_neither_container_nor_file(docker_client: DockerClient, tmp_path: Path):
    """Its containers end with their streams, and the key of its certificate is in no file while it serves."""
    places = [tmp_path / name for name in ("authority", "temporary")]
    for place in places:
        place.mkdir()
    variables = {"XDG_DATA_HOME": str(places[0]), "TMPDIR": str(places[1])}
    async with started("--wires", "sandbox-fusion", "--domain", "localhost", lines=6, **variables) as server:
        context = ssl.create_default_context(cafile=server.exports["SSL_CERT_FILE"])
        endpoint = server.exports["SANDBOX_FUSION_ENDPOINT"]
        async with httpx.AsyncClient(verify=context, timeout=60) as client:
            slow = asyncio.create_task(_post(client, endpoint, "import time; time.sleep(60)"))
            await eventually(lambda: _runs(endpoint, verify=context), bool)
            os.kill(server.process.pid, signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                await slow
        await server.process.wait()
        await nothing_is_left_of(docker_client, [server.process.pid])
    assert list(places[1].iterdir()) == []


@pytest.mark.docker
async def test_domain_has_a_certificate_by_an_authority_of_this_machine(tmp_path: Path):
    """Any sandbox's host is certified; the authority is the same with the next start, and its key is private."""
    variables = {"XDG_DATA_HOME": str(tmp_path)}
    authorities: set[bytes] = set()
    for _ in range(2):
        async with started("--domain", "sandbox.test", lines=6, **variables) as server:
            context = ssl.create_default_context(cafile=server.exports["SSL_CERT_FILE"])
            assert server.exports["NODE_EXTRA_CA_CERTS"] == server.exports["SSL_CERT_FILE"]
            for name in ("49983-abc.sandbox.test", "sandbox.test", "localhost"):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=name)
                writer.close()
            async with httpx.AsyncClient(verify=context) as client:
                assert (await client.get(f"{server.url}/healthz")).text == "ok\n"
            authorities.add((tmp_path / "interpreter-tools/authority/authority.pem").read_bytes())
    assert (tmp_path / "interpreter-tools/authority/authority.key").stat().st_mode & 0o077 == 0
    assert len(authorities) == 1


@pytest.mark.docker
async def test_file_of_keys_is_needed_beyond_loopback_and_none_of_them_is_printed(tmp_path: Path):
    """Its keys count; the exports have a word in their place."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY} name=alice\n")
    async with started(
        "--host", "0.0.0.0", "--api-key-file", str(file), "--wires", "sandbox-fusion", lines=5
    ) as server:
        assert KEY not in server.printed
        assert "YOUR_KEY" in server.exports["SANDBOX_FUSION_ENDPOINT"]
        assert "keys travel unencrypted" in server.printed
        url = f"http://127.0.0.1:{server.port}"
        assert (await _run(url, "print(1)", **{"x-api-key": KEY})).json()["status"] == "Success"
        assert (await _run(url, "print(1)", **{"x-api-key": KEY + "x"})).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "--api-key-file FILE"),
        (("--wires", "e3b"), "'e3b' is not a wire"),
        (("--api-key-file", "/nowhere"), "cannot be read: No such file"),
        (("--tls-cert", "/nowhere"), "are given together"),
        (("--tls-cert", "/nowhere", "--tls-key", "/nowhere"), "is not a file"),
        (("--port", "70000"), "is not a port"),
        (("--host", "192.0.2.1", "--api-key-file", "KEYS"), "cannot be listened on"),
        (("--runs", "0"), "runs"),
        (("--proxied",), "give --domain and no --tls-cert"),
    ],
)
def test_call_that_cannot_work_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str):
    """The status is 2, and the error says what to do."""
    (tmp_path / "keys").write_text(KEY)
    done = call("serve", *(str(tmp_path / "keys") if word == "KEYS" else word for word in arguments))
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
