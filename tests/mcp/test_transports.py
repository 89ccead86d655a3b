"""What holds over each transport, with the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest
from mcp import Client, MCPError

from tests.cli.command import COMMAND, ENVIRONMENT, call
from tests.watch import CLIENTS, containers_of_process, eventually

from .connect import SMALL_VARIABLES, WAYS, Connection, Way, connect, http_server, text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

BEATS = """
import time
while True:
    open("beat", "w").write(str(time.monotonic()))
    print("started", flush=True)
    time.sleep(0.02)
"""


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("way", WAYS)
async def test_output_arrives_while_the_program_runs(way: Way, mode: str, tmp_path: Path) -> None:
    """As progress, in order, whose value grows; the result has all of it."""
    seen: list[tuple[float, str | None, bool]] = []
    code = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.3)\nraise SystemExit(3)"

    async with connect(way, tmp_path, mode=mode) as server:

        async def report(progress: float, total: float | None, message: str | None) -> None:
            seen.append((progress, message, running.done()))

        running = asyncio.ensure_future(
            server.client.call_tool("execute_code", {"language": "python", "code": code}, progress_callback=report)
        )
        result = await running
    assert "".join(message or "" for _, message, _ in seen) == "0\n1\n2\n"
    assert len(seen) > 1
    assert not seen[0][2]
    assert [value for value, _, _ in seen] == sorted({value for value, _, _ in seen})
    assert result.structured_content is not None
    answer = {name: result.structured_content[name] for name in ("outcome", "exit_code", "stdout", "truncated")}
    assert answer == {"outcome": "error", "exit_code": 3, "stdout": "0\n1\n2\n", "truncated": False}
    assert not result.is_error
    assert text_of(result) == "[error, exit code 3]\nstdout:\n0\n1\n2"


@pytest.mark.parametrize("way", WAYS)
async def test_session_keeps_files_that_are_resources(way: Way, tmp_path: Path) -> None:
    """Written by the client, changed by two languages, read by address."""
    async with connect(way, tmp_path) as server:
        session = await server.session()
        await server.call("write_file", session_id=session, path="in/a b.txt", content="3 1 2")
        await server.call(
            "execute_code",
            session_id=session,
            language="python",
            code="print(*sorted(open('in/a b.txt').read().split()), file=open('sorted', 'w'))",
        )
        shell = await server.call("execute_code", session_id=session, language="shell", code="cat sorted; cp sorted é")
        assert (shell["stdout"], shell["generated_files"], shell["session_id"]) == ("1 2 3\n", ["é"], session)
        listed = await server.call("list_files", session_id=session)
        files = {file["path"]: file["uri"] for file in cast("list[dict[str, str]]", listed["files"])}
        assert {"in/a b.txt", "sorted", "é"} <= set(files)
        for path, text in (("in/a b.txt", "3 1 2"), ("é", "1 2 3\n")):
            (content,) = (await server.client.read_resource(files[path])).contents
            assert getattr(content, "text", None) == text
        known = {resource.uri for resource in (await server.client.list_resources()).resources}
        assert known == (set() if way == "http" else set(files.values()))
        templates = (await server.client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == [
            "interpreter-tools://{session_id}/{+path}",
            "interpreter-tools-output://{output_id}/{stream}",
        ]


@pytest.mark.parametrize("ending", ["cancelled", "timed out"])
@pytest.mark.parametrize("way", WAYS)
async def test_call_that_is_given_up_ends_the_program(way: Way, ending: str, tmp_path: Path) -> None:
    """Its client's cancellation and its client's time limit; the session can be used at once."""
    async with connect(way, tmp_path) as server:
        session = await server.session()
        await server.call("execute_code", session_id=session, language="python", code="1")  # starts its container
        await _give_up(server, ending, {"session_id": session, "language": "python", "code": BEATS})
        first = await server.call("read_file", session_id=session, path="beat")
        after = "import time; time.sleep(0.2); print(open('beat').read())"
        last = await server.call("execute_code", session_id=session, language="python", code=after)
        assert last["stdout"] == f"{first['content']}\n"


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_cancelled_run_leaves_no_container(way: Way, tmp_path: Path, docker_client: DockerClient) -> None:
    """Of a run without a session nothing is kept."""
    async with connect(way, tmp_path) as server:
        ran: set[str] = set()

        async def look() -> set[str]:
            return set(await containers_of_process(docker_client, server.pid))

        async def note() -> None:
            ran.update(await look())

        await _give_up(server, "cancelled", {"language": "python", "code": BEATS}, meanwhile=note)
        assert len(ran) == 1
        await eventually(look, lambda found: not found & ran)


async def _give_up(
    server: Connection,
    ending: str,
    arguments: dict[str, object],
    *,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> None:
    started = asyncio.Event()

    async def report(progress: float, total: float | None, message: str | None) -> None:
        started.set()

    limit = 3 if ending == "timed out" else None
    task = asyncio.ensure_future(
        server.client.call_tool("execute_code", arguments, progress_callback=report, read_timeout_seconds=limit)
    )
    await started.wait()
    if meanwhile is not None:
        await meanwhile()
    if ending == "cancelled":
        task.cancel()
    with pytest.raises((asyncio.CancelledError, MCPError)):
        await task


async def test_clients_over_http_do_not_see_each_others_sessions() -> None:
    """Whoever knows a session's id can use it; nobody is told."""
    async with http_server() as (url, _), Client(url) as one, Client(url) as other:
        made = await one.call_tool("create_session", {})
        assert made.structured_content is not None
        session = made.structured_content["session_id"]
        await one.call_tool("write_file", {"session_id": session, "path": "a", "content": "a"})
        assert not (await other.list_resources()).resources
        read = await other.call_tool("read_file", {"session_id": session, "path": "a"})
        assert read.structured_content is not None
        assert read.structured_content["content"] == "a"


async def test_foreign_name_is_refused_over_http() -> None:
    """A web page whose own name leads to loopback gets nothing."""
    async with http_server() as (url, _):
        port = int(url.split(":")[2].partition("/")[0])
        for name, status in (("127.0.0.1", b"200"), ("evil.example", b"421")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            known = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": known}).encode()
            head = (
                f"POST /mcp HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            assert (await reader.readline()).split()[1] == status
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_while_it_waits_for_its_client(number: signal.Signals) -> None:
    """In order, with a shell's status; standard output is the protocol's alone."""
    command = [*COMMAND, "mcp"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT | SMALL_VARIABLES) as server:
        CLIENTS.add(server.pid)
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "server/discover"}\n')
        server.stdin.flush()
        assert b'"id":1' in server.stdout.readline()
        server.send_signal(number)
        assert server.wait(20) == 128 + number
        assert (server.stdout.read(), server.stderr.read()) == (b"", b"")


def test_end_of_input_ends_the_server() -> None:
    """Also where the last message was not whole, and where input is a file."""
    for stdin in (b"", b"{}"):
        assert call("mcp", stdin=stdin).returncode == 0
    with open("/dev/null", "rb") as nothing:  # noqa: PTH123
        command = [*COMMAND, "mcp"]
        assert subprocess.run(command, stdin=nothing, env=ENVIRONMENT, check=False, timeout=60).returncode == 0


def test_wrong_address_is_told() -> None:
    """Before anything starts."""
    done = call("mcp", "--http", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith(b"interpreter-tools mcp: --http: 'nowhere' is no address")


def test_missing_package_is_told() -> None:
    """With the command that installs it."""
    code = "import sys; sys.modules['mcp'] = None; from interpreter_tools.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "mcp"], capture_output=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 1
    assert b'pip install "interpreter-tools[cli,mcp]"' in done.stderr
