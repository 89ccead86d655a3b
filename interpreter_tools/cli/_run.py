"""``interpreter-tools run``: one run whose output, input and exit status are the command's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from interpreter_tools._config import EngineConfig, PoolConfig
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, ExecutionClosed, InterpreterToolsError
from interpreter_tools.cli._language import guess_language

if TYPE_CHECKING:
    from interpreter_tools._execution import Execution
    from interpreter_tools._models import ExecutionResult
    from interpreter_tools._options import RunOptions

_SANDBOX_FAILED = 125  # as `docker run` says it
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells report a program whose reader went away
_PIECE = 65536
_NOTES = {
    "timeout": "ended: it ran longer than --timeout",
    "oom": "ended: it needed more memory than --memory",
    "output_limit": "ended: it wrote too much",
}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run; attributes as the command's options.

    With neither ``file`` nor ``code`` the program comes from standard input.
    """

    file: Path | None
    code: str | None
    language: str | None
    timeout: float | None
    memory: str | None
    cpus: str | None
    environment: tuple[str, ...]
    files: tuple[str, ...]
    network: str | None
    image: str | None
    docker_host: str | None


async def run_code(request: Request, *, as_json: bool) -> int:
    """Run what is asked for and return the command's status."""
    try:
        code = await anyio.to_thread.run_sync(_read_code, request)
        options = await anyio.to_thread.run_sync(_options, request)
        name = None if request.file is None else request.file.name
        language = request.language or guess_language(name, code)
        config = EngineConfig(docker_host=request.docker_host, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
        async with ExecutionEngine(config) as engine:
            if as_json:
                result = await engine.run(language, code, **options)
                sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
                return result.exit_code
            options["output_limit"], options["capture"] = None, False  # it goes to whoever called us, not into memory
            return await _stream(engine.stream(language, code, **options), reads_stdin="stdin" not in options)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except InterpreterToolsError as error:
        sys.stderr.write(f"interpreter-tools run: {error}\n")
        return _SANDBOX_FAILED
    except OSError as error:
        sys.stderr.write(f"interpreter-tools run: {error.filename or ''}: {error.strerror}\n")
        return _SANDBOX_FAILED


async def _stream(execution: Execution, *, reads_stdin: bool) -> int:
    async with execution:
        feeding = asyncio.create_task(_feed_stdin(execution)) if reads_stdin else None
        try:
            async for chunk in execution:
                target = 1 if chunk.stream.endswith("stdout") else 2
                await anyio.to_thread.run_sync(_write_all, target, chunk.data)
            result = await execution.result()
        finally:
            if feeding is not None:
                feeding.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await feeding
    return _status(result)


def _status(result: ExecutionResult) -> int:
    note = _NOTES.get(result.outcome)
    if note is not None:
        sys.stderr.write(f"interpreter-tools run: {note}\n")
    return result.exit_code


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


def _read_code(request: Request) -> bytes:
    if request.code is not None:
        return request.code.encode("utf-8", "surrogateescape")
    if request.file is None:
        return sys.stdin.buffer.read()
    return request.file.read_bytes()


def _options(request: Request) -> RunOptions:
    options: RunOptions = {"timeout": request.timeout}
    if request.memory is not None:
        options["memory_limit"] = request.memory
    if request.cpus is not None:
        options["cpu_limit"] = request.cpus
    if request.network is not None:
        options["network"] = request.network
    if request.image is not None:
        options["image"] = request.image
    if request.code is None and request.file is None:
        options["stdin"] = b""  # the program itself came from there
    options["environment"] = dict(_variable(text) for text in request.environment)
    options["files"] = {path: Path(local).read_bytes() for path, local in map(_pair, request.files)}
    return options


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else os.environ.get(name, "")


def _pair(text: str) -> tuple[str, str]:
    path, equals, local = text.partition("=")
    if not equals:
        raise ConfigurationError("--file", text, "does not say which local file", hint="give PATH=LOCAL")
    return path, local
