"""The server: its tools, which name the languages registered at the time of the request, and its resources."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, get_args

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError, UnexpectedToolError
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from interpreter_tools._config.host_tools import check_tools
from interpreter_tools._config.results import Stream
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.mcp import _tools as tools
from interpreter_tools.mcp._code_mode import describe_tools, explain_tools, found_tools
from interpreter_tools.mcp._errors import as_resource_errors, as_tool_errors, wrong_arguments
from interpreter_tools.mcp._resources import OUTPUT_TEMPLATE, READ_LIMIT, TEMPLATE, list_resources, media_type
from interpreter_tools.mcp._state import State, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.server.mcpserver import Context
    from mcp.types import InputRequiredResult, Resource, Tool
    from pydantic import AnyUrl

    from interpreter_tools._config.host_tools import HostTool, ToolLike
    from interpreter_tools._config.model import EngineConfig

_INSTRUCTIONS = """\
Runs code in locked-down containers, at once. A run is a program of its own: print what is to be seen; plots and
pictures that it shows come back as pictures. It has no network unless the operator gave it
one. Files stay only in a session: create_session, then give its id to execute_code.
"""
_DESCRIPTION = """\
Run a program in a fresh, locked-down sandbox and get its output, exit code and the files that it made.
Languages: {languages}. Nothing is kept between runs, but for the files of a session."""

_FIND = (
    "Find the tools that programs can call, by words of their names and descriptions; each comes with its signature."
)

_RUNS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
_LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
_TOOLS: tuple[tuple[Callable[..., Awaitable[object]], ToolAnnotations], ...] = (
    (tools.execute_code, _RUNS),
    (tools.create_session, _RUNS),
    (tools.close_session, _CHANGES),
    (tools.list_files, _LOOKS),
    (tools.write_file, _CHANGES),
    (tools.read_file, _LOOKS),
)

# The client whose resources are being listed: the SDK's public hook does not pass it.
_state: ContextVar[State | None] = ContextVar("interpreter_tools_mcp_state", default=None)


def create_server(
    engine_config: EngineConfig | None = None, *, code_tools: Sequence[ToolLike] = ()
) -> MCPServer[State]:
    """Return a server that runs code; its engine starts and closes with it.

    Args:
        engine_config: sizes, limits and images; None means the defaults, which suit a small machine.
        code_tools: functions of this process that programs may call; the description of ``execute_code`` lists them.

    Raises:
        ConfigurationError: a tool cannot be called by programs.
    """
    host_tools = tuple(check_tools(code_tools).values())

    def lifespan(_server: MCPServer[State]) -> AbstractAsyncContextManager[State]:
        return running(engine_config, host_tools)

    server = _Server(
        host_tools,
        "interpreter-tools",
        instructions=_INSTRUCTIONS,
        version=_version(),
        log_level="WARNING",
        lifespan=lifespan,
        middleware=[_tell_state],
    )
    for tool, hints in _TOOLS:
        server.add_tool(tool, description=inspect.getdoc(tool) or "", annotations=hints, structured_output=True)
    if host_tools:
        server.add_tool(
            _finder(host_tools), name="find_tools", description=_FIND, annotations=_LOOKS, structured_output=True
        )
    server.resource(TEMPLATE, name="session file", description="A file of a session's workspace.")(_read)
    server.resource(OUTPUT_TEMPLATE, name="output", description="All that a run wrote, where it was cut.")(_read_output)
    return server


def _finder(host_tools: Sequence[HostTool]) -> Callable[..., Awaitable[list[dict[str, str]]]]:
    async def find_tools(query: str = "", limit: int = 10) -> list[dict[str, str]]:
        return explain_tools(found_tools(host_tools, query)[: max(0, limit)])

    return find_tools


async def _read(session_id: str, path: str, ctx: tools.Ctx) -> str | bytes:
    with as_resource_errors():
        session = await ctx.request_context.lifespan_context.session(session_id)
        data = await session.read_file(path, limit=READ_LIMIT)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


async def _read_output(output_id: str, stream: str, ctx: tools.Ctx) -> str:
    with as_resource_errors():
        result = ctx.request_context.lifespan_context.outputs.get(output_id)
    if stream not in get_args(Stream):
        raise ResourceNotFoundError(f"there is no stream {stream!r}; there are {', '.join(get_args(Stream))}")
    return str(getattr(result, stream))


async def _tell_state(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    # Over HTTP there are several clients, and the id of a session is the key to its files: other clients do not see it.
    token = _state.set(ctx.lifespan_context if ctx.request is None else None)
    try:
        return await call_next(ctx)
    finally:
        _state.reset(token)


class _Server(MCPServer[State]):
    """The SDK's server with current languages, plain errors, and resources of the client's sessions."""

    def __init__(self, host_tools: Sequence[HostTool], name: str, **options: Any) -> None:  # noqa: ANN401 - the SDK's
        super().__init__(name, **options)
        self._host_tools = host_tools

    async def list_tools(self) -> list[Tool]:
        """Return the tools, with the languages that are registered now."""
        languages = LanguageRegistry.names()
        return [
            _with_languages(tool, languages, describe_tools(self._host_tools)) if tool.name == "execute_code" else tool
            for tool in await super().list_tools()
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[State, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; an answer about wrong arguments has one line for each."""
        notes: list[str] = []
        known = await self._arguments_of(name)
        if name == "execute_code":
            with as_tool_errors():
                arguments, notes = tools.understand(arguments)
        elif known is not None:
            arguments, notes = tools.plain_names(name, arguments, known)
        try:
            return _with_notes(await super().call_tool(name, arguments, context), notes)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(wrong_arguments(error.__cause__)) from error
            raise

    async def _arguments_of(self, name: str) -> list[str] | None:
        for tool in await super().list_tools():
            if tool.name == name:
                return list(tool.input_schema["properties"])
        return None

    async def list_resources(self) -> list[Resource]:
        """Return the files of the client's sessions."""
        state = _state.get()
        return [] if state is None else await list_resources(state)

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[State, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Return a file, with the media type of its name."""
        contents = await super().read_resource(uri, context)
        if isinstance(contents, list):
            for item in contents:
                item.mime_type = media_type(str(uri), item.content)
        return contents


def _with_notes(result: CallToolResult | InputRequiredResult, notes: list[str]) -> CallToolResult | InputRequiredResult:
    """Return the answer with the notes about its call at the end."""
    if notes and isinstance(result, CallToolResult):
        content = [*result.content, TextContent(type="text", text="\n".join(notes))]
        return result.model_copy(update={"content": content})
    return result


def _with_languages(tool: Tool, languages: list[str], more: str) -> Tool:
    properties = dict(tool.input_schema["properties"])
    properties["language"] = {**properties["language"], "enum": languages}
    return tool.model_copy(
        update={
            "description": _DESCRIPTION.format(languages=", ".join(languages)) + more,
            "input_schema": {**tool.input_schema, "properties": properties},
        }
    )


@functools.cache
def _version() -> str:
    try:
        return version("interpreter-tools")
    except PackageNotFoundError:
        return "unknown"
