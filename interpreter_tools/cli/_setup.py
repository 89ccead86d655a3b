"""``interpreter-tools setup``: shows a set-up as it goes, and asks what it asks."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from interpreter_tools._exceptions import InterpreterToolsError, UnknownLanguage
from interpreter_tools._exit_status import USAGE
from interpreter_tools._text import harmless
from interpreter_tools.cli._ask import ask_terminal
from interpreter_tools.setup import KNOWN_IMAGES, set_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID

    from interpreter_tools.setup import Progress as Event

_QUIET_SECONDS = 5.0
_STEP_WIDTH = 8
_BAR_WIDTH = 16


def list_images(*, as_json: bool) -> int:
    """Print the images that set-up knows how to make, and return the command's status."""
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(KNOWN_IMAGES)).decode() + "\n")
        return 0
    width = max(len(known.name) for known in KNOWN_IMAGES)
    for known in KNOWN_IMAGES:
        languages = ", ".join(known.languages) or f"for runs with --image {known.image}"
        sys.stdout.write(f"{known.name:<{width}}  {languages}{' (made by default)' if known.default else ''}\n")
    return 0


async def run_setup(
    names: Sequence[str], *, all_images: bool, yes: bool, update: bool, as_json: bool, docker_host: str | None
) -> int:
    """Set this machine up, show how it goes on stderr, and return the command's status."""
    console = Console(stderr=True)
    display = _Bars(console) if console.is_terminal else _Lines()
    try:
        with display:
            result = await set_up(
                names,
                everything=all_images,
                docker_host=docker_host,
                update=update,
                consent=_agree if yes else display.ask,
                report=display.show,
            )
    except UnknownLanguage as error:
        known = ", ".join(sorted({*error.known, *(image.name for image in KNOWN_IMAGES)}))
        hint = "`interpreter-tools setup --list` says what each brings"
        sys.stderr.write(
            harmless(f"interpreter-tools setup: unknown language {error.language!r}; known: {known}\n  hint: {hint}\n")
        )
        return USAGE
    except InterpreterToolsError as error:
        sys.stderr.write(f"interpreter-tools setup: {error}\n")
        return 1
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    else:
        images = ", ".join(image.image for image in result.images)
        sys.stdout.write(f"ready: {images}\n")
        if result.left_out:
            sys.stdout.write(f"left out, as only a registry has them: {', '.join(result.left_out)}\n")
        sys.stdout.write("try: interpreter-tools run -c 'print(6 * 7)'\n")
    return 0


async def _agree(_question: str) -> bool:
    return True


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


class _Lines:
    """For logs: a line for each end of a step, and now and then one on the way."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._next: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        now = time.monotonic()
        if event.state == "working" and now < self._next.get(event.step, 0.0):
            return
        self._next[event.step] = now + _QUIET_SECONDS
        share = f" {event.fraction:4.0%}" if event.state == "working" and event.fraction is not None else ""
        sys.stderr.write(
            f"{now - self._started:6.1f} s  {event.step}: {event.state}{share}  {_first_line(event.text)}\n"
        )
        sys.stderr.flush()

    async def ask(self, question: str) -> bool:
        return await ask_terminal(question)


class _Bars:
    """For people: a bar for each step."""

    def __init__(self, console: Console) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("[bold]{task.fields[step]}", table_column=Column(min_width=_STEP_WIDTH, no_wrap=True)),
            BarColumn(bar_width=_BAR_WIDTH),
            TimeElapsedColumn(),
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=console,
            expand=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        text = escape(_first_line(event.text))
        if event.state == "failed":
            text = f"[yellow]{text}"
        task = self._tasks.get(event.step)
        if task is None:
            step = event.step.removeprefix("interpreter-tools/")
            task = self._tasks[event.step] = self._progress.add_task(text, total=None, step=step)
        if event.fraction is None:
            self._progress.update(task, description=text)
        else:
            self._progress.update(task, description=text, total=1.0, completed=event.fraction)

    async def ask(self, question: str) -> bool:
        self._progress.stop()
        try:
            return await ask_terminal(question)
        finally:
            self._progress.start()
