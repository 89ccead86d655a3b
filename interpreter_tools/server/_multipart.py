"""Forms with files (``multipart/form-data``), streamed: no part is held in memory or in a file of this machine."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from interpreter_tools.server._bodies import upload
from interpreter_tools.server._errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from starlette.requests import Request

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner

_HEADERS_LIMIT = 16 << 10  # bytes of the headers of one part
_PARTS_LIMIT = 1000


class Part:
    """One part of a form.

    Attributes:
        name: the name of the field.
        filename: the name of the file; None for a plain field.
        headers: the headers of the part, in lower case.
    """

    def __init__(self, headers: Mapping[str, str], pieces: AsyncIterator[bytes]) -> None:
        _, options = parse_options_header(headers.get("content-disposition", "").encode("latin-1"))
        filename = options.get(b"filename")
        self.name = options.get(b"name", b"").decode("utf-8", "replace")
        self.filename = None if filename is None else filename.decode("utf-8", "replace")
        self.headers = headers
        self.pieces = pieces


async def multipart_parts(core: Core, owner: Owner, request: Request) -> AsyncGenerator[Part]:
    """Yield the parts of a form; read the ``pieces`` of each before the next, or they are skipped.

    Close it, or read it to its end: ``contextlib.aclosing``.

    Raises:
        BadRequest: the body is no such form, or ends too early.
        TooLarge: it is larger than ``ServerConfig.upload_limit``.
        Refused: the owner has used up the bytes of this hour.
    """
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest("the request is no form", hint="send multipart/form-data with a boundary")
    reader = _Reader(boundary)
    async with contextlib.aclosing(upload(core, owner, request)) as body:
        count = 0
        while (headers := await reader.next_part(body)) is not None:
            count += 1
            if count > _PARTS_LIMIT:
                raise BadRequest(f"the form has more than {_PARTS_LIMIT} parts")
            pieces = reader.pieces(body)
            yield Part(headers, pieces)
            async for _ in pieces:
                pass  # the rest of a part that nobody wanted


class _Reader:
    """The findings of the parser, in order: the headers of a part, pieces of its data as bytes, None for its end."""

    def __init__(self, boundary: bytes) -> None:
        self._found: deque[dict[str, str] | bytes | None] = deque()
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._add(self._name, data[start:end]),
                    "on_header_value": lambda data, start, end: self._add(self._value, data[start:end]),
                    "on_header_end": self._header,
                    "on_headers_finished": lambda: self._found.append(self._headers),
                    "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
                    "on_part_end": lambda: self._found.append(None),
                    "on_end": self._end,
                },
            )
        except MultipartParseError as error:
            raise BadRequest(f"the form cannot be read: {error}") from None

    def _begin(self) -> None:
        self._headers = {}

    def _add(self, text: bytearray, piece: bytes) -> None:
        text += piece
        if len(text) > _HEADERS_LIMIT:
            raise BadRequest(f"a part of the form has a header of more than {_HEADERS_LIMIT} bytes")

    def _header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        self._ended = True

    async def _more(self, body: AsyncIterator[bytes]) -> None:
        """Parse one more piece of the body."""
        try:
            piece = await anext(body, None)
            if piece is None:
                raise BadRequest("the form ends in the middle")
            self._parser.write(piece)
        except MultipartParseError as error:
            raise BadRequest(f"the form cannot be read: {error}") from None

    async def next_part(self, body: AsyncIterator[bytes]) -> dict[str, str] | None:
        """Return the headers of the next part; None after the last one."""
        while not self._found:
            if self._ended:
                return None
            await self._more(body)
        headers = self._found.popleft()
        assert isinstance(headers, dict)
        return headers

    async def pieces(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Yield the data of the part whose headers were just returned."""
        while True:
            while not self._found:
                await self._more(body)
            piece = self._found.popleft()
            if piece is None:
                return
            assert isinstance(piece, bytes)
            yield piece
