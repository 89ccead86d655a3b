"""``interpreter-tools run``: one run whose output, input and exit status are the command's own."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

import anyio
import msgspec

from interpreter_tools._background import beside
from interpreter_tools._config.exit_status import BROKEN_PIPE, SANDBOX_FAILED
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ExecutionClosed, InterpreterToolsError
from interpreter_tools._text import file_name, harmless, json_text
from interpreter_tools.cli._language import guess_language

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._session.session import Session
    from interpreter_tools.cli._request import Request

_PIECE = 65536
_NOTES = {
    "timeout": "ended: it ran longer than --timeout",
    "oom": "ended: it needed more memory than --memory",
    "output_limit": "ended: it wrote more than --output-limit",
    "dependency_error": "did not start: what --dep names could not be installed",
    "compile_error": "did not start: it could not be compiled",
}
_NAMED = 10  # files that are told by name


async def run_code(request: Request, *, as_json: bool) -> int:
    """Run what is asked for and return the command's status."""
    try:
        code = await anyio.to_thread.run_sync(request.read_code)
        options = await anyio.to_thread.run_sync(request.options)
        options["capture"] = as_json  # else it goes to whoever called us, not into memory
        config = await anyio.to_thread.run_sync(lambda: request.config(captures=as_json))
        language = request.language or guess_language(None if request.file is None else request.file.name, code)
        async with ExecutionEngine(config) as engine, engine.session() as session:
            execution = session.stream(language, code, **options)
            result = await _drive(execution, reads_stdin=not request.reads_stdin, passes_on=not as_json)
            if as_json:
                text = json_text(msgspec.json.format(result.to_json())) + "\n"
                await anyio.to_thread.run_sync(_write_all, 1, text.encode())
            if request.out is not None:
                await _keep(session, request.out)
                await anyio.to_thread.run_sync(_save_results, result, request.out)
    except BrokenPipeError:
        return BROKEN_PIPE
    except InterpreterToolsError as error:
        _say(str(error))
        return SANDBOX_FAILED
    except OSError as error:
        _say(f"{error.filename or ''}: {error.strerror}")
        return SANDBOX_FAILED
    return _status(result, saved=as_json or request.out is not None)


async def _drive(execution: Execution, *, reads_stdin: bool, passes_on: bool) -> ExecutionResult:
    async with execution:
        for inner, outer in sorted(execution.ports.items()):
            _say(f"port {inner} is 127.0.0.1:{outer}")
        async with beside(_feed_stdin(execution) if reads_stdin else None):
            if passes_on:
                async for chunk in execution:
                    if chunk.stream == "display":
                        continue  # no output: it is told and kept below
                    target = 1 if chunk.stream == "stdout" else 2  # what an installer says is not the program's output
                    await anyio.to_thread.run_sync(_write_all, target, chunk.data)
            return await execution.result()


async def _keep(session: Session, target: Path) -> None:
    """Copies what the program has made, and tells what that is."""
    kept = await session.aclose(keep_generated=target)
    names = sorted(file_name(path.relative_to(target)) for path in kept)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    _say(f"kept in {target}: {', '.join(names[:_NAMED])}{more}" if names else "no file was made, so none is kept")


def _save_results(result: ExecutionResult, target: Path) -> None:
    """Write what the program has displayed beside the files that it has made."""
    for number, shown in enumerate(result.results, 1):
        names = ", ".join(path.name for path in shown.save(target, name=f"result-{number}"))
        _say(f"displayed, and kept in {target}: {names}")


def _status(result: ExecutionResult, *, saved: bool) -> int:
    if result.results and not saved:
        _say(f"{len(result.results)} results were displayed: --out DIR keeps them")
    note = _NOTES.get(result.outcome)
    if note is not None:
        _say(note)
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
            data = os.read(0, _PIECE) if waits else await anyio.to_thread.run_sync(os.read, 0, _PIECE)
            if not data:
                await execution.close_stdin()
                return
            await execution.send_stdin(data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
