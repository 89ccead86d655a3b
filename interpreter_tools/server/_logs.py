"""Logs of the server: what ran, for whom, how it ended and how long it took; neither code nor data nor keys."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

import msgspec

from interpreter_tools._text import harmless, one_line

LogForm: TypeAlias = Literal["text", "json", "none"]
_encode = msgspec.json.Encoder(enc_hook=str).encode


class _Fields(logging.Formatter):
    """Writes an event as words ``name=value``, or as a line of JSON."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of an event."""
        fields = cast("dict[str, object]", getattr(record, "fields", {}))
        message = one_line(record.getMessage())
        if record.exc_info:
            fields = {**fields, "error": self.formatException(record.exc_info)}
        at = datetime.fromtimestamp(record.created, UTC)
        if self._as_json:
            event = {"time": at, "level": record.levelname.lower(), "event": message, **fields}
            return _encode(event).decode()
        words = " ".join(f"{name}={_shown(value)}" for name, value in fields.items() if name != "ended_at")
        return harmless(f"{at:%H:%M:%S} {record.levelname.lower()} {message} {words}".rstrip())


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def log_to_stderr(form: LogForm) -> None:
    """Write what happens to stderr: runs, and what went wrong in the engine."""
    if form == "none":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Fields(as_json=form == "json"))
    root = logging.getLogger("interpreter_tools")
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("interpreter_tools.server").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addHandler(handler)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
