"""The messages of Jupyter's kernels as they stand in websockets: three framings, without I/O.

- Text: a JSON object with ``channel``.
- Bytes, without a subprotocol: the number of parts and the offset of each (u32, big endian), then the JSON object and
  its buffers.
- Bytes, with the subprotocol ``v1.kernel.websocket.jupyter.org``: the number of offsets and the offsets (u64, little
  endian), then the channel, header, parent header, metadata, content and buffers.

Buffers are dropped: no kernel of ours takes any.
"""

from __future__ import annotations

import itertools
import secrets
import struct
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

V1 = "v1.kernel.websocket.jupyter.org"
"""The name of the subprotocol."""

PROTOCOL_VERSION = "5.3"

Channel: TypeAlias = Literal["shell", "control", "stdin", "iopub"]

_CHANNELS: dict[str, Channel] = {"shell": "shell", "control": "control", "stdin": "stdin"}
_MOST_HEADER = 8192  # bytes of a header, which every reply repeats
_MOST_PARTS = 1000
_V1_PARTS = 4  # header, parent header, metadata and content
_NOTHING = msgspec.Raw(b"{}")
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class MessageError(ValueError):
    """Bytes that are no message of Jupyter's."""


class Header(msgspec.Struct, frozen=True):
    """The header of a request.

    Attributes:
        msg_id: its id.
        msg_type: what it asks for.
        session: the id of the client.
    """

    msg_id: str
    msg_type: str
    session: str = ""


class Request(msgspec.Struct, frozen=True):
    """A message of a client.

    Attributes:
        channel: the channel that it came on.
        header: its header.
        parent: the same as JSON, for the parent headers of replies.
        content: its content, as JSON.
    """

    channel: Channel
    header: Header
    parent: bytes
    content: bytes


class _Plain(msgspec.Struct):
    header: msgspec.Raw
    channel: str | None = None
    content: msgspec.Raw = _NOTHING


_PLAIN = msgspec.json.Decoder(_Plain)
_HEADER = msgspec.json.Decoder(Header)


def read_text(text: str) -> Request:
    """Return the message of a text frame.

    Raises:
        MessageError: it is none.
    """
    return _read_plain(text)


def read_bytes(data: bytes, *, is_v1: bool) -> Request:
    """Return the message of a frame of bytes.

    Args:
        data: the frame.
        is_v1: True when the websocket has the subprotocol.

    Raises:
        MessageError: it is none.
    """
    return _read_v1(data) if is_v1 else _read_plain(_first_part(data))


def _first_part(data: bytes) -> bytes:
    """Return the JSON of a frame without a subprotocol."""
    if len(data) < 4:
        raise MessageError("a frame has less than 4 bytes")
    (count,) = struct.unpack_from(">I", data)
    if not 0 < count <= _MOST_PARTS or len(data) < 4 * (count + 1):
        raise MessageError(f"a frame says that it has {count} parts")
    offsets = (*struct.unpack_from(f">{count}I", data, 4), len(data))
    if offsets[0] < 4 * (count + 1) or any(end < start for start, end in itertools.pairwise(offsets)):
        raise MessageError("the offsets of a frame do not rise")
    return data[offsets[0] : offsets[1]]


def _read_plain(data: str | bytes) -> Request:
    try:
        plain = _PLAIN.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(f"a message cannot be read: {error}") from None
    return _request(plain.channel or "shell", bytes(plain.header), bytes(plain.content))


def _read_v1(data: bytes) -> Request:
    if len(data) < 8:
        raise MessageError("a frame has less than 8 bytes")
    (count,) = struct.unpack_from("<Q", data)
    if not _V1_PARTS + 2 <= count <= _MOST_PARTS or len(data) < 8 * (count + 1):
        raise MessageError(f"a frame says that it has {count} offsets")
    offsets: tuple[int, ...] = struct.unpack_from(f"<{count}Q", data, 8)
    if offsets[0] < 8 * (count + 1) or any(end < start for start, end in itertools.pairwise((*offsets, len(data)))):
        raise MessageError("the offsets of a frame do not rise")
    parts = [data[start:end] for start, end in itertools.pairwise(offsets)]
    return _request(parts[0].decode("ascii", "replace"), parts[1], parts[4])


def _request(name: str, header: bytes, content: bytes) -> Request:
    channel = _CHANNELS.get(name)
    if channel is None:
        raise MessageError(f"{name[:40]!r} is not a channel that takes messages")
    if len(header) > _MOST_HEADER:
        raise MessageError(f"a header is larger than {_MOST_HEADER} bytes")
    try:
        return Request(channel, _HEADER.decode(header), header, content)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(f"a header cannot be read: {error}") from None


class Reply:
    """A message of a kernel, in the framings that clients take. Each is made once, for all clients.

    Attributes:
        channel: the channel that it goes on.
        msg_type: what it is.
        size: about how many bytes it has.
    """

    def __init__(self, channel: Channel, msg_type: str, header: bytes, parent: bytes, content: bytes) -> None:
        self.channel: Channel = channel
        self.msg_type = msg_type
        self._parts = (header, parent, b"{}", content)
        self.size = sum(map(len, self._parts))
        self._text: str | None = None
        self._v1: bytes | None = None

    def __repr__(self) -> str:
        return f"<Reply {self.msg_type} [{self.channel}, {self.size} bytes]>"

    def text(self) -> str:
        """Return the message as a text frame."""
        if self._text is None:
            header, parent, metadata, content = self._parts
            named = {"header": header, "parent_header": parent, "metadata": metadata, "content": content}
            words = {"channel": self.channel, "msg_type": self.msg_type, "buffers": ()}
            identity = msgspec.json.decode(header, type=Header)
            message = {**words, "msg_id": identity.msg_id, **{key: msgspec.Raw(part) for key, part in named.items()}}
            self._text = _ENCODER.encode(message).decode()
        return self._text

    def v1(self) -> bytes:
        """Return the message as a frame of the subprotocol."""
        if self._v1 is None:
            parts = (self.channel.encode(), *self._parts)
            first = 8 * (len(parts) + 2)
            offsets = list(itertools.accumulate(map(len, parts), initial=first))
            self._v1 = struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)
        return self._v1


class Sender:
    """Makes the messages of one kernel, each with an id of its own."""

    def __init__(self) -> None:
        self._session = secrets.token_hex(16)
        self._numbers = itertools.count(1)

    def make(self, channel: Channel, msg_type: str, content: object, parent: bytes = b"{}") -> Reply:
        """Return a message.

        Args:
            channel: the channel that it goes on.
            msg_type: what it is.
            content: what it says; msgspec encodes it.
            parent: the header of the request that it answers, as JSON.
        """
        header = {
            "msg_id": f"{self._session}_{next(self._numbers)}",
            "msg_type": msg_type,
            "username": "kernel",
            "session": self._session,
            "date": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "version": PROTOCOL_VERSION,
        }
        return Reply(channel, msg_type, _ENCODER.encode(header), parent, _ENCODER.encode(content))
