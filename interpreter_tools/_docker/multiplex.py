"""Docker's stream headers, stripped. Sans-IO: bytes in, bytes out.

On an attach stream without a terminal Docker puts 8 bytes before each piece: the stream (1 is stdout), three zeroes,
and the piece's length, big-endian. Our supervisor frames its own stdout, so pieces mean nothing to us.
"""

from __future__ import annotations

from interpreter_tools._exceptions import ProtocolError

_HEADER_SIZE = 8
_STDOUT = b"\x01\0\0\0"


class Demultiplexer:
    """The stdout of one attach stream."""

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""  # the beginning of a header that is not complete yet
        self._left = 0  # bytes of the current piece still to come

    def __repr__(self) -> str:
        return f"<Demultiplexer [{self._left} bytes of a piece, {len(self._header)} of a header]>"

    def feed(self, data: bytes | memoryview) -> list[bytes | memoryview]:
        """Return the payload in ``data`` as views, without copying. The views are valid while ``data`` is.

        Raises:
            ProtocolError: a piece is not of stdout, or the bytes are no header.
        """
        size = len(data)
        if size <= self._left:  # the usual case for bulk output: no header in it
            self._left -= size
            return [data] if size else []
        payload: list[bytes | memoryview] = []
        view = memoryview(data)
        position = 0
        while position < size:
            if self._left:
                end = min(position + self._left, size)
                payload.append(view[position:end])
                self._left -= end - position
                position = end
                continue
            end = position + _HEADER_SIZE - len(self._header)
            header = self._header + data[position:end]
            position = end
            if len(header) < _HEADER_SIZE:
                self._header = header
                break
            self._header = b""
            if header[:4] != _STDOUT:
                raise ProtocolError(f"the attach stream holds a piece that is not of stdout: header {header.hex()}")
            self._left = int.from_bytes(header[4:], "big")
        return payload
