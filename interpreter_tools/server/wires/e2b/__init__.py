"""E2B's wire: control plane, code interpreter, and what there is in a sandbox (envd): processes, files, terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import JSONResponse

from interpreter_tools._config.model import SessionConfig
from interpreter_tools.server._wire import Wire
from interpreter_tools.server.wires.e2b.code import Code, plain
from interpreter_tools.server.wires.e2b.control import Control
from interpreter_tools.server.wires.e2b.files import Files
from interpreter_tools.server.wires.e2b.filesystem import FilesystemService
from interpreter_tools.server.wires.e2b.finding import is_ours
from interpreter_tools.server.wires.e2b.process import ProcessService
from interpreter_tools.server.wires.e2b.state import States
from interpreter_tools.server.wires.e2b.templates import image_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._errors import ServerError
    from interpreter_tools.server._wire import Site


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


async def warm(core: Core) -> None:
    """Have a container of the default template be ready, as the one after each sandbox is."""
    image = await image_of(core, "")
    if any(pool.idle and image in pool.shape for pool in core.engine.stats().pools):
        return
    container = msgspec.structs.replace(core.engine.config.container, image=image)
    async with core.engine.context("python", config=SessionConfig(container=container)):
        pass  # the pool that it took its container from has another one made


def exports(site: Site) -> dict[str, str]:
    """Return the variables by which E2B's clients find the server: by its domain if it has one, else by one URL."""
    if not site.domain or site.scheme != "https":
        return {"E2B_API_URL": site.url, "E2B_SANDBOX_URL": site.url, "E2B_API_KEY": site.key}
    trusted = {"SSL_CERT_FILE": site.authority, "NODE_EXTRA_CA_CERTS": site.authority} if site.authority else {}
    return {"E2B_DOMAIN": site.domain, "E2B_API_KEY": site.key, **trusted}


WIRE = Wire("e2b", routes, claims=is_ours, render=render, warm=warm, exports=exports)
