"""Connect, the protocol of E2B's calls into a sandbox: messages as JSON, streams of them in frames. No I/O.

https://connectrpc.com/docs/protocol
"""

from __future__ import annotations

import struct
from typing import Literal, TypeAlias

import msgspec

Code: TypeAlias = Literal[
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "unimplemented",
    "internal",
    "unavailable",
    "unauthenticated",
]

STATUS: dict[Code, int] = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "unauthenticated": 401,
}
"""The HTTP status of an answer to a call that is no stream."""

UNARY = "application/json"
STREAM = "application/connect+json"

_HEAD = struct.Struct(">BI")
_COMPRESSED, _END = 1, 2


class ConnectError(Exception):
    """The answer to a call that fails.

    Attributes:
        code: why, in the words of Connect.
        message: the same for people.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message

    def encode(self) -> bytes:
        """Return the error as the body of an answer."""
        return msgspec.json.encode({"code": self.code, "message": self.message})


def frame(message: object) -> bytes:
    """Return a message of a stream."""
    body = msgspec.json.encode(message)
    return _HEAD.pack(0, len(body)) + body


def end_frame(error: ConnectError | None = None) -> bytes:
    """Return the frame that ends a stream."""
    said = {} if error is None else {"error": {"code": error.code, "message": error.message}}
    body = msgspec.json.encode(said)
    return _HEAD.pack(_END, len(body)) + body


class FrameReader:
    """The messages of a stream, from its bytes in pieces of any size.

    Args:
        limit: bytes of one message.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._received = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and return the messages that are whole now.

        Raises:
            ConnectError: a frame is too large, or compressed.
        """
        self._received += data
        found: list[bytes] = []
        start = 0
        while len(self._received) - start >= _HEAD.size:
            flags, length = _HEAD.unpack_from(self._received, start)
            if flags & _COMPRESSED:
                raise ConnectError("unimplemented", "compressed messages are not understood: send them as they are")
            if length > self._limit:
                raise ConnectError("resource_exhausted", f"a message has {length} bytes, more than {self._limit}")
            end = start + _HEAD.size + length
            if len(self._received) < end:
                break
            if not flags & _END:
                found.append(bytes(self._received[start + _HEAD.size : end]))
            start = end
        del self._received[:start]
        return found

    def end(self) -> None:
        """Note that no more bytes come.

        Raises:
            ConnectError: the last message is cut.
        """
        if self._received:
            raise ConnectError("invalid_argument", "the stream ends in the middle of a message")
