"""Programs that a set-up runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from interpreter_tools.setup import ProgramFailed
from interpreter_tools.setup.process import run_program, stream_program

if TYPE_CHECKING:
    from pathlib import Path


def running(marker: str) -> bool:
    """Whether a process with that word in its command line is alive."""
    return subprocess.run(["pgrep", "-f", marker], capture_output=True, check=False).returncode == 0


async def test_lines_of_both_streams_come_as_they_are_written():
    """The last of them are returned, too."""
    lines: list[str] = []
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('three', end='')"
    output = await run_program([sys.executable, "-c", code], on_line=lines.append, keep=2)
    assert lines == ["one", "two", "three"]
    assert output == "two\nthree"


async def test_failure_tells_status_and_last_words():
    """The error holds what a person needs to see."""
    with pytest.raises(ProgramFailed) as caught:
        await run_program([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"])
    assert (caught.value.status, caught.value.output) == (3, "no such thing")


async def test_missing_program_is_a_failure_too():
    """It has no status."""
    with pytest.raises(ProgramFailed, match="could not be started") as caught:
        await run_program(["/nonexistent/program"])
    assert caught.value.status is None


async def test_cancelled_program_dies_with_its_children():
    """The whole process group, at once."""
    marker = "sleep 97531"
    with anyio.move_on_after(0.5):
        await run_program(["sh", "-c", f"{marker} & {marker}"])
    assert not running(marker)


async def test_service_that_keeps_the_pipe_does_not_hold_us_up():
    """As when a package's script starts a daemon."""
    with anyio.fail_after(10):
        service = int(await run_program(["sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & exit 0"]))
    os.kill(service, signal.SIGKILL)  # it was still there


async def test_wrapper_is_left_out_of_errors():
    """It is our business."""
    with pytest.raises(ProgramFailed, match=r"\A`false` failed with status 1"):
        await run_program(["false"], wrapper=["env", "--chdir=/"])


async def test_stream_yields_every_byte_then_fails(tmp_path: Path):
    """The reader sees the error only at the end, with what the program said about it."""
    code = "import sys; sys.stdout.write('x' * 300_000); sys.stderr.write('cut off'); raise SystemExit(1)"
    received = bytearray()

    async def drain() -> None:
        async for chunk in stream_program([sys.executable, "-c", code], log=tmp_path / "log"):
            received.extend(chunk)

    with pytest.raises(ProgramFailed, match="cut off"):
        await drain()
    assert received == b"x" * 300_000


async def test_stream_that_is_left_ends_its_program(tmp_path: Path):
    """Closing the iterator is enough."""
    marker = "sleep 97533"
    stream = stream_program(["sh", "-c", f"echo; {marker}"], log=tmp_path / "log")
    async with contextlib.aclosing(stream):
        await anext(stream)
        assert running(marker)
    assert not running(marker)
