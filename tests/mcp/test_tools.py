"""The tools, in memory: what they take, what they answer, and what they say when they are called wrongly."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from typing import TYPE_CHECKING, cast

import pytest
from mcp import Client, MCPError
from mcp.types import BlobResourceContents, ImageContent, TextResourceContents

from interpreter_tools import EngineConfig, LanguageConfig, LanguageRegistry, ToolArguments
from interpreter_tools.mcp import create_server

from .connect import SMALL, Connection, connect, text_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker


async def test_languages_are_those_known_when_asked(tmp_path: Path) -> None:
    """In the schema and the description; the server need not be made again."""
    async with connect("memory", tmp_path) as server:

        async def known() -> tuple[list[str], str]:
            (tool,) = [tool for tool in (await server.client.list_tools()).tools if tool.name == "execute_code"]
            return tool.input_schema["properties"]["language"]["enum"], tool.description or ""

        awk = LanguageConfig(
            language="awk",
            default_image="interpreter-tools/shell:1",
            code_filename="main.awk",
            run_command=("gawk", "-f", "{file}"),
        )
        before, _ = await known()
        LanguageRegistry.register(awk)
        after, description = await known()
        answer = await server.call("execute_code", language="awk", code="{ print $1 + 1 }", stdin="41\n")
        assert sorted({*before, "awk"}) == after
        assert "awk, bash" in description
        assert answer["stdout"] == "42\n"


async def test_every_tool_has_schemas_and_a_description(tmp_path: Path) -> None:
    """A description for each argument as well."""
    async with connect("memory", tmp_path) as server:
        tools = (await server.client.list_tools()).tools
    assert [tool.name for tool in tools] == [
        "execute_code",
        "create_session",
        "close_session",
        "list_files",
        "write_file",
        "read_file",
    ]
    for tool in tools:
        assert tool.description
        assert tool.output_schema is not None
        assert all(argument.get("description") for argument in tool.input_schema["properties"].values())


async def test_arguments_are_taken_as_models_give_them(tmp_path: Path) -> None:
    """Null for what is left out, objects as text, text that looks like an object, aliases in capitals."""
    async with connect("memory", tmp_path) as server:
        answer = await server.call(
            "execute_code",
            language="Py",
            code="```\nprint(open('a').read() + open('b').read(), input())\n```",
            session_id=None,
            timeout="30 s",
            files='{"a": "text", "b": {"base64": "aGk="}}',
            stdin='{"json": true}',
            dependencies=None,
        )
        assert answer["stdout"] == 'texthi {"json": true}\n'
        empty = await server.call("execute_code", language="python", code="print(repr(input and 1))", stdin=None)
        assert empty["stdout"] == "1\n"
        other = await server.call("execute_code", lang="python3", source=["print(1)", "print(2)"], packages="[]")
        assert other["stdout"] == "1\n2\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"language": "python"}, "code: None is missing"),
        ({"language": "cobol", "code": "1"}, "language: 'cobol' is not available.\nWhat to do: use one of: bash, java"),
        ({"language": "python", "code": "1", "session_id": "gone"}, "create_session makes a new one"),
        ({"language": "python", "code": "1", "timeout": -1}, "timeout: -1 is not a time in seconds"),
        ({"language": "python", "code": "1", "timeout": "soon"}, "timeout: 'soon' is not a time"),
        ({"language": "python", "code": "1", "files": {"../a": ""}}, "path '../a' leads upwards"),
        ({"language": "python", "code": "1", "files": {"a": {"base64": "?"}}}, "files.a: '?...' is not base64"),
        ({"language": "python", "code": "1", "files": 7}, "argument 'files': "),
    ],
)
async def test_wrong_call_is_explained(arguments: dict[str, object], said: str, tmp_path: Path) -> None:
    """With what is wrong and what would be right, and nothing of our insides."""
    async with connect("memory", tmp_path) as server:
        text = await server.error("execute_code", **arguments)
    assert said in text
    assert "Traceback" not in text
    assert "pydantic" not in text


async def test_wrong_use_of_sessions_is_explained(tmp_path: Path) -> None:
    """By each tool that needs one, before and after there was one."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        assert "list_files tells what is there" in await server.error("read_file", session_id=session, path="nothing")
        assert "is absolute" in await server.error("write_file", session_id=session, path="/etc/x", content="")
        wrong = await server.error("write_file", session_id=session, path="a", content="?", encoding="base64")
        assert "content: '?...' is not base64" in wrong
        await server.call("close_session", session_id=session)
        for tool, more in (("close_session", {}), ("list_files", {}), ("read_file", {"path": "a"})):
            said = await server.error(tool, session_id=session, **more)
            assert f"there is no session '{session}'" in said


