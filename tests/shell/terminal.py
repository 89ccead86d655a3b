"""A terminal with a shell on it, looked at as a person would look at it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyte

from tests.cli.command import COMMAND, ENVIRONMENT
from tests.watch import CLIENTS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ROWS, COLUMNS = 150, 120
SMALL = {"INTERPRETER_TOOLS_POOL__MIN_SIZE": "0", "INTERPRETER_TOOLS_PREWARM": "[]"}
WITH_MODEL = (sys.executable, str(Path(__file__).with_name("with_model.py")))
"""A shell with a model that is scripted."""


_OTHERWISE = {"COLUMNS", "NO_COLOR", "CI", "PYTEST_VERSION"}  # programs look at them, and users have none of them


class _Screen(pyte.Screen):
    """Answers when it is asked where the cursor is."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(COLUMNS, ROWS)
        self._descriptor = descriptor

    def write_process_input(self, data: str) -> None:
        os.write(self._descriptor, data.encode())


class Terminal:
    """What is on the screen, and what is typed.

    Attributes:
        process: the shell.
        raw: every byte that it has written.
    """

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.raw = b""
        self._descriptor = descriptor
        self._screen = _Screen(descriptor)
        self._lines: list[str] | None = None  # of the screen as it is; to draw it costs more than all else here
        self._stream = pyte.ByteStream(self._screen)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._take)

    def _take(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            self._loop.remove_reader(self._descriptor)
        self.raw += data
        self._stream.feed(data)
        self._lines = None

    def close(self) -> None:
        """Hang up."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    @property
    def lines(self) -> list[str]:
        """The screen, from its top to the last line with something on it."""
        if self._lines is None:
            self._lines = [line.rstrip() for line in self._screen.display]
            while self._lines and not self._lines[-1]:
                self._lines.pop()
        return self._lines

    @property
    def _row(self) -> int:
        return int(self._screen.cursor.y)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    async def see(self, text: str, *, times: int = 1) -> None:
        """Wait until a text is on the screen."""

        async def look() -> str:
            return "\n".join(self.lines)

        await eventually(look, lambda seen: seen.count(text) >= times, within=90)

    async def prompt(self, label: str = "python", *, after: int = -1) -> None:
        """Wait until the cursor stands behind an empty prompt, below a row."""

        async def look() -> tuple[bool, list[str]]:
            lines = self.lines
            return self._row > after and lines[self._row : self._row + 1] == [f"{label}>"], lines

        await eventually(look, lambda seen: seen[0], within=90)

    async def do(self, text: str, *, label: str = "python", after: str | None = None, rows: int = 0) -> list[str]:
        """Type an input, and wait for the next prompt.

        Args:
            text: the input; Enter is pressed at its end.
            label: the prompt's words.
            after: those of the next prompt, where they are others.
            rows: how many rows the input takes beside those that Enter begins.

        Returns:
            The lines between the input and the next prompt.
        """
        await self.prompt(label)
        row = self._row
        last = row + text.count("\r") + rows
        self.type(f"{text}\r")
        await self.prompt(after or label, after=last)
        return self.lines[last + 1 : self._row]

    async def ended(self) -> int:
        """Wait until the shell has ended, and return its status."""

        async def look() -> int | None:
            return self.process.poll()

        status = await eventually(look, lambda status: status is not None, within=90)
        assert status is not None
        return status


@asynccontextmanager
async def terminal(
    *arguments: str,
    state: Path,
    command: tuple[str, ...] = (*COMMAND, "shell"),
    environment: dict[str, str] | None = None,
) -> AsyncGenerator[Terminal]:
    """A terminal with a shell on it.

    Args:
        arguments: the shell's.
        state: its working directory, and the directory that its history is in.
        command: what is started.
        environment: further variables.
    """
    ours, process = _start([*command, *arguments], state, environment or {})
    CLIENTS.add(process.pid)
    screen = Terminal(ours, process)
    try:
        yield screen
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            await screen.ended()
        except AssertionError:
            process.kill()
            raise
        finally:
            with contextlib.suppress(OSError):
                screen.close()


def _start(command: list[str], state: Path, more: dict[str, str]) -> tuple[int, subprocess.Popen[bytes]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    inherited = {name: value for name, value in ENVIRONMENT.items() if name not in _OTHERWISE}
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],  # Ctrl-C goes to whose terminal it is, and only a new session can take one
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=state,
        env={**inherited, **SMALL, "TERM": "xterm-256color", "XDG_STATE_HOME": str(state), **more},
    )
    os.close(theirs)
    return ours, process
