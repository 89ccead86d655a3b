"""E2B's files: contents up and down, streamed, by a token or a signed URL."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools.server._bodies import upload
from interpreter_tools.server._errors import BadRequest, ServerError, TooLarge
from interpreter_tools.server._multipart import multipart_parts
from interpreter_tools.server.wires.e2b.calls import basic_user, check_user_name
from interpreter_tools.server.wires.e2b.connect import STATUS, ConnectError
from interpreter_tools.server.wires.e2b.finding import CODE_PORT, host_of, sandbox_of, signed_sandbox
from interpreter_tools.server.wires.e2b.paths import to_inside, to_outside
from interpreter_tools.server.wires.e2b.streams import StreamedResponse, patient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._commands.processes import Entry
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._sandbox import Sandbox
    from interpreter_tools.server.wires.e2b.state import State, States
    from interpreter_tools.server.wires.e2b.streams import Sink

_METADATA = "x-metadata-"
_NAME = re.compile(r"[a-z0-9_.-]{1,200}")
_LARGE = 4 << 20  # bytes from which an upload is worth the turn of its session, in which it is faster
_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 1 << 18
_STATUS = {
    errno.ENOENT: 404,
    errno.ENOSPC: 507,
    errno.EDQUOT: 507,
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.EROFS: 403,
}


class Files:
    """The endpoints of files, and of the health of a sandbox.

    Args:
        core: what all wires share.
        states: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, states: States) -> None:
        self._core = core
        self._states = states

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/files", self.read, methods=["GET"]),
            Route("/files", patient(self.write), methods=["POST"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/envs", self.environment, methods=["GET"]),
        ]

    def _sandbox(self, request: Request) -> Sandbox:
        _check_user(request)
        signed = signed_sandbox(self._core, self._states, request)
        return signed if signed is not None else sandbox_of(self._core, self._states, request)

    async def health(self, request: Request) -> Response:
        """Tell that a sandbox runs."""
        sandbox_of(self._core, self._states, request)
        named = host_of(request.scope)
        port = str(named[0]) if named is not None else request.headers.get("e2b-sandbox-port", "")
        return PlainTextResponse("OK") if port == str(CODE_PORT) else Response(status_code=204)

    async def environment(self, request: Request) -> Response:
        """Tell the variables of a sandbox."""
        return JSONResponse(dict(sandbox_of(self._core, self._states, request).environment))

    # -- down

    async def read(self, request: Request) -> Response:
        """Send a file."""
        sandbox = self._sandbox(request)
        shown = request.query_params.get("path", "")
        path = to_inside(shown)
        pieces = self._states.of(sandbox).processes.read(path)
        zipped = "gzip" in request.headers.get("accept-encoding", "").lower() and "gzip" in request.headers.get(
            "accept-encoding", ""
        ).replace(" ", "").split(",")
        asks_only_gzip = zipped and request.headers.get("accept-encoding", "").strip().lower() == "gzip"

        async def write(sink: Sink) -> None:
            packer = zlib.compressobj(wbits=_GZIP) if asks_only_gzip else None
            async with contextlib.aclosing(pieces):
                try:
                    async for piece in pieces:
                        sandbox.owner.use_bytes(len(piece))
                        data = piece if packer is None else packer.compress(piece)
                        if data:
                            await sink.send(data)
                except OSError as error:
                    if sink.has_begun:
                        raise  # the client sees an answer that is cut
                    raise _refusal(error, shown) from None
            if packer is not None:
                await sink.send(packer.flush())

        name = quote(posixpath.basename(path))
        headers = {"content-disposition": f"inline; filename*=utf-8''{name}"}
        if asks_only_gzip:
            headers["content-encoding"] = "gzip"
        return StreamedResponse(write, media_type="application/octet-stream", headers=headers)

    # -- up

    async def write(self, request: Request) -> Response:
        """Take one file, or the files of a form."""
        sandbox = self._sandbox(request)
        state = self._states.of(sandbox)
        metadata = _metadata(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            written = await self._write_form(request, sandbox, state)
        else:
            shown = request.query_params.get("path", "")
            if not shown:
                raise BadRequest("path is missing")
            async with contextlib.aclosing(upload(self._core, sandbox.owner, request)) as body:
                pieces = self._unzipped(body, request.headers.get("content-encoding", ""))
                written = [await self._write(sandbox, state, shown, pieces, _length(request))]
        for entry in written:
            state.set_metadata(entry.identity, metadata)
        return JSONResponse([_told(entry, metadata) for entry in written])

    async def _write_form(self, request: Request, sandbox: Sandbox, state: State) -> list[Entry]:
        written: list[Entry] = []
        only = request.query_params.get("path", "")
        async with contextlib.aclosing(multipart_parts(self._core, sandbox.owner, request)) as parts:
            async for part in parts:
                if part.name != "file":
                    continue
                if only and written:
                    raise BadRequest("the form has several files, but the URL has one path: leave the path out")
                shown = only or unquote(part.filename or "")
                if not shown:
                    raise BadRequest("a file of the form has no name")
                written.append(await self._write(sandbox, state, shown, part.pieces, _length(request)))
        if not written:
            raise BadRequest("the form has no field named file")
        return written

    async def _write(
        self, sandbox: Sandbox, state: State, shown: str, pieces: AsyncIterator[bytes], length: int
    ) -> Entry:
        path = to_inside(shown)
        try:
            if length >= _LARGE and path.startswith(f"{WORKSPACE}/"):
                await sandbox.session.write_file(path, pieces)
                return await state.processes.entry(path)
            return await state.processes.write(path, pieces)
        except OSError as error:
            raise _refusal(error, shown) from None

    async def _unzipped(self, body: AsyncGenerator[bytes], encoding: str) -> AsyncGenerator[bytes]:
        """Yield the body as it was before the client compressed it."""
        if not encoding or encoding == "identity":
            async for piece in body:
                yield piece
            return
        if encoding.lower() != "gzip":
            raise BadRequest(f"Content-Encoding {encoding[:40]!r} is not understood: send gzip, or the file as it is")
        unpacker, count = zlib.decompressobj(wbits=_GZIP), 0
        async for piece in body:
            rest = piece
            while rest:
                try:
                    data = unpacker.decompress(rest, _PIECE)
                except zlib.error as error:
                    raise BadRequest(f"the body is not gzip: {error}") from None
                rest = unpacker.unconsumed_tail
                count += len(data)
                if count > self._core.config.upload_limit:
                    raise TooLarge(f"the file is larger than {self._core.config.upload_limit} bytes")
                if data:
                    yield data
        if not unpacker.eof:
            raise BadRequest("the body is not gzip, or is cut")


def _check_user(request: Request) -> None:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    names = [request.query_params.get("username", "")]
    if scheme.lower() == "basic":
        names.append(basic_user(rest))
    for name in names:
        try:
            check_user_name(name)
        except ConnectError as error:
            raise ServerError(error.message, status=STATUS[error.code], reason="user") from None


def _length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _metadata(request: Request) -> dict[str, str]:
    """Return what a client wants to know its files by, from the headers.

    Raises:
        BadRequest: a name or a value cannot be.
    """
    found = {
        name.removeprefix(_METADATA): value for name, value in request.headers.items() if name.startswith(_METADATA)
    }
    for name, value in found.items():
        if not _NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise BadRequest(
                f"metadata {name[:80]!r} is not a name of letters, digits, _, . and -, or its value is odd"
            )
    return found


def _told(entry: Entry, metadata: dict[str, str]) -> dict[str, object]:
    kind = {"file": "file", "directory": "dir"}.get(entry.type, "file")
    told: dict[str, object] = {"name": entry.name, "type": kind, "path": to_outside(entry.path)}
    return told | ({"metadata": metadata} if metadata else {})


def _refusal(error: OSError, path: str) -> ServerError:
    """Return the answer to a file that cannot be read or written."""
    number = error.errno or 0
    status = _STATUS.get(number, 400)
    message = {
        errno.ENOENT: f"path '{path[:400]}' does not exist",
        errno.EISDIR: f"path '{path[:400]}' is a directory",
        errno.ENOSPC: "not enough disk space available",
    }.get(number, f"path '{path[:400]}': {os.strerror(number) if number else error}")
    return ServerError(message, status=status, reason="file")
