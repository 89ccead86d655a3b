"""The sources of inputs: a prompt on a terminal, or lines of a pipe or file."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from interpreter_tools._exceptions import ExecutionClosed
from interpreter_tools.shell._routing import indent_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.lexers import Lexer

    from interpreter_tools._context.cell import Cell
    from interpreter_tools._execution.execution import Execution

_PIECE = 1 << 16
_ASKS = re.compile(r"\binput\s*\(|\bstdin\b|\bgets\b|(?:^|[;&|(\s])read\s+[-\w]")


class Reader(Protocol):
    """A source of inputs."""

    async def read(self) -> str:
        """Return the next input.

        Raises:
            EOFError: there is no further input.
            KeyboardInterrupt: the user gave the input up.
        """
        ...


class Prompt:
    """A prompt on the terminal.

    Args:
        label: the text before the cursor.
        needs_more: returns True when an input goes on in the next line.
        history: the inputs before.
        completer: the completions.
        lexer: the colours.
    """

    def __init__(
        self,
        *,
        label: Callable[[], str],
        needs_more: Callable[[str], bool],
        history: History,
        completer: Completer,
        lexer: Lexer,
    ) -> None:
        self._label = label
        self._needs_more = needs_more
        self._session: PromptSession[str] = PromptSession(
            history=history,
            completer=completer,
            complete_while_typing=False,  # completion while typing would hide the history behind the arrow keys
            complete_style=CompleteStyle.READLINE_LIKE,
            auto_suggest=AutoSuggestFromHistory(),
            enable_history_search=True,
            lexer=lexer,
            multiline=True,
            prompt_continuation=lambda width, _number, _wrapped: "." * (width - 1) + " ",
            key_bindings=self._keys(),
            output=_terminal(),
        )

    async def read(self) -> str:
        """Return the text that the user typed."""
        # The shell handles signals: the prompt would not restore the shell's handler after its own.
        return await self._session.prompt_async([("bold", f"{self._label()}> ")], handle_sigint=False)

    def interrupt(self) -> None:
        """Give up the input that is being typed, as Ctrl-C does."""
        app = self._session.app
        if app.is_running and not app.is_done:
            app.exit(exception=KeyboardInterrupt())

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter", filter=has_focus(DEFAULT_BUFFER))
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            document = buffer.document
            if document.is_cursor_at_the_end and self._needs_more(document.text):
                buffer.newline(copy_margin=True)
                buffer.insert_text(indent_after(document.text))
            else:
                buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=has_focus(DEFAULT_BUFFER))
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.newline()

        return keys


def _terminal() -> Output:
    """Return an output that never asks the terminal for its cursor: some terminals do not answer."""
    output = create_output()
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output


def asks_for_input(code: str) -> bool:
    """Return True when a program looks as if it reads standard input.

    Only such a program gets the lines typed while it runs. For all others, these lines are the next input.
    """
    return _ASKS.search(code) is not None


async def feed_typed(execution: Execution | Cell, on_line: Callable[[], object]) -> None:
    """Send the lines typed on the terminal to a program while it runs; Ctrl-D ends its input.

    Args:
        execution: the program.
        on_line: a function that is called for each line.
    """
    with contextlib.suppress(ExecutionClosed):
        while True:
            await anyio.wait_readable(0)
            data = os.read(0, _PIECE)
            if not data:
                await execution.close_stdin()
                return
            on_line()
            await execution.send_stdin(data)


class Lines:
    """Inputs from a pipe or a file: single lines, or several lines of one input.

    Args:
        needs_more: returns True when an input goes on in the next line.
        descriptor: the file descriptor to read from.
    """

    def __init__(self, *, needs_more: Callable[[str], bool], descriptor: int = 0) -> None:
        self._needs_more = needs_more
        self._descriptor = descriptor
        kind = os.fstat(descriptor).st_mode
        # epoll(7) refuses files, which never block
        self._waits = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(descriptor)
        self._pending = b""
        self._ended = False

    async def read(self) -> str:
        """Return the next input."""
        line = await self._line()
        if line is None:
            raise EOFError
        text = line
        while self._needs_more(text):
            line = await self._line()
            if line is None:
                break
            text = f"{text}\n{line}"
        return text

    async def _line(self) -> str | None:
        while b"\n" not in self._pending and not self._ended:
            data = await self._read()
            self._pending += data
            self._ended = not data
        if not self._pending:
            return None
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace").removesuffix("\r")

    async def _read(self) -> bytes:
        if self._waits:
            await anyio.wait_readable(self._descriptor)
            return os.read(self._descriptor, _PIECE)
        return await anyio.to_thread.run_sync(os.read, self._descriptor, _PIECE)
