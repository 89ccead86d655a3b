"""Files of a sandbox."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, ServerError, TooLarge
from interpreter_tools.server.wires.opensandbox._boxes import EXECD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator

    from starlette.routing import BaseRoute
    from starlette.types import Message

    from interpreter_tools._commands.processes import Entry
    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.opensandbox._boxes import Box, Boxes

T = TypeVar("T")

_WORKSPACE = "/workspace"
_STATUS = {errno.ENOENT: 404, errno.ENOSPC: 507, errno.EDQUOT: 507, errno.EACCES: 403, errno.EPERM: 403}
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_MOST_FILES = 1000  # in one upload
_MOST_ENTRIES = 10_000
_MOST_REPLACED = 16 << 20  # bytes of a file whose text is replaced
_MOST_OUTPUT = 16 << 20  # bytes of a list of files
_DEEPEST = 64
_PIECE = 1 << 18


class _Permission(msgspec.Struct):
    mode: int = 0
    owner: str | None = None
    group: str | None = None


class _Metadata(_Permission):
    path: str = ""


class _Move(msgspec.Struct):
    src: str
    dest: str


class _Replace(msgspec.Struct):
    old: str
    new: str


class Files:
    """The endpoints of files and directories.

    Args:
        core: what all wires share.
        boxes: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, boxes: Boxes) -> None:
        self._core = core
        self._boxes = boxes

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        files, directories = f"{EXECD}/files", f"{EXECD}/directories"
        return [
            Route(f"{files}/info", self.tell, methods=["GET"]),
            Route(files, self.remove, methods=["DELETE"]),
            Route(f"{files}/permissions", self.permit, methods=["POST"]),
            Route(f"{files}/mv", self.move, methods=["POST"]),
            Route(f"{files}/search", self.search, methods=["GET"]),
            Route(f"{files}/replace", self.replace, methods=["POST"]),
            Route(f"{files}/upload", self.upload, methods=["POST"]),
            Route(f"{files}/download", self.download, methods=["GET"]),
            Route(directories, self.make, methods=["POST"]),
            Route(directories, self.remove, methods=["DELETE"]),
            Route(f"{directories}/list", self.list, methods=["GET"]),
        ]

    async def _body(self, request: Request, kind: type[T]) -> T:
        return await read_json(request, kind, limit=self._core.config.body_limit)

    async def tell(self, request: Request) -> Response:
        """Tell what is known of files."""
        box = self._boxes.find(request)
        paths = request.query_params.getlist("path")
        return JSONResponse({path: _told(await _of(box.processes.entry(_path(path)))) for path in paths})

    async def list(self, request: Request) -> Response:
        """List a directory, some levels deep."""
        box = self._boxes.find(request)
        depth = request.query_params.get("depth", "1")
        if not (depth.isascii() and depth.isdigit() and len(depth) < 6):
            raise BadRequest(f"depth: {depth[:20]!r} is not a number")
        path = _path(request.query_params.get("path", ""))
        entries = await _of(box.processes.entries(path, depth=min(int(depth), _DEEPEST)))
        return JSONResponse([_told(entry) for entry in entries[:_MOST_ENTRIES]])

    async def make(self, request: Request) -> Response:
        """Make directories; those that are there stay."""
        box = self._boxes.find(request)
        for name, permission in (await self._body(request, dict[str, _Permission])).items():
            path = _path(name)
            try:
                await _of(box.processes.make_directory(path))
            except ServerError as error:
                if error.reason != "exists":
                    raise
            await self._permit(box, path, permission)
        return Response()

    async def remove(self, request: Request) -> Response:
        """Remove files, or directories with what is in them; what is not there is no mistake."""
        box = self._boxes.find(request)
        for path in request.query_params.getlist("path"):
            try:
                await _of(box.processes.remove(_path(path), keep=_WORKSPACE))
            except ServerError as error:
                if error.status != 404:
                    raise
        return Response()

    async def move(self, request: Request) -> Response:
        """Rename files."""
        box = self._boxes.find(request)
        for each in await self._body(request, list[_Move]):
            await _of(box.processes.move(_path(each.src), _path(each.dest)))
        return Response()

    async def permit(self, request: Request) -> Response:
        """Change the permissions of files."""
        box = self._boxes.find(request)
        for path, permission in (await self._body(request, dict[str, _Permission])).items():
            await self._permit(box, _path(path), permission)
        return Response()

    async def _permit(self, box: Box, path: str, permission: _Permission) -> None:
        if not permission.mode and not permission.owner and not permission.group:
            return
        entry = await _of(box.processes.entry(path))
        for field, mine in (("owner", entry.owner), ("group", entry.group)):
            wanted: str | None = getattr(permission, field)
            if wanted and wanted != mine:
                raise BadRequest(f"{field}: {path!r} belongs to {mine!r}, the only one that a sandbox has")
        mode = str(permission.mode)
        if not re.fullmatch("[0-7]{1,4}", mode):
            raise BadRequest(f"mode: {mode[:20]} is not what chmod takes, such as 644")
        if permission.mode and entry.mode & 0o777 != int(mode, 8) & 0o777:
            await self._do(box, "chmod", "--", mode, path)

    async def _do(self, box: Box, *words: str) -> bytes:
        """Run a program of the sandbox to its end, and return its output."""
        process = await _of(box.processes.start(words))
        try:
            code, output, error = await process.collect(_MOST_OUTPUT)
        finally:
            await process.kill()
        if code and not output:
            raise BadRequest(error.decode("utf-8", "replace").strip()[:500] or f"{words[0]} ended with {code}")
        return output

    async def search(self, request: Request) -> Response:
        """Find files by a pattern."""
        box = self._boxes.find(request)
        top, pattern = _path(request.query_params.get("path", "")), request.query_params.get("pattern", "**")
        test = ["-path", f"{top.rstrip('/')}/{pattern.replace('**/', '*')}"] if "/" in pattern else ["-name", pattern]
        await _of(box.processes.entry(top))
        found = await self._do(box, "find", top, "-type", "f", *test, "-print0")
        paths = [path.decode("utf-8", "surrogateescape") for path in found.split(b"\0") if path][:_MOST_ENTRIES]
        entries: list[dict[str, object]] = []
        for path in paths:
            with contextlib.suppress(OSError):  # it went away meanwhile
                entries.append(_told(await box.processes.entry(path)))
        return JSONResponse(entries)

    async def replace(self, request: Request) -> Response:
        """Replace text in files."""
        box = self._boxes.find(request)
        counts: dict[str, dict[str, int]] = {}
        for name, each in (await self._body(request, dict[str, _Replace])).items():
            if not each.old:
                raise BadRequest("old is empty")
            path, text = _path(name), bytearray()
            async with contextlib.aclosing(box.processes.read(path)) as pieces:
                with _errors():
                    async for piece in pieces:
                        text += piece
                        if len(text) > _MOST_REPLACED:
                            raise TooLarge(f"{name!r} is larger than {_MOST_REPLACED} bytes")
            old, new = each.old.encode(), each.new.encode()
            counts[name] = {"replacedCount": text.count(old)}
            if counts[name]["replacedCount"]:
                await _of(box.processes.write(path, _once(bytes(text.replace(old, new)))))
        return JSONResponse(counts if request.query_params.get("verbose", "").lower() == "true" else {})

    async def upload(self, request: Request) -> Response:
        """Write files: for each its metadata, and then its content."""
        box = self._boxes.find(request)
        body = Limited(request, box, limit=self._core.config.upload_limit)
        try:
            form = await Request(request.scope, body).form(max_files=2 * _MOST_FILES, max_fields=_MOST_FILES)
        except HTTPException:
            if body.error is not None:
                raise body.error from None
            raise
        try:
            await self._write_all(box, form)
        finally:
            await form.close()
        return Response()

    async def _write_all(self, box: Box, form: FormData) -> None:
        told, contents = form.getlist("metadata"), form.getlist("file")
        if not told or len(told) != len(contents):
            raise BadRequest("a metadata and a file are needed for each file")
        for about, content in zip(told, contents, strict=True):
            text = await about.read() if isinstance(about, UploadFile) else about.encode()
            try:
                metadata = msgspec.json.decode(text, type=_Metadata)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise BadRequest(f"metadata cannot be read: {error}") from None
            if not isinstance(content, UploadFile):
                raise BadRequest("file has no name, so it is no file")
            path = _path(metadata.path)
            await _of(box.processes.write(path, _pieces(content)))
            await self._permit(box, path, metadata)

    async def download(self, request: Request) -> Response:
        """Send a file, or a part of it: bytes by ``Range``, or lines by ``offset`` and ``limit``."""
        box = self._boxes.find(request)
        path = _path(request.query_params.get("path", ""))
        entry = await _of(box.processes.entry(path))
        if entry.type != "file":
            raise BadRequest(f"{path!r} is not a file")
        first, last, status = 0, entry.size, 200
        headers = {"Content-Disposition": "attachment"}
        wanted = request.headers.get("range")
        if wanted is not None:
            first, last = _range(wanted, entry.size)
            status, headers["Content-Range"] = 206, f"bytes {first}-{last - 1}/{entry.size}"
        lines = [request.query_params.get(name) for name in ("offset", "limit")]
        if any(lines):
            pieces = _lines(box.processes.read(path), *(_number(text) for text in lines))
        else:
            pieces = _part(box.processes.read(path), first, last)
        begun = await _begun(pieces)
        return StreamingResponse(_charged(begun, box), status, headers, "application/octet-stream")


