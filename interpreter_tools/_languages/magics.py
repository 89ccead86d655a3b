"""The packages that a cell installs by a line of its own, such as ``%pip install six``.

They are read from the text of the cell, which its author wrote, and never asked for by the program: a program could say
by the names of packages what it has found in the sandbox, and an installer would carry that to an index.
"""

from __future__ import annotations

import re
import shlex

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages.manifests import Declared
from interpreter_tools._languages.specifiers import merge, normalise

_LINES = {
    "pip": re.compile(
        r"^[ \t]*[%!][ \t]*(?:(?:\{sys\.executable\}|python3?)[ \t]+-m[ \t]+)?pip3?[ \t]+install[ \t]+(.+)$",
        re.MULTILINE,
    )
}
_IGNORED = frozenset({
    "-q", "-qq", "-qqq", "--quiet", "-U", "--upgrade", "--user", "--no-cache-dir", "--no-input", "--progress-bar=off",
    "--disable-pip-version-check", "--root-user-action=ignore", "--break-system-packages",
})  # fmt: skip


def installs(kind: str, code: str) -> bool:
    """Return whether a cell has a line that installs packages of a kind."""
    lines = _LINES.get(kind)
    return lines is not None and "install" in code and lines.search(code) is not None


def read_installs(kind: str, code: str, *, hosts: frozenset[str]) -> Declared:
    """Return what the lines of a cell install. A line that cannot be used is told of in a note.

    Args:
        kind: of the packages.
        code: the cell.
        hosts: those that URLs may name.
    """
    packages: list[str] = []
    notes: list[str] = []
    for line in _LINES[kind].finditer(code) if kind in _LINES else ():
        try:
            words = [word for word in shlex.split(line[1], comments=True) if word not in _IGNORED]
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
