"""The tools. They accept arguments whose meaning is plain: models leave out, quote and nest as they like."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, ContentBlock, ImageContent, ResourceLink, TextContent
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from interpreter_tools._config.paths import check_path, shown_path
from interpreter_tools._exceptions import ConfigurationError, InterpreterToolsError
from interpreter_tools._execution.output import whole_characters
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._text import file_name, one_line
from interpreter_tools.mcp._errors import as_tool_errors
from interpreter_tools.mcp._progress import Follower
from interpreter_tools.mcp._resources import shown, uri_of
from interpreter_tools.mcp._results import (
    FileText,
    FileWritten,
    RunReport,
    SessionClosing,
    SessionReport,
    files_of,
    report,
)
from interpreter_tools.mcp._state import State
from interpreter_tools.tool._advice import Circumstances
from interpreter_tools.tool._arguments import ignored_fields, read_call, read_fields
from interpreter_tools.tool._options import ToolOptions
from interpreter_tools.tool._pictures import pictures_of, read_picture, showing_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._config.options import CellOptions, RunOptions
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools.tool._pictures import Picture

_LISTED = 200  # files among which pictures are looked for
_LINKS = 20  # files of a session that a run's answer links to
_READ = 64 << 10  # bytes of a file in one answer, where nothing else is asked for
_READ_MOST = 1 << 20


class Base64File(BaseModel):
    """A file that is no text."""

    model_config = ConfigDict(extra="forbid")

    base64: str


Ctx: TypeAlias = Context[State, object]

SessionId = Annotated[str, Field(description="from create_session")]
FilePath = Annotated[str, Field(description="relative to the session's workspace, such as data/in.csv")]

# The SDK would parse a text that holds JSON if its type were not plain `str`.
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]  # pyright: ignore[reportUnknownLambdaType]


def _as_text(value: object) -> object:
    """Return the contents for a file; a list, an object or a number is written as JSON."""
    if isinstance(value, (dict, list, int, float)):
        return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    return "" if value is None else value


Contents = Annotated[str, BeforeValidator(_as_text)]


# The engine limits the time of a run.
_OPTIONS = ToolOptions(timeout=None)
_KEEPING = "to keep files, run in a session from create_session"
_BESIDE = ("session_id", "files", "context")
_OTHER_NAMES = {
    **dict.fromkeys(("file_path", "filepath", "filename", "file_name", "file", "name"), "path"),
    **dict.fromkeys(("contents", "text", "data", "body", "file_text"), "content"),
    **dict.fromkeys(("session", "id", "sessionid"), "session_id"),
}
_PICTURES_SHOWN = 4  # pictures of a session that a run's answer shows
_PICTURE_MOST = 2 << 20  # bytes of one


def understand(arguments: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return the arguments of ``execute_code``, read as the tool reads them, and notes about them.

    Raises:
        InvalidArguments: the meaning of an argument is not plain.
    """
    fields = read_fields(arguments, beside=_BESIDE)
    beside = {name: fields.pop(name) for name in _BESIDE if name in fields}
    read, notes = read_call(fields, _OPTIONS, {}, is_cell=bool(beside.get("context")))
    ignored = ignored_fields(arguments, beside=_BESIDE)
    return msgspec.structs.asdict(read) | beside, [*([ignored] if ignored else []), *notes]


def plain_names(
    tool: str, arguments: Mapping[str, object], known: Sequence[str]
) -> tuple[dict[str, object], list[str]]:
    """Return the arguments of another tool by their own names, and notes about arguments that do not exist."""
    found: dict[str, object] = {}
    ignored: list[str] = []
    for name, value in arguments.items():
        plain = name.strip().lower().replace("-", "_")
        field = plain if plain in known else _OTHER_NAMES.get(plain)
        if field is not None and field in known and field not in found:
            found[field] = value
        elif value is not None:
            ignored.append(one_line(name)[:64])
    text = f"Ignored, as {tool} has no such argument: {', '.join(ignored)}; there are {', '.join(known)}."
    return found, [text] if ignored else []


