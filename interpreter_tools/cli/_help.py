"""The pages of ``--help``, and their look.

cyclopts and rich take a tenth of a second to import. So the pages stand in ``help.json``, which
``python -m interpreter_tools.cli._pages`` makes from the commands. A test compares both.
"""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGES = Path(__file__).with_name("help.json")
_WIDEST = 100  # columns, also of wider terminals
_NAMES = 24  # columns at most for the names of options
_NARROW = 60  # columns, below which the words of an option stand under its names


class Page(TypedDict):
    """The help of a command.

    Attributes:
        usage: how it is called.
        about: what it does.
        panels: the lists of commands and options: a title, and the names and the words of each.
        more: examples.
    """

    usage: str
    about: str
    panels: list[tuple[str, list[tuple[str, str]]]]
    more: str


def show(words: Sequence[str]) -> bool:
    """Print the page that the words of a call ask for; return False where they ask for something else."""
    pages: dict[str, Page] = json.loads(PAGES.read_text("utf-8"))
    name = _asked_for(words, pages)
    if name is None:
        return False
    try:
        print("\n".join(lines(pages[name], min(shutil.get_terminal_size().columns, _WIDEST))), flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever reads has read enough
    return True


def _asked_for(words: Sequence[str], pages: dict[str, Page]) -> str | None:
    """Return the command whose page is asked for: by ``--help`` before ``--``, or by a group alone."""
    rest = list(words[: words.index("--")] if "--" in words else words)
    name = ""
    while rest and f"{name} {rest[0]}".strip() in pages:
        name = f"{name} {rest.pop(0)}".strip()
    if any(each.rpartition(" ")[0] == name for each in pages if each):  # it has commands: another word is a wrong one
        return name if rest in ([], ["--help"], ["-h"]) else None
    return name if {"--help", "-h"} & set(rest) else None


def lines(page: Page, width: int) -> Iterator[str]:
    """Return the lines of a page on a terminal of so many columns."""
    yield from _wrap(page["usage"], width, subsequent_indent="  ")
    for paragraph in page["about"].split("\n\n"):
        yield ""
        yield from _wrap(paragraph, width)
    for title, entries in page["panels"]:
        yield from ("", f"{title}:")
        column = 0 if width < _NARROW else min(max(len(names) for names, _ in entries) + 4, _NAMES)
        for names, text in entries:
            yield from _entry(names, text, column, width)
    if page["more"]:
        yield from ("", *page["more"].splitlines())


def _entry(names: str, text: str, column: int, width: int) -> Iterator[str]:
    head = f"  {names}"
    if len(head) + 2 > column:  # the words begin in the next line
        yield head
        head = ""
    indent = " " * (column or 6)
    yield from _wrap(text, width, initial_indent=head.ljust(len(indent)), subsequent_indent=indent) or [head]


def _wrap(text: str, width: int, *, initial_indent: str = "", subsequent_indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=initial_indent,
        subsequent_indent=subsequent_indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
