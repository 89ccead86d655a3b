"""The paths of E2B's sandboxes: there the home of the user is ``/home/user``, here it is the workspace."""

from __future__ import annotations

import posixpath

from interpreter_tools._config.paths import WORKSPACE

HOME = "/home/user"
USERS = frozenset({"", "user", "sandbox"})
"""The names that stand for the one user of a sandbox."""


def to_inside(path: str, *, base: str = HOME) -> str:
    """Return a path of a client as it is in the sandbox.

    Args:
        path: absolute, relative to ``base``, or below ``~``.
        base: where a relative path begins.
    """
    if path == "~" or path.startswith("~/"):
        path = HOME + path[1:]
    path = posixpath.normpath(posixpath.join(base, path or "."))
    if path.startswith("//"):
        path = path[1:]
    if path == HOME or path.startswith(f"{HOME}/"):
        return WORKSPACE + path.removeprefix(HOME)
    return path


def to_outside(path: str) -> str:
    """Return a path of the sandbox as a client knows it."""
    if path == WORKSPACE or path.startswith(f"{WORKSPACE}/"):
        return HOME + path.removeprefix(WORKSPACE)
    return path
