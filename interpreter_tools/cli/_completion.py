"""``interpreter-tools completion``: the script by which a shell completes this command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

from cyclopts.completion import ShellDetectionError, detect_shell

if TYPE_CHECKING:
    from cyclopts import App

Shell: TypeAlias = Literal["bash", "zsh", "fish"]


def run_completion(app: App, shell: Shell | None, *, install: bool) -> int:
    """Print the script, or put it where the shell looks, and return the command's status.

    Args:
        app: what is to be completed.
        shell: for which shell; None means the one that has started us.
        install: put it where the shell looks, and have its start-up file read it where it would not by itself.
    """
    try:
        chosen = shell or detect_shell()
    except ShellDetectionError:
        sys.stderr.write("interpreter-tools completion: which shell is this? Name it: bash, zsh or fish\n")
        return 2
    if not install:
        sys.stdout.write(app.generate_completion(shell=chosen))
        return 0
    try:
        path = app.install_completion(shell=chosen)
    except OSError as error:
        sys.stderr.write(f"interpreter-tools completion: {error.filename or ''}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"installed {path}\nstart a new {chosen} to use it\n")
    return 0
