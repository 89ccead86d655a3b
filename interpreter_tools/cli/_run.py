"""``interpreter-tools run``: one run whose output, input and exit status are the command's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from interpreter_tools._background import beside
from interpreter_tools._docker import DockerClient
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, ExecutionClosed, InterpreterToolsError
from interpreter_tools._exit_status import BROKEN_PIPE, SANDBOX_FAILED, TIMED_OUT, USAGE
from interpreter_tools._text import file_name, harmless, json_text
from interpreter_tools.cli._errors import tell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._session.session import Session
    from interpreter_tools.cli._request import Request

_PIECE = 65536
_ENDS = {
    "timeout": "ended: it ran longer than --timeout",
    "oom": "ended: it needed more memory than --memory",
    "output_limit": "ended: it wrote more than --output-limit",
    "dependency_error": "did not start: the packages of --dep could not be installed",
    "compile_error": "did not start: it could not be compiled",
}
_NAMED = 10  # files that are told by name
_LOOKED_AT = 8192  # bytes at the end of stderr in which the cause of a failure is looked for


async def run_code(request: Request, *, as_json: bool) -> int:
    """Run what is asked for and return the command's status."""
    try:
        if request.out is not None and await anyio.Path(request.out).is_file():
            raise ConfigurationError("--out", str(request.out), "is a file, not a directory")
        if request.out is not None and set("*?[") & set(request.out.name):
            hint = "all files that the program makes are kept there: name a directory, such as results"
            raise ConfigurationError("--out", str(request.out), "is a pattern, not a directory", hint=hint)
        config = await asyncio.to_thread(request.config, captures=as_json)
        language, code, options = await asyncio.to_thread(request.program)
        options["capture"] = as_json  # else it goes to whoever called us, not into memory
        async with _engine(config) as engine, _place(engine, keeps=request.out is not None) as (place, session):
            run = _Run(place.stream(language, code, **options), passes_on=not as_json)
            result = await run.drive(reads_stdin=not request.reads_stdin)
            if as_json:
                text = json_text(msgspec.json.format(result.to_json())) + "\n"
                await asyncio.to_thread(_write_all, 1, text.encode())
            if request.out is not None and session is not None:
                await _keep(session, request.out)
                await asyncio.to_thread(_save_results, result, request.out)
    except BrokenPipeError:
        return BROKEN_PIPE
    except InterpreterToolsError as error:
        return tell("run", error, given=request.limits.given)
    except OSError as error:
        _say(f"{error.filename or ''}: {error.strerror}")
        return USAGE
    for note in _notes(result, run.stderr, language, request):
        _say(note)
    if result.results and not (as_json or request.out is not None):
        _say(f"{len(result.results)} results were displayed: --out DIR keeps them")
    return _status(result)


class _BriefEngine(ExecutionEngine):
    """An engine of one run."""

    async def _connect(self) -> DockerClient:
        return await DockerClient.connect(self.config.docker_host, brief=True)


@contextlib.asynccontextmanager
async def _engine(config: EngineConfig) -> AsyncGenerator[ExecutionEngine]:
    """Yield an engine that, once the run has ended, does not wait for what the Docker engine removes by itself."""
    engine = await _BriefEngine(config).start()
    waits = True
    try:
        yield engine
        waits = False
    finally:
        await engine.aclose(waits=waits)


@contextlib.asynccontextmanager
async def _place(
    engine: ExecutionEngine, *, keeps: bool
) -> AsyncGenerator[tuple[ExecutionEngine | Session, Session | None]]:
    """Yield what runs the code: a session where its files are wanted afterwards, else the engine, which is quicker."""
    if not keeps:
        yield engine, None
        return
    async with engine.session() as session:
        yield session, session


class _Run:
    """A run whose output goes to our own streams.

    Attributes:
        stderr: the end of what the program wrote there.
    """

    def __init__(self, execution: Execution, *, passes_on: bool) -> None:
        self._execution = execution
        self._passes_on = passes_on
        self.stderr = b""

    async def drive(self, *, reads_stdin: bool) -> ExecutionResult:
        """Run to the end."""
        async with self._execution as execution:
            for inner, outer in sorted(execution.ports.items()):
                _say(f"port {inner} is 127.0.0.1:{outer}")
            async with beside(_feed_stdin(execution) if reads_stdin else None):
                async for chunk in execution:
                    if chunk.stream == "stderr":
                        self.stderr = (self.stderr + chunk.data)[-_LOOKED_AT:]
                    if self._passes_on and chunk.stream != "display":  # which is no output: it is told and kept
                        target = 1 if chunk.stream == "stdout" else 2  # an installer's words are not the program's
                        await asyncio.to_thread(_write_all, target, chunk.data)
                return await execution.result()


