"""The errors that a server answers with. Each wire renders them in its own words.

ServerError                 an answer other than success: its HTTP status, and when to come again
├── BadRequest       400    the request cannot be understood, or asks for what cannot be
├── Unauthorized     401    no key, or one that the server does not know
├── Forbidden        403    the key may not do this, or a page of another site asks
├── NotFound         404    the thing is not there, or belongs to another key
│   └── NoSuchSandbox
├── TooLarge         413    a body is larger than the server takes
├── Refused          429    the queue is full, or a quota is used up; come again later
└── Unavailable      503    the server stops, or the machine lacks something
"""

from __future__ import annotations

import errno
import math

from interpreter_tools._exceptions import (
    ContainerLost,
    ContextClosed,
    ContextDied,
    EngineClosed,
    FileRefused,
    InterpreterToolsError,
    MachineError,
    PoolTimeout,
    SessionBusy,
    SessionClosed,
    TooManySessions,
    UnknownContext,
    UnknownSession,
    UsageError,
)

_COME_AGAIN = 5.0  # seconds, where nothing better is known
_ANSWERS: tuple[tuple[tuple[type[InterpreterToolsError], ...], tuple[int, str, float | None]], ...] = (
    ((FileRefused,), (400, "file", None)),
    ((UnknownSession, SessionClosed, UnknownContext, ContextClosed), (404, "not_found", None)),
    ((TooManySessions,), (429, "sandboxes", _COME_AGAIN)),
    ((SessionBusy,), (409, "busy", None)),
    ((ContainerLost, ContextDied), (502, "lost", None)),
    ((PoolTimeout,), (503, "pool", _COME_AGAIN)),
    ((MachineError, EngineClosed), (503, "machine", _COME_AGAIN)),
    ((UsageError,), (400, "bad_request", None)),
)
"""The status, the word for metrics, and the seconds after which to come again; the first that fits."""
_OTHERWISE = (500, "error", None)
_FILE_STATUS = {errno.ENOENT: 404, errno.ENOSPC: 507, errno.EDQUOT: 507, errno.EACCES: 403, errno.EPERM: 403}


class ServerError(InterpreterToolsError):
    """An answer other than success.

    Attributes:
        status: the HTTP status.
        reason: one word for metrics, such as ``"queue"`` or ``"quota_runs"``.
        retry_after: seconds after which the request may succeed; None when it will not.
    """

    status = 500
    reason = "error"

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status or type(self).status
        self.reason = reason or type(self).reason
        self.retry_after = retry_after

    @property
    def text(self) -> str:
        """The message with its hint, in one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        headers: dict[str, str] = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in {401, 413}:
            headers["Connection"] = "close"  # a client that goes on sending would keep the server reading
        return headers


class BadRequest(ServerError):
    """The request cannot be understood, or asks for what cannot be."""

    status = 400
    reason = "bad_request"


class Unauthorized(ServerError):
    """There is no key, or one that the server does not know."""

    status = 401
    reason = "unauthorized"


class Forbidden(ServerError):
    """The key may not do this, or a page of another site asks."""

    status = 403
    reason = "forbidden"


class NotFound(ServerError):
    """The thing is not there, or belongs to another key."""

    status = 404
    reason = "not_found"


class NoSuchSandbox(NotFound):
    """There is no such sandbox, it has ended, or it belongs to another key.

    Attributes:
        sandbox_id: the id that was asked for.
    """

    def __init__(self, sandbox_id: str) -> None:
        super().__init__(f"there is no sandbox {sandbox_id[:80]!r}", hint="it has ended: make another")
        self.sandbox_id = sandbox_id


class TooLarge(ServerError):
    """A body is larger than the server takes."""

    status = 413
    reason = "too_large"


class Refused(ServerError):
    """The queue is full, or a quota is used up."""

    status = 429
    reason = "queue"


class Unavailable(ServerError):
    """The server stops, or the machine lacks something."""

    status = 503
    reason = "unavailable"


def as_server_error(error: InterpreterToolsError) -> ServerError:
    """Return the answer to an error of the library."""
    if isinstance(error, ServerError):
        return error
    status, reason, retry_after = next((answer for kinds, answer in _ANSWERS if isinstance(error, kinds)), _OTHERWISE)
    if isinstance(error, FileRefused):
        status = _FILE_STATUS.get(error.errno or 0, status)
    return ServerError(error.message, status=status, reason=reason, retry_after=retry_after, hint=error.hint)