class Limited:
    """Receives the body of an upload, with a limit; the quota of its owner is charged.

    Attributes:
        error: why the body was not received to its end. Starlette closes its files for an error of its own only.
    """

    def __init__(self, request: Request, box: Box, *, limit: int) -> None:
        self.error: Exception | None = None
        self._receive = request.receive
        self._box = box
        self._limit = limit
        self._count = 0

    async def __call__(self) -> Message:
        """Return the next message of the body."""
        message = await self._receive()
        try:
            self._take(message)
        except (ClientDisconnect, ServerError) as error:
            self.error = error
            raise MultiPartException(str(error)) from None
        return message

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        size = len(message.get("body", b""))
        self._count += size
        if self._count > self._limit:
            raise TooLarge(f"the body of the request is larger than {self._limit} bytes")
        self._box.sandbox.owner.use_bytes(size)


@contextlib.contextmanager
def _errors() -> Generator[None]:
    """Turn errors of files into answers."""
    try:
        yield
    except OSError as error:
        status = _STATUS.get(error.errno or 0, 400)
        reason = "exists" if error.errno == errno.EEXIST else "file"
        raise ServerError(f"{error.strerror}: {error.filename}", status=status, reason=reason) from None


async def _of(doing: Awaitable[T]) -> T:
    with _errors():
        return await doing


