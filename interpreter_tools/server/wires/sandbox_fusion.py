"""SandboxFusion's wire: ``/run_code`` and ``/run_jupyter``, as reinforcement learning asks for rewards.

The formats are those of bytedance/SandboxFusion (``sandbox/server/sandbox_api.py``, ``sandbox/runners/types.py``).
Each run of ``/run_code`` has a sandbox, or a container, of its own: code that is rewarded for a passed test is
untrusted, and has every reason to look at the run before it.
"""

from __future__ import annotations

import base64
import binascii
import glob
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import msgspec
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._config.display import is_json
from interpreter_tools._config.model import SessionConfig
from interpreter_tools._exceptions import ContextDied, FileRefused, InterpreterToolsError, UsageError
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, ServerError
from interpreter_tools.server._gone import unless_gone
from interpreter_tools.server._run_limits import compile_timeout, memory_limit, run_timeout
from interpreter_tools.server._wire import Site, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._session.session import Session
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner

T = TypeVar("T")

_LANGUAGES = {
    "python": "python",
    "cpp": "cpp",
    "nodejs": "javascript",
    "js": "javascript",
    "go": "go",
    "java": "java",
    "php": "php",
    "csharp": "csharp",
    "bash": "bash",
    "typescript": "typescript",
    "ts": "typescript",
    "sql": "sql",
    "rust": "rust",
    "lua": "lua",
    "R": "r",
    "perl": "perl",
    "ruby": "ruby",
    "julia": "julia",
    "pytest": "python",
}
"""Languages by the names that SandboxFusion has for them."""

_KNOWN = ", ".join(_LANGUAGES)

_ABSENT = {
    "python2", "go_test", "cuda", "D_ut", "scala", "junit", "kotlin_script", "jest", "verilog", "python_gpu", "lean",
    "swift", "racket", "gtest", "react",
}  # fmt: skip
"""Languages and ways to test that SandboxFusion has, and that this server has not."""

_PYTEST = "import sys, pytest\nsys.exit(pytest.main(['-p', 'no:cacheprovider', 'test_code.py']))\n"
_FILES_LIMIT = 1000


class CommandResult(msgspec.Struct, kw_only=True):
    """The end of a compiler or a program."""

    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    execution_time: float | None = None
    cpu_time: float | None = None
    return_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None


class RunCode(msgspec.Struct, kw_only=True):
    """The body of ``/run_code``."""

    code: str
    language: str
    compile_timeout: float = 10
    run_timeout: float = 10
    memory_limit_MB: int | None = -1  # noqa: N815 - the name on the wire
    stdin: str | None = None
    files: dict[str, str | None] = {}
    fetch_files: list[str] = []


class RunCodeAnswer(msgspec.Struct, kw_only=True):
    """The answer of ``/run_code``."""

    status: Literal["Success", "Failed", "SandboxError"]
    message: str = ""
    compile_result: CommandResult | None = None
    run_result: CommandResult | None = None
    executor_pod_name: str | None = None
    files: dict[str, str] = {}


class RunJupyter(msgspec.Struct, kw_only=True):
    """The body of ``/run_jupyter``."""

    cells: list[str]
    cell_timeout: float = 0
    total_timeout: float = 45
    memory_limit_MB: int | None = -1  # noqa: N815 - the name on the wire
    kernel: Literal["python3"] = "python3"
    files: dict[str, str | None] = {}
    fetch_files: list[str] = []


class CellResult(msgspec.Struct, kw_only=True):
    """The end of a cell."""

    stdout: str
    stderr: str
    display: list[dict[str, object]]
    error: list[dict[str, object]]


class RunJupyterAnswer(msgspec.Struct, kw_only=True):
    """The answer of ``/run_jupyter``."""

    status: Literal["Success", "Failed", "SandboxError"]
    message: str = ""
    driver: CommandResult | None = None
    cells: list[CellResult] = []
    executor_pod_name: str | None = None
    files: dict[str, str] = {}


_encode = msgspec.json.Encoder().encode


def _render(request: Request, error: ServerError) -> Response:
    """Return an error as FastAPI has it."""
    return JSONResponse({"detail": error.text}, error.status, headers=error.headers)