async def execute_code(
    code: Annotated[str, Field(description="the program; what it prints is what comes back")],
    language: Annotated[str, Field(description="the program's language")],
    ctx: Ctx,
    *,
    session_id: Annotated[
        str | None,
        Field(description="run in this session and see its files; else in a sandbox that is gone afterwards"),
    ] = None,
    context: Annotated[
        str | None,
        Field(
            description="name of a live interpreter of the session, made by its first call: variables stay for later "
            "calls with the name, and the value of a last expression comes back"
        ),
    ] = None,
    stdin: Annotated[Text, Field(description="standard input")] = "",
    args: Annotated[list[str] | None, Field(description="arguments of the program")] = None,
    timeout: Annotated[float | None, Field(description="seconds that the program may run")] = None,
    dependencies: Annotated[
        list[str] | None,
        Field(description="packages to install first, such as numpy==2.1 or lodash@4"),
    ] = None,
    system_dependencies: Annotated[
        list[str] | None,
        Field(description="programs and libraries to install first, as Debian names their packages"),
    ] = None,
    merge_output: Annotated[
        bool | None, Field(description="true puts stderr between stdout, in the order of writing")
    ] = None,
    files: Annotated[
        dict[str, str | Base64File] | None,
        Field(description='files to write first, contents by relative path; {"base64": "..."} for what is no text'),
    ] = None,
) -> Annotated[CallToolResult, RunReport]:
    """Run a program. The server adds which languages there are."""
    state = ctx.request_context.lifespan_context
    with as_tool_errors():
        config = (await state.engine()).config
        options: RunOptions = {
            "stdin": _encode(stdin, field="stdin"),
            "auto_dependencies": True,
            "environment": showing_figures(language, {}, config.container.environment),
            "tools": state.host_tools,
            "files": {path: _contents(value, field=f"files.{path}") for path, value in (files or {}).items()},
            "dependencies": dependencies or (),
            "merge_output": bool(merge_output),
            "args": args or (),
        }
        if timeout is not None:
            options["timeout"] = timeout
        if system_dependencies:
            options["system_dependencies"] = system_dependencies
        execution = await _start(state, session_id or None, language, code, options, context=context or None)
        async with execution:
            await Follower(execution, lambda progress, text: ctx.report_progress(progress, message=text)).follow()
            result = await execution.result()
    installs = LanguageRegistry.get(language).dependencies is not None
    run = Circumstances(
        language=language,
        code=code,
        timeout=config.timeout if timeout is None else timeout,
        dependencies=tuple(dependencies or ()) if installs else None,
        system_dependencies=tuple(system_dependencies or ()),
        networked=config.container.network != "none",
        fed=bool(stdin),
        keeps_variables=bool(context),
        keeps_files=bool(session_id),
        keeping="" if session_id else _KEEPING,
    )
    return await _answer(ctx, result, run, session_id or None)


async def _answer(ctx: Ctx, result: ExecutionResult, run: Circumstances, session_id: str | None) -> CallToolResult:
    """Return a result as text, pictures, and links to what is not in the text."""
    state = ctx.request_context.lifespan_context
    answer, text = report(result, run, session_id=session_id, outputs=state.outputs)
    content: list[ContentBlock] = [TextContent(type="text", text=text)]
    content += [
        ResourceLink(type="resource_link", name=full.stream, uri=full.uri, description=f"all of {full.stream}")
        for full in answer.full_output
    ]
    content += [_image(picture) for picture in pictures_of(result.results)]
    if session_id and result.generated_files:
        content += await _pictures(state, session_id, result.generated_files)
        content += [_link(session_id, path) for path in result.generated_files[:_LINKS]]
        await ctx.notify_resources_changed()
    return CallToolResult(content=content, structured_content=answer.model_dump(mode="json"))


async def create_session(ctx: Ctx) -> SessionReport:
    """Make a session: a workspace whose files stay from run to run, in every language.

    Variables and processes do not stay: each run is a program of its own, unless it has a `context`.
    """
    with as_tool_errors():
        session = await ctx.request_context.lifespan_context.open()
    return files_of(session.id, [])


async def close_session(session_id: SessionId, ctx: Ctx) -> SessionClosing:
    """Remove a session and its files, and stop what runs in it."""
    with as_tool_errors():
        await ctx.request_context.lifespan_context.close(session_id)
    await ctx.notify_resources_changed()
    return SessionClosing(session_id=session_id)


async def list_files(
    session_id: SessionId,
    ctx: Ctx,
    only_generated: Annotated[bool, Field(description="only what runs have made or changed")] = False,
) -> SessionReport:
    """List the files of a session's workspace."""
    with as_tool_errors():
        session = await ctx.request_context.lifespan_context.session(session_id)
        return files_of(session_id, await session.list_workspace_files(only_generated=only_generated))


async def write_file(
    session_id: SessionId,
    path: FilePath,
    content: Annotated[Contents, Field(description="the whole file; an object is written as JSON")],
    ctx: Ctx,
    encoding: Annotated[
        Literal["utf-8", "base64"], Field(description="base64 for what is no text, such as an image")
    ] = "utf-8",
) -> FileWritten:
    """Write a file into a session's workspace; directories on the way are made."""
    with as_tool_errors():
        session = await ctx.request_context.lifespan_context.session(session_id)
        path = shown_path(check_path(path))  # as list_files has it
        data = _encode(content, field="content") if encoding == "utf-8" else _decode(content, field="content")
        await session.write_file(path, data)
    await ctx.notify_resources_changed()
    return FileWritten(path=path, uri=uri_of(session_id, path), size=len(data))


