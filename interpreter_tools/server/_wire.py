"""A wire: the routes of one kind of client. Several wires share one port; ``Dispatch`` finds whose a request is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Router
from starlette.websockets import WebSocketClose, WebSocketState

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.server._errors import Forbidden, ServerError, as_server_error
from interpreter_tools.server._presented import KEY_OF_PATH
from interpreter_tools.server._spans import trace_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send
    from starlette.websockets import WebSocket

    from interpreter_tools.server._core import Core

_CLIENT_CLOSED = 499  # nginx's word for it
_KEY_PREFIX = "/key/"
_LOCAL = {"localhost", "127.0.0.1", "::1"}


def render_plainly(request: Request, error: ServerError) -> Response:
    """Return an error as ``{"message": ...}``."""
    return JSONResponse({"message": error.text}, error.status, headers=error.headers)


def _claims_nothing(scope: Scope) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Site:
    """The place where clients find a server.

    Attributes:
        scheme: ``"http"`` or ``"https"``.
        host: a name or address, as URLs have it, with the port.
        key: a key, or words that stand for one.
        domain: the domain whose hosts lead to sandboxes, with the port; empty means none.
        authority: the file of the authority that clients have to trust; empty means none.
    """

    scheme: str
    host: str
    key: str
    domain: str = ""
    authority: str = ""

    @property
    def url(self) -> str:
        """The URL of the server, without a slash at its end."""
        return f"{self.scheme}://{self.host}"

    @property
    def url_with_key(self) -> str:
        """The URL for clients that have no other place for a key: its user's password."""
        return f"{self.scheme}://key:{self.key}@{self.host}"


def _exports_nothing(site: Site) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Wire:
    """The routes of one kind of client.

    Attributes:
        name: the name for ``--wires``; the wire is also reachable below ``/{name}``.
        routes: makes its routes.
        claims: tells from headers, host or path that a request is certainly of this wire; called for every request.
        render: makes the answer to an error, in the words of this wire.
        exports: tells the environment variables by which clients of this wire find the server.
        warm: makes ready what the first client would wait for; runs beside the server's start, and may fail.
    """

    name: str
    routes: Callable[[Core], Sequence[BaseRoute]]
    claims: Callable[[Scope], bool] = _claims_nothing
    render: Callable[[Request, ServerError], Response] = render_plainly
    warm: Callable[[Core], Awaitable[None]] | None = None
    exports: Callable[[Site], dict[str, str]] = _exports_nothing


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """Return an answer that nobody reads: the client has gone away, which is no fault of the server."""
    return Response(status_code=_CLIENT_CLOSED)


class WireApp:
    """A wire with its routes made, and its errors rendered."""

    def __init__(self, wire: Wire, core: Core) -> None:
        self.wire = wire
        self._core = core
        self._router = Router(wire.routes(core))
        handlers: dict[type[Exception], ExceptionHandler] = {
            InterpreterToolsError: cast("ExceptionHandler", self._answer),
            HTTPException: self._answer_http,
            ClientDisconnect: _answer_nobody,
        }
        self.app: ASGIApp = ExceptionMiddleware(self._router, handlers=handlers)

    def has_route(self, scope: Scope) -> bool:
        """Return True when a route of the wire matches path and method."""
        return any(route.matches(scope)[0] is Match.FULL for route in self._router.routes)

    def has_path(self, scope: Scope) -> bool:
        """Return True when a route of the wire matches the path, with another method."""
        return any(route.matches(scope)[0] is Match.PARTIAL for route in self._router.routes)

    async def _answer(self, connection: Request | WebSocket, error: Exception) -> Response | None:
        assert isinstance(error, InterpreterToolsError)
        answer = as_server_error(error)
        if not isinstance(error, ServerError) or answer.status in {429, 503}:
            self._core.metrics.refused(answer.reason)
        if isinstance(connection, Request):
            return self.wire.render(connection, answer)
        is_asked = connection.application_state is WebSocketState.CONNECTING
        if is_asked and "websocket.http.response" in connection.scope.get("extensions", {}):
            handshake = Request({**connection.scope, "type": "http", "method": "GET"})
            await connection.send_denial_response(self.wire.render(handshake, answer))
        else:
            await connection.close(1008 if answer.status < 500 else 1011, answer.text[:100])
        return None

    async def _answer_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        found = ServerError(error.detail, status=error.status_code)
        response = self.wire.render(request, found)
        response.headers.update(error.headers or {})
        return response


class Dispatch:
    """The ASGI application that finds whose a request is.

    A request belongs to the wire whose prefix its path has (``/e2b/...``), to the first that claims it, to the server
    itself (``/healthz`` and its like), or to the first wire that has a route for it. ``/key/{key}`` before all this is
    the key of a client that can be given a URL only.
    """

    def __init__(self, own: WireApp, wires: Sequence[WireApp], *, is_open: bool) -> None:
        self._own = own
        self._wires = wires
        self._by_prefix = {f"/{each.wire.name}": each for each in wires}
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = _path(scope)
        if path.startswith(_KEY_PREFIX):
            key, slash, _ = path.removeprefix(_KEY_PREFIX).partition("/")
            scope[KEY_OF_PATH] = key
            path = _descend(scope, f"{_KEY_PREFIX}{key}", "" if slash else "/")
        app = self._find(scope, path)
        if self._is_open and _is_foreign(scope):
            error = Forbidden("a page of another site may not use this server")
            if scope["type"] == "websocket":
                await WebSocketClose(1008, error.message)(scope, receive, send)
            else:
                await render_plainly(Request(scope), error)(scope, receive, send)
            return
        with trace_of(scope):
            await app(scope, receive, send)

    def _find(self, scope: Scope, path: str) -> ASGIApp:
        slash = path.find("/", 1)
        prefix = path if slash < 0 else path[:slash]
        wire = self._by_prefix.get(prefix)
        if wire is not None:
            _descend(scope, prefix, "" if slash >= 0 else "/")
            return wire.app
        for each in self._wires:
            if each.wire.claims(scope):
                return each.app
        if self._own.has_route(scope):
            return self._own.app
        for each in self._wires:
            if each.has_route(scope):
                return each.app
        for each in self._wires:
            if each.has_path(scope):
                return each.app  # which says 405
        return self._own.app


def _path(scope: Scope) -> str:
    """Return the path of a request below where this application is mounted."""
    path, root = scope["path"], scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path


def _descend(scope: Scope, prefix: str, rest: str) -> str:
    """Have a request's routes be found below a prefix of its path, and return the path below it."""
    scope["root_path"] = scope.get("root_path", "") + prefix
    scope["path"] += rest
    return _path(scope)


def _is_foreign(scope: Scope) -> bool:
    """Return True when a page of another site asks, or one that calls this machine by another name (DNS rebinding)."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in {b"origin", b"host"}}
    host = headers.get(b"host", "")
    origin = headers.get(b"origin")
    if origin is None:
        return False
    name = urlsplit(f"//{host}").hostname or ""
    return origin.partition("://")[2] != host or not (name in _LOCAL or name.endswith(".localhost"))
