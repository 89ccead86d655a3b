"""The pages of ``--help`` as the commands have them: ``python -m interpreter_tools.cli._pages`` writes the file."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from rich.console import Console

from interpreter_tools.cli._app import app
from interpreter_tools.cli._help import PAGES, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import ConsoleOptions, RenderableType

_WIDE = 100_000  # columns: lines are broken when they are shown


class _Recorder:
    """Takes down what cyclopts would have printed."""

    def __init__(self) -> None:
        self.usage = ""
        self.about = ""
        self.panels: list[tuple[str, list[tuple[str, str]]]] = []

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        entries = [(" ".join(entry.display_labels_with_metavar), _words(entry)) for entry in panel.entries]
        if entries:
            self.panels.append((_text(panel.title), entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: RenderableType) -> None:
        """Take down how the command is called."""
        self.usage = f"Usage: {' '.join(_text(usage).split()).removeprefix('Usage: ')}"

    def render_description(self, console: Console, options: ConsoleOptions, description: RenderableType) -> None:
        """Take down what the command does."""
        self.about = _text(description)


def _text(value: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=_WIDE)
    with console.capture() as captured:
        console.print(value)
    return captured.get().strip()


def _words(entry: HelpEntry) -> str:
    text = " ".join(_text(entry.description).split())
    if entry.choices:
        text += f" [choices: {', '.join(entry.choices)}]"
    if entry.default is not None:
        text += f" [default: {entry.default}]"
    return text


def page_of(commands: list[str]) -> Page:
    """Return the help of a command."""
    recorder, rest = _Recorder(), Console(file=io.StringIO(), width=_WIDE)
    app.help_formatter = recorder
    try:
        with rest.capture() as captured:
            app.help_print(commands, console=rest)
    finally:
        app.help_formatter = None
    return Page(usage=recorder.usage, about=recorder.about, panels=recorder.panels, more=captured.get().strip())


def all_pages() -> dict[str, Page]:
    """Return the help of every command, by its words."""
    return {" ".join(words): page_of(words) for words in _commands([])}


def _commands(above: list[str]) -> Iterator[list[str]]:
    yield above
    _, apps, _ = app.parse_commands(above)
    for name in apps[-1]:
        if not name.startswith("-"):
            yield from _commands([*above, name])


if __name__ == "__main__":
    PAGES.write_text(json.dumps(all_pages(), indent=1) + "\n", "utf-8")
