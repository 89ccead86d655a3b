"""The wire of OpenSandbox: its lifecycle of sandboxes, and in each of them its ``execd``: code, commands and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from interpreter_tools.server._wire import Wire
from interpreter_tools.server.wires.opensandbox._boxes import Boxes
from interpreter_tools.server.wires.opensandbox._code import Code
from interpreter_tools.server.wires.opensandbox._commands import CommandRoutes
from interpreter_tools.server.wires.opensandbox._files import Files
from interpreter_tools.server.wires.opensandbox._lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Scope

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._errors import ServerError
    from interpreter_tools.server._wire import Site

_KEY = b"open-sandbox-api-key"
_CODES = {
    400: "INVALID_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    501: "NOT_SUPPORTED",
    503: "UNAVAILABLE",
    507: "NO_SPACE",
}


def _routes(core: Core) -> Sequence[BaseRoute]:
    boxes = Boxes(core)
    return [
        *Lifecycle(core, boxes).routes(),
        *Code(core, boxes).routes(),
        *CommandRoutes(core, boxes).routes(),
        *Files(core, boxes).routes(),
        *boxes.routes(),
    ]


def _claims(scope: Scope) -> bool:
    """Return True for a request with the header of OpenSandbox's clients."""
    return any(name == _KEY for name, _ in scope["headers"])


def _render(request: Request, error: ServerError) -> Response:
    code = _CODES.get(error.status, "INTERNAL_ERROR")
    return JSONResponse({"code": code, "message": error.text}, error.status, headers=error.headers)


def _exports(site: Site) -> dict[str, str]:
    return {"OPEN_SANDBOX_DOMAIN": site.url, "OPEN_SANDBOX_API_KEY": site.key}


WIRE = Wire("opensandbox", _routes, claims=_claims, render=_render, exports=_exports)