def _path(text: str) -> str:
    if not text:
        raise BadRequest("path is missing")
    return os.path.join(_WORKSPACE, text)  # noqa: PTH118 - a path in the container


def _told(entry: Entry) -> dict[str, object]:
    changed = datetime.fromtimestamp(entry.modified_ns / 1e9, UTC).isoformat()
    return {
        "path": entry.path,
        "type": entry.type,
        "size": 0 if entry.type == "directory" else entry.size,
        "mode": int(f"{entry.mode & 0o7777:o}"),
        "owner": entry.owner,
        "group": entry.group,
        "modified_at": changed,
        "created_at": changed,  # no file of a sandbox is known to have another
    }


async def _once(data: bytes) -> AsyncGenerator[bytes]:
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]


async def _pieces(file: UploadFile) -> AsyncGenerator[bytes]:
    while piece := await file.read(_PIECE):
        yield piece


def _range(text: str, size: int) -> tuple[int, int]:
    """Return the first byte of a range, and the one behind its last."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        raise BadRequest(f"Range: {text[:40]!r} is not one range of bytes")
    if not found[1]:
        return max(0, size - int(found[2])), size
    first = int(found[1])
    last = min(size, int(found[2]) + 1) if found[2] else size
    if first >= last:
        raise ServerError(f"the file has {size} bytes", status=416)
    return first, last


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"{text[:20]!r} is not a number of lines")
    return int(text)


async def _part(pieces: AsyncGenerator[bytes], first: int, last: int) -> AsyncGenerator[bytes]:
    """Yield some bytes of a file."""
    at = 0
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            part = piece[max(0, first - at) : max(0, last - at)]
            at += len(piece)
            if part:
                yield part
            if at >= last:
                return


async def _lines(pieces: AsyncGenerator[bytes], offset: int | None, limit: int | None) -> AsyncGenerator[bytes]:
    """Yield some lines of a file; the first has the number 1."""
    skip = max(0, (offset or 1) - 1)
    left = limit
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            for line in piece.splitlines(keepends=True):
                ends = line.endswith(b"\n")
                if skip:
                    skip -= ends
                    continue
                if left is not None and left <= 0:
                    return
                yield line
                if left is not None:
                    left -= ends


async def _begun(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Return the same pieces, once the first one is there: an error before it is still an answer."""
    try:
        with _errors():
            first = await anext(pieces, b"")
    except BaseException:
        await pieces.aclose()
        raise

    async def all_of() -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return all_of()


async def _charged(pieces: AsyncGenerator[bytes], box: Box) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            box.sandbox.owner.use_bytes(len(piece))
            yield piece
