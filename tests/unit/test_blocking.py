"""The blocking face has what the asynchronous one has."""

from __future__ import annotations

from interpreter_tools import Context as AsyncContext
from interpreter_tools import ExecutionEngine, blocking
from interpreter_tools._session.session import Session as AsyncSession


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_method_is_there() -> None:
    """But for those that need a loop."""
    assert _public(ExecutionEngine) - _public(blocking.Engine) <= {"aclose", "get_session"}
    own = {"id", "run", "stream", "info", "context", "write_file", "read_file", "read_file_binary", "read_file_base64"}
    assert _public(AsyncContext) - _public(blocking.Context) <= {
        *("aclose", "start", "lost"),
        *("busy", "language", "session_id", "state"),  # in `info`
    }
    assert own | {name for name in _public(AsyncSession) if name.startswith(("copy_", "list_", "add_"))} <= _public(
        blocking.Session
    )