async def read_file(
    session_id: SessionId,
    path: FilePath,
    ctx: Ctx,
    offset: Annotated[int, Field(ge=0, description="the first byte to read")] = 0,
    limit: Annotated[int, Field(ge=4, le=_READ_MOST, description="bytes to read at most")] = _READ,
) -> Annotated[CallToolResult, FileText]:
    """Read a file of a session's workspace, or a part of it. The whole is also a resource."""
    with as_tool_errors():
        session = await ctx.request_context.lifespan_context.session(session_id)
        path = shown_path(check_path(path))
        data, more = b"", False
        position = 0
        async for piece in session.read_file(path):
            data += piece[max(0, offset - position) : max(0, offset + limit + 1 - position)]
            position += len(piece)
            if len(data) > limit:
                data, more = data[:limit], True
                break
    whole = data[: whole_characters(data)] if more else data
    try:
        text, encoding = whole.decode(), "utf-8"
    except UnicodeDecodeError:
        whole, encoding = data, "base64"
        text = base64.b64encode(data).decode("ascii")
    picture = None if offset or more else _picture(data)
    answer = FileText(
        path=path,
        uri=uri_of(session_id, path),
        encoding=encoding,
        content="" if picture is not None else text,
        offset=offset,
        next_offset=offset + len(whole) if more else None,
    )
    shown: list[ContentBlock] = [TextContent(type="text", text=_told(answer, size=len(whole)))]
    if picture is not None:
        shown.append(picture)
    return CallToolResult(content=shown, structured_content=answer.model_dump(mode="json"))


def _told(answer: FileText, *, size: int) -> str:
    """Return a file as text for a model; base64 is left out, because the data of the answer has it."""
    if answer.encoding == "utf-8":
        more = "" if answer.next_offset is None else f"\n[read on at offset {answer.next_offset}]"
        return answer.content + more
    return f"[{file_name(answer.path)}: {size} bytes that are no text; the whole is the resource {answer.uri}]"


def _picture(data: bytes) -> ImageContent | None:
    """Return a picture in the form for models; None for data of a kind that they do not know."""
    picture = read_picture(data)
    return None if picture is None else _image(picture)


def _image(picture: Picture) -> ImageContent:
    return ImageContent(type="image", data=picture.base64, mime_type=picture.mime_type)


async def _pictures(state: State, session_id: str, names: Sequence[str]) -> list[ContentBlock]:
    """Return the first few pictures that a run made and that are not too large; do not wait for the next run."""
    shown: list[ContentBlock] = []
    for name in names[:_LISTED]:
        session = state.sessions.get(session_id)
        if session is None or session.busy or len(shown) == _PICTURES_SHOWN:
            break
        if not name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp")):
            continue
        try:
            picture = _picture(await session.read_file(name, limit=_PICTURE_MOST))
        except InterpreterToolsError:  # too large, or gone meanwhile: the answer is that of the run
            continue
        if picture is not None:
            shown.append(picture)
    return shown


async def _start(
    state: State, session_id: str | None, language: str, code: str, options: RunOptions, *, context: str | None
) -> Execution | Cell:
    if context is not None:
        return await _cell(state, session_id, language, code, options, name=context)
    if session_id is None:
        return (await state.engine()).stream(language, code, **options)
    return (await state.session(session_id)).stream(language, code, **options)


async def _cell(
    state: State, session_id: str | None, language: str, code: str, options: RunOptions, *, name: str
) -> Cell:
    """Return the cell of a call in a context."""
    if session_id is None:
        raise ConfigurationError(
            "context", name, "is of no session", hint="call create_session, and give its session_id"
        )
    if options.get("args"):
        raise ConfigurationError("args", options.get("args"), "are for programs, not for cells of a context")
    session = await state.session(session_id)
    system = options.get("system_dependencies")
    if system and any(known.name == name for known in session.info().contexts):
        hint = "give the context another name, whose first call asks for all packages"
        raise ConfigurationError("system_dependencies", system, "come too late for this context", hint=hint)
    context = session.context(
        language,
        name,
        dependencies=options.get("dependencies", ()),
        system_dependencies=system,
        on_death="restart",
    )
    for path, data in options.get("files", {}).items():
        await session.write_file(path, data)
    limits: CellOptions = {
        "stdin": options.get("stdin"),
        "dependencies": options.get("dependencies", ()),
        "auto_dependencies": options.get("auto_dependencies"),
        "tools": state.host_tools,
    }
    if "timeout" in options:
        limits["timeout"] = options["timeout"]
    return context.stream(code, **limits)


def _link(session_id: str, path: str) -> ResourceLink:
    return ResourceLink(type="resource_link", name=shown(path), uri=uri_of(session_id, path))


def _contents(value: str | Base64File, *, field: str) -> bytes:
    return _encode(value, field=field) if isinstance(value, str) else _decode(value.base64, field=field)


def _encode(text: str, *, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(field, "...", "holds a lone surrogate, which is no character") from None


def _decode(text: str, *, field: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(field, f"{text[:20]}...", f"is not base64: {error}") from None
