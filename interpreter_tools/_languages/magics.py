"""The packages that a program installs by its own text: by a line such as ``%pip install six``, or by a call of pip.

They are read from the text, which its author wrote, and never asked for by the program: a program could say by the
names of packages what it has found in the sandbox, and an installer would carry that to an index.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages.manifests import Declared
from interpreter_tools._languages.specifiers import merge, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIP = r"(?:(?:\{sys\.executable\}|python3?)[ \t]+-m[ \t]+)?(?:uv[ \t]+)?pip3?[ \t]+install[ \t]+"
NOTEBOOK_LINE = re.compile(rf"^[ \t]*[%!][ \t]*{_PIP}(.+)$", re.MULTILINE)
"""A line of a notebook that installs packages of Python."""

_WORD = r"""(?:"[^"'\s{}]*"|'[^"'\s{}]*')"""
_COMMAND = re.compile(  # in a text that a call gives to a shell
    rf"""\b(?:system|popen|run|call|check_call|check_output|getoutput|Popen)\(\s*f?(["']){_PIP}([^"'\n]+)\1"""
)
_LIST = re.compile(  # the words of a command, each a text
    rf"""[\[(]\s*(?:sys\.executable\s*,\s*|["'][\w/.]*python3?["']\s*,\s*|["']uv["']\s*,\s*)?(?:["']-m["']\s*,\s*)?"""
    rf"""["']pip3?["']\s*,\s*["']install["']\s*,\s*({_WORD}(?:\s*,\s*{_WORD})*)\s*,?\s*[\])]"""
)
_IGNORED = frozenset({
    "-q", "-qq", "-qqq", "--quiet", "-U", "--upgrade", "--user", "--no-cache-dir", "--no-input", "--progress-bar=off",
    "--disable-pip-version-check", "--root-user-action=ignore", "--break-system-packages", "--system",
})  # fmt: skip


def installs(kind: str, code: str) -> bool:
    """Return whether a cell has a line that installs packages of a kind."""
    return kind == "pip" and "install" in code and NOTEBOOK_LINE.search(code) is not None


def read_installs(kind: str, code: str, *, hosts: frozenset[str]) -> Declared:
    """Return what the lines of a cell install. A line that cannot be used is told of in a note.

    Args:
        kind: of the packages.
        code: the cell.
        hosts: those that URLs may name.
    """
    packages: list[str] = []
    notes: list[str] = []
    for line in NOTEBOOK_LINE.finditer(code) if kind == "pip" else ():
        try:
            words = _words(line[1])
            options = [word for word in words if word.startswith("-")]
            if options:
                notes.append(f"{line[0].strip()!r} is not done: {options[0]!r} is not read; name the packages alone")
            else:
                packages += normalise("pip", words, field=line[0].strip(), hosts=hosts)
        except ConfigurationError as error:
            notes.append(f"{line[0].strip()!r} is not done: {error.message}")
        except ValueError as error:  # of quotes that do not end
            notes.append(f"{line[0].strip()!r} is not done: {error}")
    return Declared(field="%pip install", packages=merge(packages), notes=tuple(notes))


def read_calls(kind: str, code: str) -> Declared:
    """Return what a program installs by calls of pip, as ``subprocess.run(["pip", "install", "six"])``.

    Only names that stand in the text count. A call with options that mean another place is left to fail by itself.

    Args:
        kind: of the packages.
        code: the program.
    """
    packages: list[str] = []
    for text in _called(code) if kind == "pip" and "install" in code else ():
        try:
            words = _words(text)
            if not any(word.startswith("-") for word in words):
                packages += normalise("pip", words)
        except (ConfigurationError, ValueError):  # no names of packages: the call itself will say so
            continue
    return Declared(field="pip install", packages=merge(packages))


def _called(code: str) -> Iterator[str]:
    yield from (call[2].split("&&")[0].split(";")[0] for call in _COMMAND.finditer(code))
    yield from (call[1].replace(",", " ") for call in _LIST.finditer(code))


def _words(text: str) -> list[str]:
    return [word for word in shlex.split(text, comments=True) if word not in _IGNORED]