async def _keep(session: Session, target: Path) -> None:
    """Copy the files that the program made, and print their names."""
    kept = await session.aclose(keep_generated=target)
    names = sorted(file_name(path.relative_to(target)) for path in kept)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    _say(
        f"kept in {target}: {', '.join(names[:_NAMED])}{more}" if names else "the program made no file, so none is kept"
    )


def _save_results(result: ExecutionResult, target: Path) -> None:
    """Write what the program has displayed beside the files that it has made."""
    for number, shown in enumerate(result.results, 1):
        names = ", ".join(path.name for path in shown.save(target, name=f"result-{number}"))
        _say(f"displayed, and kept in {target}: {names}")


def _notes(result: ExecutionResult, stderr: bytes, language: str, request: Request) -> Iterator[str]:
    """Return notes about the run that the program's own output does not tell."""
    yield from result.notes
    if (note := _ENDS.get(result.outcome)) is not None:
        yield note
    if result.outcome != "error":
        return
    from interpreter_tools._languages.known import large_packages  # noqa: PLC0415 - as below
    from interpreter_tools.tool._advice import missing_file, missing_module, missing_package  # noqa: PLC0415 - most runs need no advice

    text = stderr.decode("utf-8", "replace")
    sibling = None if request.file is None else _sibling(request.file, missing_module(text))
    wanted = str(sibling or "") or _local_file(request.file, missing_file(text))
    if wanted:
        yield f"the sandbox does not see local files: add --file {shlex.quote(wanted)}"
        return
    package = missing_package(msgspec.structs.replace(result, stderr=text), language)
    if package is not None and package not in request.dependencies:
        large = language == "python" and package in large_packages()
        size = ", which brings more than 2 GB with it" if large else ""
        yield f"the sandbox lacks a package that the program imports: add --dep {package}{size}"


def _sibling(file: Path, module: str | None) -> Path | None:
    """Return the file beside a program that a module's name means, if there is one."""
    if module is None:
        return None
    name = module.lstrip("./").partition(".")[0] if not module.startswith(".") else module.lstrip("./")
    candidates = (file.parent / f"{name}{suffix}" for suffix in ("", file.suffix))
    return next((path for path in candidates if name and path.is_file()), None)


def _local_file(program: Path | None, path: str) -> str:
    """Return what `--file` is to be given for a file that a program missed, where it is a local file; else nothing."""
    path = path.removeprefix("/workspace/")
    if not path or path.startswith("/") or ".." in path.split("/"):
        return ""
    places = [Path(), *([] if program is None else [program.parent])]
    local = next((place / path for place in places if (place / path).exists()), None)
    if local is None:
        return ""
    return str(local) if local.name == os.path.normpath(path) else f"{os.path.normpath(path)}={local}"


def _status(result: ExecutionResult) -> int:
    if result.outcome == "timeout":
        return TIMED_OUT
    if result.outcome == "dependency_error":
        return SANDBOX_FAILED
    return result.exit_code or int(result.outcome != "ok")  # one whose output was cut may have ended well by itself


def _say(text: str) -> None:
    sys.stderr.write(f"interpreter-tools run: {harmless(text)}\n")
    sys.stderr.flush()


async def _feed_stdin(execution: Execution) -> None:
    """Pass our standard input on, piece by piece, until it or the program ends."""
    with contextlib.suppress(ExecutionClosed):
        try:
            kind = os.fstat(0).st_mode
        except OSError:  # it is closed
            await execution.close_stdin()
            return
        if os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp():
            await execution.close_stdin()  # reading a terminal from the background would stop us
            return
        waits = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(0)  # epoll(7) refuses files: they never wait
        while True:
            if waits:
                await anyio.wait_readable(0)
            data = os.read(0, _PIECE) if waits else await asyncio.to_thread(os.read, 0, _PIECE)
            if not data:
                await execution.close_stdin()
                return
            await execution.send_stdin(data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