@pytest.mark.parametrize(
    ("code", "outcome", "hint"),
    [
        ("import nothing_of_that_name", "error", "'nothing_of_that_name' is not there"),
        ("input()", "error", "pass it as stdin"),
        ("import urllib.request as u; u.urlopen('http://example.com')", "error", "The sandbox has no network"),
        ("while True: pass", "timeout", "within 0.5 s and was stopped"),
        ("x = bytearray(1 << 30)", "oom", "needed more memory"),
        ("while True: print('x' * 9999)", "output_limit", "print a summary"),
        ("6 * 7", "ok", "It printed nothing: print the values"),
        ("print(open('a', 'w').write('a'))", "ok", "run in a session from create_session"),
        ("print(1)", "ok", ""),
    ],
)
async def test_hint_tells_what_to_do_next(code: str, outcome: str, hint: str, tmp_path: Path) -> None:
    """For each way in which a run does not do what was wanted."""
    timeout = {"timeout": 0.5} if outcome == "timeout" else {}
    async with connect("memory", tmp_path) as server:
        answer = await server.call("execute_code", language="python", code=code, **timeout)
    assert answer["outcome"] == outcome
    assert hint in str(answer["hint"])
    assert bool(hint) == bool(answer["hint"])


async def test_long_output_keeps_its_ends(tmp_path: Path) -> None:
    """And says how much is cut, and where the whole is; progress is bounded in number and size."""
    messages: list[str] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        messages.append(message or "")

    code = "print('begin'); print('x' * 5_000_000); print('end')"
    async with connect("memory", tmp_path) as server:
        start = time.monotonic()
        arguments = {"language": "python", "code": code}
        result = await server.client.call_tool("execute_code", arguments, progress_callback=report)
        elapsed = time.monotonic() - start
        answer = result.structured_content
        assert answer is not None
        ((full,), (link,)) = answer["full_output"], [block for block in result.content if block.type == "resource_link"]
        assert (full["stream"], full["uri"]) == ("stdout", link.uri)
        (whole,) = (await server.client.read_resource(full["uri"])).contents
        assert isinstance(whole, TextResourceContents)
        assert whole.text == "begin\n" + "x" * 5_000_000 + "\nend\n"
        with pytest.raises(MCPError, match="there is no stream"):
            await server.client.read_resource(link.uri.replace("/stdout", "/nowhere"))
        with pytest.raises(MCPError, match="later runs took its place"):
            await server.client.read_resource("interpreter-tools-output://0123/stdout")
    stdout = answer["stdout"]
    assert stdout.startswith("begin\nxxx")
    assert stdout.endswith("xxx\nend\n")
    assert re.search(r"… 4,98\d,\d+ characters cut …", stdout)
    assert len(stdout) <= 16_000
    assert answer["truncated"]
    assert len(text_of(result)) <= 16_000
    assert 1 <= len(messages) <= elapsed / 0.1 + 2
    assert max(map(len, messages)) < 4200


