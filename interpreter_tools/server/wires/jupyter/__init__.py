"""The wire of Jupyter: kernels over HTTP and websockets, as a Jupyter server or a kernel gateway has them."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import anyio
import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from interpreter_tools.server._bodies import read_body
from interpreter_tools.server._errors import BadRequest, NotFound
from interpreter_tools.server._wire import Wire
from interpreter_tools.server.wires.jupyter._kernels import Kernels
from interpreter_tools.server.wires.jupyter._login import Logins
from interpreter_tools.server.wires.jupyter._messages import V1, MessageError
from interpreter_tools.server.wires.jupyter._socket import WRONG, Socket
from interpreter_tools.server.wires.jupyter._specs import DEFAULT, find_spec, specs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._errors import ServerError
    from interpreter_tools.server._wire import Site
    from interpreter_tools.server.wires.jupyter._kernel import Kernel

_MOST_BODY = 1 << 20  # bytes
_MOST_REASON = 100  # characters of the reason of a close


class _Start(msgspec.Struct):
    """The body of the request for a kernel."""

    name: str | None = None
    env: dict[str, str] = {}


class _Api:
    """The answers to the requests of clients."""

    def __init__(self, core: Core) -> None:
        self.logins = Logins(core)
        self._kernels = Kernels(core)

    async def tell_version(self, request: Request) -> Response:
        """Answer who asks what this is: Jupyter's server says its version without a key, too."""
        return JSONResponse({"version": metadata.version("interpreter-tools")})

    async def tell_status(self, request: Request) -> Response:
        """Answer with what there is."""
        kernels = self._kernels.list(self.logins.owner(request))
        began = self._kernels.began
        last = max((kernel.last_activity for kernel in kernels), default=began)
        status = {
            "connections": sum(kernel.connections for kernel in kernels),
            "kernels": len(kernels),
            "last_activity": last.isoformat().replace("+00:00", "Z"),
            "started": began.isoformat().replace("+00:00", "Z"),
        }
        return JSONResponse(status)

    async def list_specs(self, request: Request) -> Response:
        """Answer with the kernels that can be started."""
        self.logins.owner(request)
        return JSONResponse({"default": DEFAULT, "kernelspecs": {name: spec.model() for name, spec in specs().items()}})

    async def tell_spec(self, request: Request) -> Response:
        """Answer with one of them."""
        self.logins.owner(request)
        try:
            return JSONResponse(find_spec(request.path_params["name"]).model())
        except BadRequest as error:
            raise NotFound(error.message, hint=error.hint) from None

    async def list_kernels(self, request: Request) -> Response:
        """Answer with the kernels of the key."""
        kernels = self._kernels.list(self.logins.owner(request))
        return JSONResponse([kernel.model() for kernel in kernels])

    async def start(self, request: Request) -> Response:
        """Start a kernel."""
        owner = self.logins.owner(request)
        body = await read_body(request, limit=_MOST_BODY)
        try:
            wanted = msgspec.json.decode(body, type=_Start) if body.strip() not in {b"", b"null"} else _Start()
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadRequest(f"the body of the request cannot be read: {error}") from None
        kernel = await self._kernels.start(owner, wanted.name or DEFAULT, environment=wanted.env)
        place = f"{request.url.path.rstrip('/')}/{kernel.id}"
        return JSONResponse(kernel.model(), 201, headers={"Location": place})

    async def tell_kernel(self, request: Request) -> Response:
        """Answer with the state of a kernel."""
        kernel = self._kernels.get(self.logins.owner(request), request.path_params["kernel_id"])
        return JSONResponse(kernel.model())

    async def end(self, request: Request) -> Response:
        """End a kernel."""
        await self._kernels.get(self.logins.owner(request), request.path_params["kernel_id"]).end()
        return Response(status_code=204)

    async def interrupt(self, request: Request) -> Response:
        """Interrupt the cell of a kernel."""
        await self._kernels.get(self.logins.owner(request), request.path_params["kernel_id"]).interrupt()
        return Response(status_code=204)

    async def restart(self, request: Request) -> Response:
        """Start a kernel anew."""
        kernel = self._kernels.get(self.logins.owner(request), request.path_params["kernel_id"])
        await kernel.restart()
        return JSONResponse(kernel.model())

    async def connect(self, websocket: WebSocket) -> None:
        """Serve a websocket of a kernel until its client leaves."""
        owner = self.logins.owner(websocket)
        kernel = self._kernels.get(owner, websocket.path_params["kernel_id"])
        with owner.websocket(), kernel.place():
            await self._serve(kernel, websocket)

    async def _serve(self, kernel: Kernel, websocket: WebSocket) -> None:
        is_v1 = V1 in websocket.scope["subprotocols"]
        await websocket.accept(subprotocol=V1 if is_v1 else None)
        socket = Socket(websocket, session=websocket.query_params.get("session_id", ""), is_v1=is_v1)
        kernel.connect(socket)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._write, socket, group.cancel_scope)
                try:
                    while (request := await socket.read()) is not None:
                        kernel.take(socket, request)
                except MessageError as error:
                    socket.close(WRONG, str(error)[:_MOST_REASON])
                    await anyio.sleep_forever()  # until what waits is sent
                group.cancel_scope.cancel()
        finally:
            kernel.disconnect(socket)

    async def _write(self, socket: Socket, scope: anyio.CancelScope) -> None:
        await socket.write()
        scope.cancel()


def _routes(core: Core) -> Sequence[BaseRoute]:
    api = _Api(core)
    kernel = "/api/kernels/{kernel_id}"
    return [
        Route("/login", api.logins.show),
        Route("/login", api.logins.log_in, methods=["POST"]),
        Route("/api", api.tell_version),
        Route("/api/status", api.tell_status),
        Route("/api/kernelspecs", api.list_specs),
        Route("/api/kernelspecs/{name}", api.tell_spec),
        Route("/api/kernels", api.list_kernels),
        Route("/api/kernels", api.start, methods=["POST"]),
        Route(kernel, api.tell_kernel),
        Route(kernel, api.end, methods=["DELETE"]),
        Route(f"{kernel}/interrupt", api.interrupt, methods=["POST"]),
        Route(f"{kernel}/restart", api.restart, methods=["POST"]),
        WebSocketRoute(f"{kernel}/channels", api.connect),
    ]


def _render(request: Request, error: ServerError) -> Response:
    return JSONResponse({"message": error.text, "reason": None}, error.status, headers=error.headers)


def _exports(site: Site) -> dict[str, str]:
    return {"JUPYTER_GATEWAY_URL": site.url, "JUPYTER_GATEWAY_AUTH_TOKEN": site.key}


WIRE = Wire("jupyter", _routes, render=_render, exports=_exports)