def _answering(
    core: Core,
    kind: type[T],
    run: Callable[[Core, Owner, T], Coroutine[object, object, RunCodeAnswer | RunJupyterAnswer]],
    failed: type[RunCodeAnswer | RunJupyterAnswer],
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that reads a body of a kind, and runs it as long as its client waits."""

    async def answer(request: Request) -> Response:
        owner = core.authenticate(request)
        wanted = await read_json(request, kind, limit=core.config.body_limit)
        try:
            said = await unless_gone(request, run(core, owner, wanted))
        except ServerError:
            raise
        except InterpreterToolsError as error:
            said = failed(status="SandboxError", message=str(error))
        return Response(_encode(said), media_type="application/json")

    return answer


def _routes(core: Core) -> list[BaseRoute]:
    async def ping(_: Request) -> Response:
        return PlainTextResponse("pong")

    return [
        Route("/run_code", _answering(core, RunCode, _run_code, RunCodeAnswer), methods=["POST"]),
        Route("/run_jupyter", _answering(core, RunJupyter, _run_jupyter, RunJupyterAnswer), methods=["POST"]),
        Route("/v1/ping", ping),
    ]


def _exports(site: Site) -> dict[str, str]:
    return {"SANDBOX_FUSION_ENDPOINT": site.url_with_key}


WIRE = Wire("sandbox-fusion", _routes, render=_render, exports=_exports)


# -- a program


async def _run_code(core: Core, owner: Owner, wanted: RunCode) -> RunCodeAnswer:
    language = _LANGUAGES.get(wanted.language)
    if language is None:
        if wanted.language in _ABSENT:
            raise BadRequest(f"language: {wanted.language!r} is not on this server", hint=f"these are: {_KNOWN}")
        raise BadRequest(f"language: {wanted.language[:80]!r} is unknown", status=422, hint=f"known: {_KNOWN}")
    files = _read_files(wanted.files)
    owner.use_bytes(sum(map(len, files.values())))
    options: RunOptions = {
        "compile_timeout": compile_timeout(core, wanted.compile_timeout, field="compile_timeout"),
        "stdin": (wanted.stdin or "").encode("utf-8", "surrogatepass"),
        "timeout": run_timeout(core, wanted.run_timeout, field="run_timeout"),
        "files": files,
        "collect": _patterns(wanted.fetch_files),
        "tenant": owner.tenant,
    }
    code = wanted.code
    if wanted.language == "pytest":
        options["files"], code = {**files, "test_code.py": code}, _PYTEST
        options["dependencies"] = ["pytest"]
    elif language == "php" and "<?" not in code:
        code = f"<?php\n{code}"
    memory = memory_limit(core, _bytes(wanted.memory_limit_MB))
    if memory is not None:
        options["memory_limit"] = memory
    async with core.run(owner, wire="sandbox-fusion", language=language) as run:
        result = await core.engine.run(language, code, **options)
        run.end(result)
    answer = _answer(result, compiled=_compiled(language, result))
    answer.files = _fetched(wanted, result.files, files)
    owner.use_bytes(sum(map(len, result.files.values())))
    return answer


def _compiled(language: str, result: ExecutionResult) -> CommandResult | None:
    """Return how the compiler ended; None for a language without one."""
    if LanguageRegistry.get(language).compile is None:
        return None
    late = result.compile_timed_out
    return CommandResult(
        status="TimeLimitExceeded" if late else "Finished",
        execution_time=result.compile_time,
        return_code=None if late else result.exit_code if result.outcome == "compile_error" else 0,
        stdout=result.compile_stdout,
        stderr=result.compile_stderr,
    )


def _answer(result: ExecutionResult, *, compiled: CommandResult | None) -> RunCodeAnswer:
    """Return how a run ended, in SandboxFusion's words."""
    if result.outcome == "dependency_error":
        return RunCodeAnswer(status="SandboxError", message=result.dependency_stderr or result.dependency_stdout)
    if result.outcome == "compile_error":
        return RunCodeAnswer(status="Failed", compile_result=compiled)
    in_time = result.outcome != "timeout"
    code = -result.signal if result.signal else result.exit_code  # as Python's subprocess has it
    run = CommandResult(
        status="Finished" if in_time else "TimeLimitExceeded",
        execution_time=result.execution_time,
        cpu_time=result.cpu_time,
        return_code=code if in_time else None,
        stdout=result.stdout,
        stderr=result.stderr,
    )
    status = "Success" if result.outcome == "ok" else "Failed"
    return RunCodeAnswer(status=status, compile_result=compiled, run_result=run)


# -- cells


async def _run_jupyter(core: Core, owner: Owner, wanted: RunJupyter) -> RunJupyterAnswer:
    total = run_timeout(core, wanted.total_timeout, field="total_timeout")
    each = run_timeout(core, wanted.cell_timeout, field="cell_timeout") if wanted.cell_timeout else total
    files = _read_files(wanted.files)
    owner.use_bytes(sum(map(len, files.values())))
    container = core.engine.config.container
    memory = memory_limit(core, _bytes(wanted.memory_limit_MB))
    if memory is not None:
        container = msgspec.structs.replace(container, memory_limit=memory)
    async with (
        core.run(owner, wire="sandbox-fusion", language="python", strategy="context") as run,
        core.engine.session(SessionConfig(container=container)) as session,
    ):
        for path, data in files.items():
            await session.write_file(path, data)
        answer = RunJupyterAnswer(status="Success")
        answer.driver = CommandResult(status="Finished", return_code=0)
        async with session.context("python", timeout=total) as context:
            began = time.monotonic()
            for code in wanted.cells:
                left = total - (time.monotonic() - began)
                if left <= 0:
                    _fail(answer, "TimeLimitExceeded", "total_timeout is over")
                    break
                try:
                    result = await context.run(code, timeout=min(left, each), notebook=True)
                except ContextDied as error:
                    _fail(answer, "Error", error.message)
                    break
                run.end(result)
                answer.cells.append(_cell(result))
                if result.outcome == "timeout":
                    _fail(answer, "TimeLimitExceeded", "a cell was interrupted at its time limit")
                    break
            answer.driver.execution_time = time.monotonic() - began
        answer.files = await _fetch(session, wanted.fetch_files)
    return answer


def _fail(answer: RunJupyterAnswer, status: Literal["Error", "TimeLimitExceeded"], message: str) -> None:
    answer.status = "Failed"
    answer.driver = CommandResult(status=status, stderr=message)


def _cell(result: ExecutionResult) -> CellResult:
    error = result.error
    shown: list[dict[str, object]] = []
    if error is not None:
        shown.append({"ename": error.name, "evalue": error.value, "traceback": error.traceback.splitlines()})
    return CellResult(
        stdout=result.stdout,
        stderr=result.stderr,
        display=[_bundle(display.data) for display in result.results],
        error=shown,
    )


def _bundle(data: Mapping[str, object]) -> dict[str, object]:
    """Return a display as Jupyter has it: bytes in base64, JSON as its value."""
    return {mime: _shown(mime, item) for mime, item in data.items()}


def _shown(mime: str, item: object) -> object:
    if isinstance(item, bytes):
        return base64.b64encode(item).decode("ascii")
    if is_json(mime) and isinstance(item, str):
        try:
            return msgspec.json.decode(item)
        except msgspec.DecodeError:
            return item
    return item


async def _fetch(session: Session, paths: Sequence[str]) -> dict[str, str]:
    """Return files of a session in base64; those that are not there are left out, as SandboxFusion does."""
    found: dict[str, str] = {}
    for path in paths:
        try:
            found[path] = await session.read_file_base64(path)
        except (FileRefused, UsageError):
            continue
    return found


# -- files


def _bytes(mebibytes: int | None) -> int | None:
    return None if mebibytes is None else mebibytes << 20


def _read_files(files: Mapping[str, str | None]) -> dict[str, str | bytes]:
    """Return the contents of files by path.

    Raises:
        BadRequest: the contents of a file are not base64, or there are too many.
    """
    if len(files) > _FILES_LIMIT:
        raise BadRequest(f"files: {len(files)} are more than {_FILES_LIMIT}")
    found: dict[str, str | bytes] = {}
    for path, text in files.items():
        if text is None:
            continue
        try:
            found[path] = base64.b64decode(text)
        except (binascii.Error, ValueError):
            raise BadRequest(f"files: the contents of {path[:80]!r} are not base64") from None
    return found


def _inside(path: str) -> str | None:
    """Return a path relative to the workspace; None when it does not lie beneath it."""
    parts = [part for part in path.removeprefix("/workspace/").split("/") if part not in {"", "."}]
    return None if path.removeprefix("/workspace/").startswith("/") or ".." in parts or not parts else "/".join(parts)


def _patterns(paths: Sequence[str]) -> list[str]:
    """Return a pattern for each path that matches it alone."""
    return [f"./{glob.escape(path)}" for path in map(_inside, paths) if path is not None]


def _fetched(wanted: RunCode, made: Mapping[str, bytes], given: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return the files that were asked for in base64: those that the run made, and those given that it left alone."""
    found: dict[str, str] = {}
    known = {str(PurePosixPath(path)): data for path, data in given.items()}
    for path in wanted.fetch_files:
        inside = _inside(path)
        data = None if inside is None else made.get(inside, cast("bytes | None", known.get(inside)))
        if data is not None:
            found[path] = base64.b64encode(data).decode("ascii")
    return found
