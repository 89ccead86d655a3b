"""What was typed, kept from one shell to the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

if TYPE_CHECKING:
    from collections.abc import Mapping


def history_file(environ: Mapping[str, str]) -> Path:
    """Where it is: in the user's state directory.

    Args:
        environ: may hold ``XDG_STATE_HOME``.
    """
    state = environ.get("XDG_STATE_HOME")
    directory = Path(state) if state else Path.home() / ".local" / "state"
    return directory / "interpreter-tools" / "shell_history"


def open_history(path: Path) -> History:
    """The history in a file that only its owner can read; one in memory where there can be no such file."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def search_history(history: History, text: str, *, most: int) -> list[str]:
    """The inputs that hold a text, in whatever case; the last ones, oldest first."""
    wanted = text.lower()
    found = [entry for entry in history.get_strings() if wanted in entry.lower()]
    return found[-most:]
