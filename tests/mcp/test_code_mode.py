"""Tools of other MCP servers in the code, with real servers and the SDK's own client."""

from __future__ import annotations

import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from interpreter_tools import ConfigurationError, MachineError
from interpreter_tools.mcp import tools_of_servers
from tests.cli.command import COMMAND, ENVIRONMENT, call
from tests.watch import CLIENTS

from .connect import SMALL_VARIABLES, Connection, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_OTHER = str(Path(__file__).with_name("other_server.py"))


def servers(directory: Path, **named: object) -> Path:
    """Write a list of servers."""
    path = directory / "servers.json"
    path.write_text(json.dumps({"mcpServers": named}))
    return path


def other(*args: str, **more: object) -> dict[str, object]:
    """A server of ours, in such a list."""
    return {"command": sys.executable, "args": [_OTHER, *args], **more}


@asynccontextmanager
async def code_mode(path: Path) -> AsyncGenerator[Connection]:
    """A client of the server, which has the tools of others."""
    script = 'echo $$ > "$0"; exec "$@"'
    noted = path.with_suffix(".pid")
    command = [str(noted), *COMMAND, "mcp", "--tools-from", str(path)]
    server = StdioServerParameters(
        command="/bin/sh", args=["-c", script, *command], env={**ENVIRONMENT, **SMALL_VARIABLES, "SECRET": "42"}
    )
    async with Client(server) as client:
        pid = int(noted.read_text())
        CLIENTS.add(pid)
        yield Connection(client, pid)


@pytest.mark.docker
async def test_code_calls_tools_of_other_servers(tmp_path: Path) -> None:
    """In each language, from runs and from cells; what it gets is data, and a failure is an exception."""
    path = servers(tmp_path, archive=other(env={"GIVEN": "${SECRET}"}), second=other())
    async with code_mode(path) as server:
        code = (
            "import tools\nhits = tools.archive_search('cats', limit=2)\n"
            "print(tools.second_total(numbers=[hit['score'] for hit in hits]), hits[0]['title'])\n"
            "print(tools.archive_whoami().split(', ')[1], '/', tools.second_whoami().split(', ')[1])\n"
            "try:\n    tools.archive_fail('too late')\n"
            "except tools.ToolError as error:\n    print(type(error).__name__, error)\n"
        )
        answer = await server.call("execute_code", language="python", code=code)
        assert str(answer["stdout"]).splitlines()[:2] == ["1.5 cats 1", "42 given / nothing given"]
        assert str(answer["stdout"]).splitlines()[2].startswith("ToolFailed ")
        assert "too late" in str(answer["stdout"])
        code = "tool archive_search --query cats --limit 1; tool archive_total --numbers:='[1, 2]'"
        answer = await server.call("execute_code", language="shell", code=code)
        assert str(answer["stdout"]).splitlines() == ['[{"title":"cats 1","score":1.0}]', "3.0"]
        session = await server.session()
        where = {"session_id": session, "context": "c", "language": "javascript"}
        await server.call("execute_code", **where, code="const [hit] = await tools.archive_search({ query: 'dogs' })")
        answer = await server.call("execute_code", **where, code="console.log(hit.title)")
        assert answer["stdout"] == "dogs 1\n"


@pytest.mark.docker
async def test_description_lists_the_tools(tmp_path: Path) -> None:
    """With their signatures, or only their names where there are many; they are found by words, by model and code."""
    async with code_mode(servers(tmp_path, archive=other())) as server:
        listed = {tool.name: tool for tool in (await server.client.list_tools()).tools}
        told = listed["execute_code"].description or ""
        assert "- archive_search(query: str, limit: int = ...): Search the archive for words." in told
        assert "archive_search" not in listed
    async with code_mode(servers(tmp_path, archive=other("100"))) as server:
        listed = {tool.name: tool for tool in (await server.client.list_tools()).tools}
        told = listed["execute_code"].description or ""
        assert len(told) < 8000
        assert "archive_extra_99" in told
        assert "signature" in text_of(await server.client.call_tool("find_tools", {"query": "archive words"}))
        found = await server.call("find_tools", query="search archive")
        assert found["result"][0] == {  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
            "name": "archive_search",
            "signature": "(query: str, limit: int = ...)",
            "description": "Search the archive for words.\n\nThe best come first.",
        }
        code = "import tools; print([each['name'] for each in tools.find_tools('add numbers')][0])"
        assert (await server.call("execute_code", language="python", code=code))["stdout"] == "archive_total\n"


@pytest.mark.docker
async def test_server_that_dies_is_an_error_of_its_tools_only(tmp_path: Path) -> None:
    """Runs go on."""
    async with code_mode(servers(tmp_path, archive=other())) as server:
        code = "import tools, re\nprint(re.search(r'\\d+', tools.archive_whoami())[0])\n"
        pid = int(str((await server.call("execute_code", language="python", code=code))["stdout"]))
        os.kill(pid, 9)
        code = "import tools\ntry:\n    tools.archive_whoami()\nexcept tools.ToolError as error:\n    print('failed')\n"
        answer = await server.call("execute_code", language="python", code=code, timeout=20)
        assert (answer["outcome"], answer["stdout"]) == ("ok", "failed\n")


async def test_tools_are_functions_of_the_host(tmp_path: Path) -> None:
    """For programs of one's own, too."""
    async with tools_of_servers(servers(tmp_path, archive=other())) as tools:
        named = {tool.name: tool for tool in tools}
        assert list(named) == ["archive_search", "archive_total", "archive_whoami", "archive_fail", "find_tools"]
        with pytest.raises(TypeError, match="limit"):
            named["archive_search"].bind(["x"], {"limit": "many"})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        ("{", "is no list of servers"),
        ('{"mcpServers": {}}', "is no list of servers"),
        ('{"mcpServers": {"a": {"commands": "x"}}}', "commands"),
        ('{"mcpServers": {"a": {}}}', "neither or both"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"A": "${NOT_SET_OF_TESTS}"}}}}', "NOT_SET_OF_TESTS"),
    ],
)
async def test_list_that_cannot_be_used_is_told(content: str | None, why: str, tmp_path: Path) -> None:
    """With the field, before anything runs."""
    path = tmp_path / "servers.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=why):
        async with tools_of_servers(path):
            pass


async def test_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    """By its name."""
    for wrong in ({"command": "/nowhere/at/all"}, {"command": sys.executable, "args": ["-c", "raise SystemExit(1)"]}):
        with pytest.raises(MachineError, match="the MCP server 'wrong' does not start"):
            async with tools_of_servers(servers(tmp_path, right=other(), wrong=wrong)):
                pass
    done = call("mcp", "--tools-from", str(servers(tmp_path, wrong={"command": "/nowhere/at/all"})))
    assert done.returncode == 1
    assert b"the MCP server 'wrong' does not start" in done.stderr
    assert b"Traceback" not in done.stderr
