"""E2B's clients by host names, over TLS with a wildcard certificate by an authority of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

from .node_modules import install, run
from .test_serve import started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

_DOMAIN = "sandbox.test"  # which no resolver knows
_PYTHON = """
import asyncio, os, sys
from e2b_code_interpreter import AsyncSandbox, Sandbox

with Sandbox.create(proxy=os.environ["PROXY"]) as sandbox:
    print(sandbox.run_code("6 * 7").text, sandbox.commands.run("echo hello").stdout.strip())
    sandbox.files.write("a", "text")
    print(sandbox.files.read("a"), sandbox.get_host(8000).partition(".")[2])
    sandbox.kill()

async def main():
    sandbox = await AsyncSandbox.create(proxy=os.environ["PROXY"])
    print((await sandbox.run_code("1 + 1")).text, (await sandbox.commands.run("echo again")).stdout.strip())
    await sandbox.kill()

asyncio.run(main())
sys.stdout.flush()
os._exit(0)  # one end in ten of an interpreter with this client aborts, in a thread of pyqwest, its HTTP library
"""
_JAVASCRIPT = """
import dns from 'node:dns'
const hosts = new Set()
const lookup = dns.lookup  // the test's resolver: every host is this machine
dns.lookup = (host, ...rest) => { hosts.add(host.split('-')[0]); return lookup('127.0.0.1', ...rest) }
const { Sandbox } = await import('@e2b/code-interpreter')
const sandbox = await Sandbox.create()
console.log((await sandbox.runCode('6 * 7')).text, (await sandbox.commands.run('echo hello')).stdout.trim())
await sandbox.files.write('a', 'text')
console.log(await sandbox.files.read('a'))
await sandbox.kill()
console.log(hosts.has('49983'), hosts.has('49999'))
"""


class _Names:
    """A proxy that stands for a resolver: it leads every host to one port of loopback, and notes the names."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = ""
        self.names: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection: ``CONNECT host:port``, then its bytes."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.names.add(head.split()[1].decode())
            inner, outer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, outer), _copy(inner, writer))
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextlib.asynccontextmanager
async def _names(port: int) -> AsyncGenerator[_Names]:
    names = _Names(port)
    server = await asyncio.start_server(names.serve, "127.0.0.1", 0)
    names.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield names
    finally:
        server.close()


async def _python(program: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", program),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def test_clients_reach_sandboxes_by_their_host_names(tmp_path: Path) -> None:
    """Python's by ``SSL_CERT_FILE``, JavaScript's by ``NODE_EXTRA_CA_CERTS``, as the server has printed them."""
    variables = {"XDG_DATA_HOME": str(tmp_path)}
    async with started("--domain", _DOMAIN, "--wires", "e2b", lines=7, **variables) as server:
        async with _names(server.port) as names:
            said = await _python(_PYTHON, PROXY=names.url, **server.exports)
        assert said.splitlines() == ["42 hello", f"text {_DOMAIN}:{server.port}", "2 again"]
        assert {name.partition("-")[0] for name in names.names if "-" in name} == {"49983", "49999"}
        await install(tmp_path, "e2b@2", "@e2b/code-interpreter@2")
        said = await run(tmp_path, _JAVASCRIPT, **server.exports)
        assert said.splitlines() == ["42 hello", "text", "true true"]
