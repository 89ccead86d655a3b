"""Calls into a sandbox (Connect): read, answered, and refused in their own words."""

from __future__ import annotations

import base64
import errno
import os
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.responses import Response

from interpreter_tools._exceptions import ContainerLost, ExecutionClosed, InterpreterToolsError, UsageError
from interpreter_tools.server._bodies import read_body
from interpreter_tools.server._errors import ServerError
from interpreter_tools.server.wires.e2b.connect import STATUS, STREAM, UNARY, ConnectError, FrameReader, end_frame
from interpreter_tools.server.wires.e2b.finding import has_ended_meanwhile
from interpreter_tools.server.wires.e2b.paths import USERS, to_outside
from interpreter_tools.server.wires.e2b.streams import StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.e2b.connect import Code
    from interpreter_tools.server.wires.e2b.streams import Sink

T = TypeVar("T")

_CODES: dict[int, Code] = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "invalid_argument",
    errno.EISDIR: "invalid_argument",
    errno.EINVAL: "invalid_argument",
    errno.ENAMETOOLONG: "invalid_argument",
    errno.ELOOP: "invalid_argument",
    errno.ENOTEMPTY: "already_exists",
    errno.ETXTBSY: "failed_precondition",
    errno.EEXIST: "already_exists",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EROFS: "permission_denied",
    errno.EBUSY: "invalid_argument",
    errno.ENOSPC: "resource_exhausted",
}
_ENDED = "The sandbox was killed or reached its end of life while the request was in flight"


def refusal(request: Request, error: Exception) -> ConnectError:
    """Return the answer to an error, in the client's own words where the sandbox has ended meanwhile."""
    if has_ended_meanwhile(request):
        return ConnectError("unavailable", _ENDED)
    return error if isinstance(error, ConnectError) else _as_connect_error(error)


def _as_connect_error(error: Exception) -> ConnectError:
    if isinstance(error, ContainerLost):
        return ConnectError("unavailable", error.message)
    if isinstance(error, ExecutionClosed):
        return ConnectError("not_found", error.message)
    if isinstance(error, UsageError):
        return ConnectError("invalid_argument", error.message)
    if isinstance(error, InterpreterToolsError):
        return ConnectError("failed_precondition", f"{error.message} {error.hint}".strip())
    if isinstance(error, OSError):
        number = error.errno or 0
        subject = f"{to_outside(error.filename)}: " if isinstance(error.filename, str) else ""
        return ConnectError(_CODES.get(number, "internal"), f"{subject}{os.strerror(number) if number else error}")
    raise error


def check_user(request: Request) -> None:
    """Refuse to act as another user than the one of the sandbox.

    Raises:
        ConnectError: the request names another user.
    """
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return
    check_user_name(basic_user(rest))


def basic_user(rest: str) -> str:
    """Return the user of ``Authorization: Basic``; empty when it names none."""
    try:
        return base64.b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")[0]
    except ValueError:
        return ""


def check_user_name(name: str) -> None:
    """Refuse another user than the one of the sandbox.

    Raises:
        ConnectError: it is another one.
    """
    if name == "root":
        raise ConnectError("permission_denied", "there is no root in a sandbox: leave the user out")
    if name not in USERS:
        raise ConnectError("unauthenticated", f"invalid username: '{name[:80]}'")


def unary(
    core: Core, kind: type[T], answer: Callable[[Request, T], Awaitable[object]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a call with one message and one answer.

    Args:
        core: what all wires share.
        kind: the type of the message.
        answer: returns the answer.
    """

    async def endpoint(request: Request) -> Response:
        try:
            body = await read_body(request, limit=core.config.body_limit)
            message = decode(body, kind)
            check_user(request)
            return Response(msgspec.json.encode(await answer(request, message)), media_type=UNARY)
        except ServerError:
            raise
        except (ConnectError, InterpreterToolsError, OSError) as error:
            refused = refusal(request, error)
            return Response(refused.encode(), STATUS[refused.code], media_type=UNARY)

    return endpoint


def streaming(
    core: Core,
    kind: type[T],
    serve: Callable[[Request, T, Sink], Awaitable[None]],
    *,
    beat: bytes,
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a call with one message whose answers are a stream.

    Args:
        core: what all wires share.
        kind: the type of the message.
        serve: sends the answers.
        beat: is sent in quiet times, as often as the client asks for that.
    """

    async def endpoint(request: Request) -> Response:
        body = await read_body(request, limit=core.config.body_limit)

        async def write(sink: Sink) -> None:
            failure: ConnectError | None = None
            try:
                reader = FrameReader(limit=core.config.body_limit)
                messages = reader.feed(body)
                reader.end()
                message = _only(messages)
                check_user(request)
                await serve(request, decode(message, kind), sink)
            except ServerError:
                if not sink.has_begun:
                    raise
                failure = ConnectError("unavailable", _ENDED)
            except (ConnectError, InterpreterToolsError, OSError) as error:
                failure = refusal(request, error)
            await sink.send(end_frame(failure))

        seconds = request.headers.get("keepalive-ping-interval", "")
        often = float(seconds) if seconds.isascii() and seconds.isdigit() and 0 < len(seconds) < 6 else 90.0
        return StreamedResponse(write, media_type=STREAM, beat=(max(often, 1.0), beat))

    return endpoint


def _only(messages: list[bytes]) -> bytes:
    """Return the one message of a call."""
    if len(messages) != 1:
        raise ConnectError("invalid_argument", f"the call has {len(messages)} messages instead of one")
    return messages[0]


def decode(body: bytes, kind: type[T]) -> T:
    """Return a message.

    Raises:
        ConnectError: it is none of that type.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConnectError("invalid_argument", f"the message cannot be read: {error}") from None


def timeout_of(request: Request) -> float | None:
    """Return the seconds after which the client gives a call up; None for no limit."""
    text = request.headers.get("connect-timeout-ms", "")
    if not (text.isascii() and text.isdigit() and len(text) < 13):
        return None
    return int(text) / 1000 or None
