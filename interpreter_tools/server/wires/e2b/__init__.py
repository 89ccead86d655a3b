"""E2B's wire: control plane, code interpreter, and what there is in a sandbox (envd): processes, files, terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from interpreter_tools.server._wire import Wire
from interpreter_tools.server.wires.e2b.code import Code, plain
from interpreter_tools.server.wires.e2b.control import Control
from interpreter_tools.server.wires.e2b.files import Files
from interpreter_tools.server.wires.e2b.filesystem import FilesystemService
from interpreter_tools.server.wires.e2b.finding import is_ours
from interpreter_tools.server.wires.e2b.process import ProcessService
from interpreter_tools.server.wires.e2b.state import States

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._errors import ServerError


def routes(core: Core) -> list[BaseRoute]:
    """Return the routes of the wire."""
    states = States()
    return [
        *Control(core, states).routes(),
        *Code(core, states).routes(),
        *ProcessService(core, states).routes(),
        *FilesystemService(core, states).routes(),
        *Files(core, states).routes(),
    ]


def render(request: Request, error: ServerError) -> Response:
    """Return an error in the words of the part of E2B that was asked."""
    if request.url.path.endswith("/execute") or "/contexts" in request.url.path:
        return plain(error.text, error.status, error.headers)
    return JSONResponse({"code": error.status, "message": error.text}, error.status, headers=error.headers)


WIRE = Wire("e2b", routes, claims=is_ours, render=render)
