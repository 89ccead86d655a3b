"""The output of the shell: the output of programs, notes, code in colours, and a spinner."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax
from rich.text import Text

from interpreter_tools._config.results import DisplayChunk
from interpreter_tools._text import file_name, harmless
from interpreter_tools.shell._pictures import PictureFiles, as_drawn, find_drawing
from interpreter_tools.shell._terminal import TerminalText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.status import Status

    from interpreter_tools._config.results import ExecutionResult, OutputChunk, Stream

_RED, _DIM, _RESET = "\x1b[31m", "\x1b[2m", "\x1b[0m"
_NOTES = {
    "timeout": "ended: it ran longer than it may",
    "oom": "ended: it needed more memory than it may use",
    "output_limit": "ended: it wrote more than it may",
    "killed": "ended: it was killed",
    "dependency_error": "did not start: its packages could not be installed",
    "compile_error": "did not start: it could not be compiled",
}
_NAMED = 8  # files that a note names


class Display:
    """The display on standard output and standard error.

    A program's output cannot control the terminal. To a pipe or file it goes byte for byte. Notes go to standard error
    when standard output is no terminal.
    """

    def __init__(self) -> None:
        self.on_terminal = sys.stdout.isatty()
        for stream in (sys.stdout, sys.stderr):
            if stream.isatty():
                _show_all_letters(stream)
        self._console = Console(
            file=sys.stdout if self.on_terminal else sys.stderr, markup=False, highlight=False, emoji=False
        )
        self._colours = self.on_terminal and self._console.color_system is not None and not self._console.no_color
        self._streams: dict[Stream, TerminalText] = {}
        self._draw = find_drawing(os.environ) if self.on_terminal else None
        self._files = PictureFiles()
        self._at_line_start = True
        self._status: Status | None = None

    # -- while something goes on

    def busy(self, what: str) -> None:
        """Show a spinner until the next output."""
        self.idle()
        if self.on_terminal:
            self._status = self._console.status(Text(harmless(what), style="dim"))
            self._status.start()

    def idle(self) -> None:
        """Remove the spinner."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    # -- programs

    def chunk(self, chunk: OutputChunk) -> None:
        """Write a piece of a program's output."""
        self.idle()
        if isinstance(chunk, DisplayChunk):
            self._displayed(chunk)
            return
        descriptor = 1 if chunk.stream == "stdout" else 2
        if not os.isatty(descriptor):
            _write_all(descriptor, chunk.data)
            return
        stream = self._streams.setdefault(chunk.stream, TerminalText(colours=self._colours))
        self._write(stream.feed(chunk.text), chunk.stream)

    def _displayed(self, chunk: DisplayChunk) -> None:
        """Show a displayed result in its place: a picture drawn or as a file, all else as its plain text."""
        if not self._at_line_start:
            self._write("\n", "stdout")
        picture = chunk.result.picture
        if picture is None:
            if text := chunk.text.rstrip("\n"):
                safe = TerminalText(colours=False)
                self._write(f"{safe.feed(text)}{safe.finish()}\n", "stdout")
            return
        drawn = as_drawn(*picture, self._draw)
        if drawn is not None:
            self._write(drawn, "stdout")
            return
        try:
            self.note(f"picture: {self._files.save(*picture)}")
        except OSError as error:
            self.error(f"a picture cannot be kept: {error.strerror}")

    def end_output(self) -> None:
        """End a program's output: the next output begins a new line."""
        self.idle()
        streams, self._streams = self._streams, {}
        for name, stream in streams.items():
            self._write(stream.finish(), name)
        if not self._at_line_start:
            self._write("\n", "stdout")
        self._at_line_start = True

    def echoed(self, *, line: bool) -> None:
        """Note that the terminal echoed typed text: a line, or a part of one such as ``^C``."""
        self.idle()
        self._at_line_start = line

    def outcome(self, result: ExecutionResult) -> None:
        """Write the outcome of a run, unless its output tells it."""
        if note := _NOTES.get(result.outcome):
            self.error(note)
        elif result.outcome == "error":
            self.error(f"exit code {result.exit_code}")
        for said in result.notes:
            self.note(said)
        files = result.generated_files
        if files:
            more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            self.note(f"files: {', '.join(map(file_name, files[:_NAMED]))}{more}")

    def _write(self, text: str, stream: Stream) -> None:
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        style = {"stdout": "", "stderr": _RED}.get(stream, _DIM)
        file = sys.stdout if stream == "stdout" else sys.stderr
        file.write(f"{style}{text}{_RESET}" if style and self._colours else text)
        file.flush()

    # -- the shell itself

    def note(self, text: str) -> None:
        """Write a note."""
        self._print(Text(harmless(text), style="dim"))

    def error(self, text: str) -> None:
        """Write an error."""
        self._print(Text(harmless(text), style="red"))

    def say(self, text: str) -> None:
        """Write the answer to a command, as plain text."""
        if self.on_terminal:
            self._print(Text(harmless(text)))
        else:
            self.idle()
            _write_all(1, f"{text}\n".encode("utf-8", "surrogateescape"))

    def markdown(self, text: str) -> None:
        """Write the words of the model."""
        if self.on_terminal:
            self._print(Markdown(harmless(text), hyperlinks=False))
        else:
            self.say(text)

    def code(self, language: str, code: str, packages: Sequence[str]) -> None:
        """Write the code that the model is about to run."""
        self.note(f"── {language}{' with ' + ', '.join(packages) if packages else ''}")
        shown = harmless(code.strip("\n"))
        self._print(Syntax(shown, language, theme="ansi_dark", background_color="default", word_wrap=True))

    def _print(self, what: RenderableType) -> None:
        self.idle()
        self._console.print(what, soft_wrap=isinstance(what, Text))


def _show_all_letters(stream: object) -> None:
    """Write characters that the terminal's encoding cannot hold as escapes."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
