"""Runs the programs of the system that a set-up needs, and leaves none of them behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import deque
from typing import TYPE_CHECKING

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from interpreter_tools.setup.errors import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from anyio.abc import Process

_TAIL_LINES = 12
_LINE_LIMIT = 1 << 20
_DRAIN_SECONDS = 2.0


async def run_program(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    keep: int = _TAIL_LINES,
    wrapper: Sequence[str] = (),
) -> str:
    """Run a program to its end and return the last lines that it wrote, stdout and stderr together.

    The program leads its own process group, which is killed whole when the caller is cancelled.

    Args:
        arguments: the program and its arguments; no shell is involved.
        environment: what replaces our environment; None passes ours on.
        on_line: is given each line as it comes.
        keep: how many lines to return.
        wrapper: a command that starts the program; errors leave it out.

    Raises:
        ProgramFailed: it ended with another status than 0, or is not installed.
    """
    tail: deque[str] = deque(maxlen=keep)
    read = anyio.Event()
    status: int | None = None

    async def read_lines(process: Process) -> None:
        async for line in _lines(process):
            tail.append(line)
            if on_line is not None:
                on_line(line)
        read.set()

    async with (
        started_program([*wrapper, *arguments], environment=environment, stderr=subprocess.STDOUT) as process,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(read_lines, process)
        status = await process.wait()
        # A service that a package's script started may keep the pipe open for ever, so its end is not waited for.
        with anyio.move_on_after(_DRAIN_SECONDS):
            await read.wait()
        tasks.cancel_scope.cancel()
    output = "\n".join(tail)
    if status != 0:
        raise ProgramFailed(arguments, status, output)
    return output


async def stream_program(arguments: Sequence[str], *, log: Path) -> AsyncGenerator[bytes]:
    """Yield the bytes that a program writes to stdout, as they come; close the iterator to end the program.

    Args:
        arguments: the program and its arguments.
        log: a file that takes its stderr.

    Raises:
        ProgramFailed: it ended with another status than 0; raised after the last bytes.
    """
    with log.open("wb") as errors:
        async with started_program(arguments, environment=None, stderr=errors.fileno()) as process:
            assert process.stdout is not None
            async for chunk in process.stdout:
                yield chunk
            status = await process.wait()
    if status != 0:
        text = await anyio.Path(log).read_text(errors="replace")
        raise ProgramFailed(arguments, status, text.strip()[-1000:])


@contextlib.asynccontextmanager
async def started_program(
    arguments: Sequence[str], *, environment: Mapping[str, str] | None, stderr: int
) -> AsyncGenerator[Process]:
    """Start a program with its stdout on a pipe; at the end of the block its process group is dead."""
    try:
        process = await anyio.open_process(
            arguments,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramFailed(arguments, None, str(error)) from error
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()


async def _lines(process: Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    stream = BufferedByteReceiveStream(process.stdout)
    while True:
        try:
            line = await stream.receive_until(b"\n", _LINE_LIMIT)
        except anyio.IncompleteRead:
            if stream.buffer:
                yield stream.buffer.decode("utf-8", "replace")
            return
        yield line.decode("utf-8", "replace").rstrip("\r")
