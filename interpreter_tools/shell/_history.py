"""The history of inputs, kept from one shell to the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

if TYPE_CHECKING:
    from collections.abc import Mapping


def history_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the history file, in the user's state directory.

    Args:
        environ: environment variables; ``XDG_STATE_HOME`` names the state directory.
    """
    state = environ.get("XDG_STATE_HOME")
    directory = Path(state) if state else Path.home() / ".local" / "state"
    return directory / "interpreter-tools" / "shell_history"


def open_history(path: Path) -> History:
    """Return the history in a file that only its owner can read, or in memory when the file cannot be made."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def search_history(history: History, text: str, *, most: int) -> list[str]:
    """Return the last inputs that contain a text, oldest first; upper and lower case are the same."""
    wanted = text.lower()
    found = [entry for entry in history.get_strings() if wanted in entry.lower()]
    return found[-most:]