async def test_large_and_binary_files_are_read_in_parts(tmp_path: Path) -> None:
    """Text is never cut inside a character; what is no text is base64, and a blob as a resource."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        text = "é" * 40_000
        await server.call("write_file", session_id=session, path="t.txt", content=text)
        parts: list[str] = []
        offset: object = 0
        while offset is not None:
            answer = await server.call("read_file", session_id=session, path="t.txt", offset=offset, limit=33_333)
            parts.append(str(answer["content"]))
            offset = answer["next_offset"]
        assert "".join(parts) == text
        assert len(parts) == 3

        data = bytes(range(256))
        encoded = base64.b64encode(data).decode()
        written = await server.call("write_file", session_id=session, path="p.png", content=encoded, encoding="base64")
        assert written["size"] == 256
        read = await server.call("read_file", session_id=session, path="p.png")
        assert (read["encoding"], read["content"], read["next_offset"]) == ("base64", encoded, None)
        (blob,) = (await server.client.read_resource(str(written["uri"]))).contents
        assert isinstance(blob, BlobResourceContents)
        assert (blob.mime_type, base64.b64decode(blob.blob)) == ("image/png", data)


async def test_a_file_has_one_name(tmp_path: Path) -> None:
    """However its path is written: the address is that of the list, and a number is a file's contents, too."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        written = await server.call("write_file", session_id=session, path="/workspace/in//a.txt", content=5)
        assert written["path"] == "in/a.txt"
        read = await server.call("read_file", session_id=session, path="./in/a.txt")
        assert (read["uri"], read["content"]) == (written["uri"], "5\n")
        (contents,) = (await server.client.read_resource(str(written["uri"]))).contents
        assert getattr(contents, "text", None) == "5\n"


async def test_names_that_are_not_utf8_are_listed(tmp_path: Path) -> None:
    """Readable, as JSON cannot hold them."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        code = "open(b'a\\xff', 'w'); print(1)"
        answer = await server.call("execute_code", session_id=session, language="python", code=code)
        assert answer["generated_files"] == ["a\\xff"]
        listed = await server.call("list_files", session_id=session, only_generated=True)
        (file,) = cast("list[dict[str, str]]", listed["files"])
        assert file == {"path": "a\\xff", "uri": f"interpreter-tools://{session}/a%FF"}
        assert [r.name for r in (await server.client.list_resources()).resources] == ["a\\xff"]


async def test_listing_resources_does_not_wait_for_a_run(tmp_path: Path) -> None:
    """What earlier runs of the session have made is listed; a run that goes on is not held up, nor is who asks."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        await server.call("execute_code", session_id=session, language="shell", code="echo 1 > made")
        started = asyncio.Event()

        async def report(progress: float, total: float | None, message: str | None) -> None:
            started.set()

        arguments = {"session_id": session, "language": "shell", "code": "echo 1; sleep 99"}
        running = asyncio.ensure_future(server.client.call_tool("execute_code", arguments, progress_callback=report))
        await started.wait()
        names = [resource.name for resource in (await server.client.list_resources()).resources]
        assert names == ["made"]
        await server.call("close_session", session_id=session)
        killed = await running
        assert "the session" in text_of(killed) or "killed" in text_of(killed)


async def test_resource_that_is_not_there(tmp_path: Path) -> None:
    """Is an error of the protocol, with its reason."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        for path, said in (("nothing", "No such file"), ("../a", "Unknown resource"), ("%2Fetc/passwd", "Unknown")):
            with pytest.raises(MCPError, match=said):
                await server.client.read_resource(f"interpreter-tools://{session}/{path}")
        with pytest.raises(MCPError, match="there is no session"):
            await server.client.read_resource("interpreter-tools://nobody/a")


async def test_missing_docker_engine_is_told_to_the_caller() -> None:
    """The server starts all the same, so that somebody is told, and by whom it can be helped."""
    async with Client(create_server(EngineConfig(docker_host="unix:///nowhere/docker.sock"))) as client:
        assert (await client.list_tools()).tools
        result = await client.call_tool("execute_code", {"language": "python", "code": "1"})
    assert result.is_error
    assert "/nowhere/docker.sock" in text_of(result)
    assert "What to do: " in text_of(result)


async def test_two_clients_in_memory_have_an_engine_each() -> None:
    """Neither sees the other's sessions."""
    server = create_server(SMALL)
    async with Client(server) as one, Client(server) as other:
        session = await Connection(one, 0).session()
        assert "there is no session" in await Connection(other, 0).error("list_files", session_id=session)


