"""Guessing a program's language."""

from __future__ import annotations

import pytest

from interpreter_tools import ConfigurationError
from interpreter_tools.cli._language import guess_language, keeps_name


@pytest.mark.parametrize(
    ("name", "code", "language"),
    [
        ("main.py", b"", "python"),
        ("MAIN.PY", b"", "python"),
        ("a.b.mjs", b"", "javascript"),
        ("x.ts", b"#!/usr/bin/env python3\n", "typescript"),
        ("x.sh", b"echo", "shell"),
        ("x.sh", b"#!/bin/bash\necho", "bash"),
        ("x.sh", b"#!/usr/bin/env -S bash -e\n", "bash"),
        (None, b"#!/usr/bin/env node\n", "javascript"),
        (None, b"#!/usr/local/bin/python3.12 -u\n", "python"),
        (None, b"#!/usr/bin/env -S A=1 node --no-warnings\n", "javascript"),
        (None, b"#!/usr/bin/env runghc\n", "haskell"),
        (None, b"print(1)", "python"),
        ("script", b"#! /bin/sh\n", "shell"),
        (None, b"", "python"),
    ],
)
def test_suffix_then_first_line_then_python(name: str | None, code: bytes, language: str):
    """A shell's suffix is the exception: the first line tells which shell."""
    assert guess_language(name, code) == language


def test_unknown_suffix_is_refused():
    """It would hardly be Python."""
    with pytest.raises(ConfigurationError, match="--language"):
        guess_language("main.cob", b"print(1)")


def test_unknown_interpreter_is_refused():
    """The same."""
    for name in ("script", None):
        with pytest.raises(ConfigurationError, match="'rexx' is named in the first line"):
            guess_language(name, b"#!/usr/bin/rexx\nprint 1")


def test_unknown_suffix_with_a_known_first_line_is_taken():
    """As the kernel would."""
    assert guess_language("deploy.in", b"#!/bin/sh\n") == "shell"


@pytest.mark.parametrize(
    ("name", "language", "keeps"),
    [
        ("a.py", "python", True),
        ("a.sh", "shell", True),
        ("a.sh", "bash", True),
        ("a.bash", "bash", True),
        ("run", "bash", True),
        ("a.mjs", "javascript", True),
        ("a.sh", "python", False),
        ("run", "javascript", False),
    ],
)
def test_program_keeps_the_name_that_its_interpreter_takes(name: str, language: str, keeps: bool):
    """Its messages then name the file of the caller."""
    assert keeps_name(name, language) is keeps
