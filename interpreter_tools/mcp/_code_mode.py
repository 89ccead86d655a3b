"""Tools of other MCP servers for the code: one ``execute_code`` in place of their schemas ("code mode").

The other servers run on this machine, or elsewhere, and not in a sandbox. Programs reach their tools as functions of
the host, by frames on the stream that is open anyway.
"""

from __future__ import annotations

import asyncio
import inspect
import keyword
import logging
import os
import re
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, cast

import anyio
import httpx2
import msgspec
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent

from interpreter_tools._config.host_tools import HostTool
from interpreter_tools._exceptions import ConfigurationError, MachineError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from mcp.types import Tool

_LOG = logging.getLogger("interpreter_tools.mcp")
_END = 10.0  # seconds for the servers to end
_START = 60.0  # seconds for a server to start and to list its tools
_LISTED = 6000  # characters of signatures that a description has; with more tools it has their names only
_TYPES: dict[str, object] = {"string": str, "integer": int, "number": float, "boolean": bool}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server, as applications write it down in their own files."""

    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = {}
    type: str = ""  # which some applications give, and which follows from the rest


class _File(msgspec.Struct, frozen=True):
    servers: Annotated[dict[str, _Server], msgspec.Meta(min_length=1)] = msgspec.field(name="mcpServers")


class ToolFailed(Exception):
    """A tool of another server failed."""


async def read_servers(path: Path) -> dict[str, _Server]:
    """Return the servers of a file: JSON with ``mcpServers``, as MCP's applications have it.

    Raises:
        ConfigurationError: the file cannot be read, or is no such file.
    """
    try:
        found = msgspec.json.decode(await anyio.Path(path).read_bytes(), type=_File).servers
    except OSError as error:
        raise ConfigurationError("tools_from", str(path), f"cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        hint = 'write {"mcpServers": {"NAME": {"command": "...", "args": []}}}, or "url" in place of "command"'
        raise ConfigurationError("tools_from", str(path), f"is no list of servers: {error}", hint=hint) from error
    for name, server in found.items():
        if bool(server.command) == bool(server.url):
            raise ConfigurationError(f"mcpServers.{name}", server.command, "has neither or both of command and url")
    return found


@asynccontextmanager
async def tools_of_servers(path: Path) -> AsyncGenerator[tuple[HostTool, ...]]:
    """Yield the tools of the servers that a file names; the servers run meanwhile.

    A tool's name is that of its server, an underscore, and its own.

    Raises:
        ConfigurationError: the file cannot be used.
        MachineError: a server does not start, or does not list its tools.
    """
    held = [_Held(name, server) for name, server in (await read_servers(path)).items()]
    try:
        tools = [tool for each in held for tool in await each.tools()]
        doubled = [name for name, count in Counter(tool.name for tool in tools).items() if count > 1]
        if doubled:
            raise ConfigurationError("tools_from", str(path), f"gives two tools the name {doubled[0]!r}")
        yield (*tools, finder(tools)) if tools else ()
    finally:
        with anyio.move_on_after(_END, shield=True):
            await asyncio.gather(*(each.aclose() for each in held))


class _Held:
    """A server that runs, or is reached, in a task of its own: one that fails takes nothing else with it."""

    def __init__(self, name: str, server: _Server) -> None:
        self._name = name
        self._client = _client(name, server)
        self._tools: asyncio.Future[list[HostTool]] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._hold(), name=f"interpreter-tools-mcp-{name}")

    def __repr__(self) -> str:
        return f"<_Held {self._name}>"

    async def tools(self) -> list[HostTool]:
        """Return the tools of the server, once it has listed them."""
        return await self._tools

    async def aclose(self) -> None:
        """End the server. Idempotent."""
        self._over.set()
        if not self._tools.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _hold(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(_START):
                    client = await stack.enter_async_context(self._client)
                    tools = [_host_tool(client, self._name, tool) for tool in await _list(client)]
                self._tools.set_result(tools)
                await self._over.wait()
        except asyncio.CancelledError:
            self._tools.cancel()
        except Exception as error:  # noqa: BLE001 - of the other server, whatever it is: who waits for its tools is told
            if self._tools.done():
                _LOG.warning("the MCP server %r ended: %s", self._name, _first(error))
                return
            hint = "see what the server writes, or take it out of the list"
            told = MachineError(f"the MCP server {self._name!r} does not start: {_first(error)}", hint=hint)
            told.__cause__ = error
            self._tools.set_exception(told)
            self._tools.exception()  # another server may have failed first, whose error is raised


def finder(tools: Sequence[HostTool]) -> HostTool:
    """Return a tool that finds tools by words, for programs."""

    def find_tools(query: str = "", limit: int = 10) -> list[dict[str, str]]:
        """Find tools whose name or description has these words, best first, with their signatures."""
        return explain_tools(found_tools(tools, query)[: max(0, limit)])

    return HostTool(find_tools)


def explain_tools(tools: Sequence[HostTool]) -> list[dict[str, str]]:
    """Return what is known of tools, as plain data."""
    return [{"name": tool.name, "signature": str(tool.signature), "description": tool.description} for tool in tools]


def found_tools(tools: Sequence[HostTool], query: str) -> list[HostTool]:
    """Return the tools that have words of a query in their name or description, those with most of them first."""
    words = set(re.findall(r"\w+", query.lower()))
    if not words:
        return list(tools)
    scored = [(_score(tool, words), tool) for tool in tools]
    return [tool for score, tool in sorted(scored, key=lambda each: -each[0]) if score]


def _score(tool: HostTool, words: set[str]) -> int:
    name, description = tool.name.lower(), tool.description.lower()
    return sum(3 * (word in name) + (word in description) for word in words)


def describe_tools(tools: Sequence[HostTool]) -> str:
    """Return what the description of ``execute_code`` says about the tools."""
    if not tools:
        return ""
    lines = [f"- {tool.name}{tool.signature}: {tool.description.partition(chr(10))[0]}" for tool in tools]
    if sum(map(len, lines)) > _LISTED:
        lines = [", ".join(tool.name for tool in tools)[: 2 * _LISTED]]
    listed = "\n".join(lines)
    return f"""