_PNG = (
    "import struct, zlib\n"
    "part = lambda k, d: struct.pack('>I', len(d)) + k + d + struct.pack('>I', zlib.crc32(k + d))\n"
    "head = struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0)\n"
    "data = part(b'IHDR', head) + part(b'IDAT', zlib.compress(b'\\0\\0')) + part(b'IEND', b'')\n"
    "open('plot.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + data)\n"
)


async def test_pictures_come_as_pictures_and_once(tmp_path: Path) -> None:
    """Of a run, and of a file that is read; other bytes come in base64, once."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        ran = await server.client.call_tool(
            "execute_code", {"language": "python", "code": _PNG, "session_id": session, "description": "draws"}
        )
        pictures = [part for part in ran.content if isinstance(part, ImageContent)]
        assert [(part.mime_type, base64.b64decode(part.data)[:4]) for part in pictures] == [("image/png", b"\x89PNG")]
        assert "Ignored, as there is no such argument: description." in text_of(ran)
        read = await server.client.call_tool("read_file", {"session_id": session, "filename": "plot.png"})
        assert str(read).count(pictures[0].data) == 1
        await server.call("write_file", session_id=session, path="b", content="/+4=", encoding="base64")
        read = await server.client.call_tool("read_file", {"session_id": session, "path": "b"})
        assert str(read).count("/+4=") == 1


async def test_displayed_pictures_come_as_pictures(tmp_path: Path) -> None:
    """Also a figure that was left open, whose packages nobody asked for."""
    async with connect("memory", tmp_path) as server:
        code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"
        ran = await server.client.call_tool("execute_code", {"language": "python", "code": code})
        (picture,) = [part for part in ran.content if isinstance(part, ImageContent)]
        assert (picture.mime_type, base64.b64decode(picture.data)[:4]) == ("image/png", b"\x89PNG"), text_of(ran)
        assert "displayed:\n  1. image/png, " in text_of(ran)


async def test_content_may_be_an_object(tmp_path: Path) -> None:
    """It is written as JSON; arguments by other names are taken, and those that there are not are told."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        arguments = {"session_id": session, "file_path": "a.json", "contents": {"a": [1, "é"]}, "why": "to see"}
        written = await server.client.call_tool("write_file", arguments)
        assert "Ignored, as write_file has no such argument: why" in text_of(written)
        read = await server.call("read_file", session_id=session, path="a.json")
        assert json.loads(str(read["content"])) == {"a": [1, "é"]}


async def test_models_arguments_are_those_of_the_tool(tmp_path: Path) -> None:
    """One list: what the tool takes from models the server takes, too, beside sessions and files."""
    async with connect("memory", tmp_path) as server:
        (tool,) = [tool for tool in (await server.client.list_tools()).tools if tool.name == "execute_code"]
        assert set(tool.input_schema["properties"]) == {
            *ToolArguments.__struct_fields__,
            *("session_id", "files", "context"),
        }
        answer = await server.call(
            "execute_code", language="python", code="import sys; print(sys.argv[1:])", args=["a b"]
        )
        assert answer["stdout"] == "['a b']\n"


async def test_variables_of_a_context_stay(tmp_path: Path) -> None:
    """Between calls with its name, packages that come later included; others do not see them."""
    async with connect("memory", tmp_path) as server:
        session = await server.session()
        within: dict[str, object] = {"session_id": session, "language": "python"}
        await server.call("execute_code", **within, code="x = 41", context="a")
        result = await server.client.call_tool("execute_code", {**within, "code": "x + 1", "context": "a"})
        assert "42" in text_of(result)
        assert "NameError" in text_of(
            await server.client.call_tool("execute_code", {**within, "code": "x", "context": "b"})
        )
        assert "NameError" in text_of(await server.client.call_tool("execute_code", {**within, "code": "print(x)"}))
        arguments = {**within, "code": "import six; x + 2", "context": "a", "dependencies": ["six"]}
        assert "43" in text_of(await server.client.call_tool("execute_code", arguments))


async def test_a_context_needs_a_session(tmp_path: Path) -> None:
    """The model is told to make one."""
    async with connect("memory", tmp_path) as server:
        assert "create_session" in await server.error("execute_code", language="python", code="1", context="a")
