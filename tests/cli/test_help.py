"""The pages of ``--help``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from interpreter_tools.cli._help import PAGES, lines
from interpreter_tools.cli._pages import all_pages

from .command import ENVIRONMENT, call

_PAGES = json.loads(PAGES.read_text("utf-8"))


def test_pages_are_those_of_the_commands() -> None:
    """`python -m interpreter_tools.cli._pages` makes them anew."""
    made = json.loads(json.dumps(all_pages()))
    assert made == _PAGES
    assert PAGES.read_bytes().isascii()


@pytest.mark.parametrize("name", _PAGES)
@pytest.mark.parametrize("columns", [30, 80, 100])
def test_page_fits_the_terminal(name: str, columns: int) -> None:
    """But for examples and names; no word is lost, and none is broken."""
    page = _PAGES[name]
    body = "\n".join(lines(page, columns)).removesuffix(page["more"]).splitlines()
    entries = [entry for _, entries in page["panels"] for entry in entries]
    names = {f"  {each}" for each, _ in entries}
    long = [line for line in body if len(line) > columns and line not in names]
    assert all(len(line.split()) == 1 for line in long), long
    words = [*page["usage"].split(), *page["about"].split()]
    for title, entries in page["panels"]:
        words += f"{title}:".split() + [word for each, said in entries for word in f"{each} {said}".split()]
    assert "\n".join(body).split() == words


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), ""),
        (("help",), ""),
        (("-h",), ""),
        (("deps",), "deps"),
        (("help", "deps", "warm"), "deps warm"),
        (("run", "x.py", "--help"), "run"),
        (("run", "-c", "1", "--pids", "3", "-h"), "run"),
    ],
)
def test_page_that_is_asked_for(words: tuple[str, ...], name: str) -> None:
    """It is printed, whatever else is said."""
    done = call(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith(_PAGES[name]["usage"])


@pytest.mark.parametrize("words", [("frobnicate", "--help"), ("help", "frobnicate"), ("deps", "frobnicate", "-h")])
def test_command_that_is_not_there_has_no_page(words: tuple[str, ...]) -> None:
    """The error names it."""
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b'"frobnicate"' in done.stderr


def test_reader_that_leaves_is_no_error() -> None:
    """As `head` does."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "interpreter_tools.cli", "--help"]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, env=ENVIRONMENT, timeout=60)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