Programs can call tools, and combine what they return: in Python `import tools; tools.NAME(...)`, in JavaScript and
TypeScript `await tools.NAME({{...}})`, in shells `tool NAME --parameter value`, which prints JSON.
`find_tools("words")` finds them, with signatures and descriptions. There are:
{listed}"""


# -- servers


def _client(name: str, server: _Server) -> Client:
    def filled(text: str, field: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1])
            if found is None:
                reason = f"needs the variable {match[1]}, which is not set"
                raise ConfigurationError(f"mcpServers.{name}.{field}", text, reason)
            return found

        return _VARIABLE.sub(value, text)

    if server.url:
        headers = {key: filled(value, f"headers.{key}") for key, value in server.headers.items()}
        http = httpx2.AsyncClient(headers=headers, follow_redirects=True, timeout=_START)
        return Client(streamable_http_client(filled(server.url, "url"), http_client=http))
    return Client(
        StdioServerParameters(
            command=filled(server.command, "command"),
            args=[filled(each, "args") for each in server.args],
            env={key: filled(value, f"env.{key}") for key, value in server.env.items()} or None,
            cwd=server.cwd,
        )
    )


async def _list(client: Client) -> list[Tool]:
    found: list[Tool] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return found


def _first(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return _first(cast("ExceptionGroup[Exception]", error).exceptions[0])
    return str(error) or type(error).__name__


# -- tools


def _name(text: str) -> str:
    return re.sub(r"\W", "_", text, flags=re.ASCII)


def _host_tool(client: Client, server: str, tool: Tool) -> HostTool:
    """Return a tool of another server as a function of the host."""
    signature = _signature(tool.input_schema)

    async def call(*args: object, **kwargs: object) -> object:
        arguments = dict(signature.bind(*args, **kwargs).arguments)
        arguments |= arguments.pop("more", {}) if _has_more(signature) else {}  # pyright: ignore[reportArgumentType]
        answer = await client.call_tool(tool.name, arguments)
        return _value(answer)

    call.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not parameter.empty
    }
    name = _name(f"{server}_{tool.name}")
    return HostTool(
        call, name=f"t_{name}" if name[0].isdigit() or name[0] == "_" else name, description=tool.description or ""
    )


def _has_more(signature: inspect.Signature) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())


def _signature(schema: Mapping[str, object]) -> inspect.Signature:
    """Return the signature that a JSON schema describes; parameters whose names Python does not take are ``**more``."""
    properties = schema.get("properties")
    required = schema.get("required")
    named: dict[str, object] = dict(properties) if isinstance(properties, dict) else {}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    needed: list[object] = list(required) if isinstance(required, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    plain = [name for name in named if name.isidentifier() and not keyword.iskeyword(name) and name != "more"]
    parameters: list[inspect.Parameter] = []
    for name in sorted(plain, key=lambda each: each not in needed):
        about = named[name]
        kind = about.get("type") if isinstance(about, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        annotation = _TYPES.get(kind, inspect.Parameter.empty) if isinstance(kind, str) else inspect.Parameter.empty
        default = inspect.Parameter.empty if name in needed else _Omitted()
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default)
        )
    if len(plain) < len(named) or schema.get("additionalProperties"):
        parameters.append(inspect.Parameter("more", inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters)


class _Omitted:
    """The default of a parameter that the other server knows."""

    def __repr__(self) -> str:
        return "..."


def _value(answer: object) -> object:
    """Return what another server's tool gave, as plain data.

    Raises:
        ToolFailed: the tool says that it failed.
    """
    if not isinstance(answer, CallToolResult):
        raise ToolFailed("the tool asks for input, which a program cannot give")
    texts = [block.text for block in answer.content if isinstance(block, TextContent)]
    if answer.is_error:
        raise ToolFailed("\n".join(texts) or "the tool failed")
    data = answer.structured_content
    if data is not None:
        return data["result"] if data.keys() == {"result"} else data
    if len(texts) == len(answer.content):
        return "\n".join(texts)
    return [
        {"type": "image", "mime": block.mime_type, "base64": block.data}
        if isinstance(block, ImageContent)
        else block.model_dump(mode="json", exclude_none=True)
        for block in answer.content
    ]
