"""OpenSandbox's lifecycle: sandboxes are made, listed, extended, paused and ended."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, ServerError
from interpreter_tools.server._sandbox import SandboxState
from interpreter_tools.server.wires.opensandbox._boxes import TOKEN

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._config.options import RunLimits
    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.opensandbox._boxes import Box, Boxes

_PREFIXES = ("/v1", "")
_BEST = ("interpreter-tools/code-interpreter:1", "interpreter-tools/python-data:1", "interpreter-tools/python:1")
_STANDARD = re.compile(r"(?:.*/)?(?:code-interpreter|python)(?:[:@].*)?")
_MOST_METADATA = 1 << 16  # characters of names and values
_PORTS = {"44772", "18080"}  # of execd, and of what has its network policy
_CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)(|[kKMGT]i?)")
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_ABSENT = {
    "snapshot_id": "snapshots",
    "template_id": "templates",
    "volumes": "volumes",
    "credential_proxy": "the credential proxy",
}


class _Image(msgspec.Struct):
    uri: str


class _Policy(msgspec.Struct, rename="camel"):
    default_action: str = "deny"
    egress: list[object] | None = None


class _Create(msgspec.Struct, rename="camel"):
    """The body of the request for a sandbox."""

    image: _Image | None = None
    entrypoint: list[str] | None = None
    timeout: float | None = None
    resource_limits: dict[str, str] | None = None
    env: dict[str, str | None] | None = None
    metadata: dict[str, str] | None = None
    network_policy: _Policy | None = None
    snapshot_id: str | None = None
    template_id: str | None = None
    volumes: list[object] | None = None
    credential_proxy: object = None


class _Renew(msgspec.Struct, rename="camel"):
    """The body of the request for more time."""

    expires_at: datetime


class Lifecycle:
    """The endpoints of the lifecycle.

    Args:
        core: what all wires share.
        boxes: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, boxes: Boxes) -> None:
        self._core = core
        self._boxes = boxes

    def routes(self) -> list[BaseRoute]:
        """Return the routes, each with and without the version before it."""
        routes: list[BaseRoute] = []
        for prefix in _PREFIXES:
            many, one = f"{prefix}/sandboxes", f"{prefix}/sandboxes/{{sandbox_id}}"
            every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
            routes += [
                Route(many, self.create, methods=["POST"]),
                Route(many, self.list, methods=["GET"]),
                Route(one, self.tell, methods=["GET"]),
                Route(one, self.end, methods=["DELETE"]),
                Route(f"{one}/pause", self.pause, methods=["POST"]),
                Route(f"{one}/resume", self.resume, methods=["POST"]),
                Route(f"{one}/renew-expiration", self.renew, methods=["POST"]),
                Route(f"{one}/metadata", self.patch, methods=["PATCH"]),
                Route(f"{one}/endpoints/{{port}}", self.endpoint, methods=["GET"]),
                *(
                    Route(f"{one}/{place}", self.refuse, methods=every)
                    for place in ("networkpolicy", "snapshots", "diagnostics/logs", "diagnostics/events")
                ),
                *(Route(f"{prefix}/{place}", self.refuse, methods=every) for place in ("snapshots", "templates")),
                *(
                    Route(f"{prefix}/{place}/{{rest:path}}", self.refuse, methods=every)
                    for place in ("snapshots", "templates")
                ),
                Route(f"{prefix}/metrics/events", self.take_metrics, methods=["POST"]),
            ]
        return routes

    def _box(self, request: Request) -> Box:
        owner = self._core.authenticate(request)
        return self._boxes.of(self._core.sandboxes.get(owner, request.path_params["sandbox_id"]))

    async def create(self, request: Request) -> Response:
        """Make a sandbox."""
        owner = self._core.authenticate(request)
        asked = await read_json(request, _Create, limit=self._core.config.body_limit)
        for field, name in _ABSENT.items():
            if getattr(asked, field):
                raise _not_there(name)
        if asked.image is None:
            raise BadRequest("image is missing")
        metadata = asked.metadata or {}
        if sum(len(name) + len(value) for name, value in metadata.items()) > _MOST_METADATA:
            raise BadRequest(f"metadata is larger than {_MOST_METADATA} characters")
        resources = asked.resource_limits or {}
        longest = self._core.config.longest_timeout
        timeout = longest if asked.timeout is None else asked.timeout
        if not 0 < timeout <= longest:
            raise BadRequest(f"timeout is not above 0 and up to {longest:g} seconds")
        limits: RunLimits = {"image": await self._image(asked.image.uri)}
        if "memory" in resources:
            limits["memory_limit"] = _memory(resources["memory"])
        if "cpu" in resources:
            limits["cpu_limit"] = _cpus(resources["cpu"])
        sandboxes = self._core.sandboxes
        sandbox = await sandboxes.create(
            owner,
            template=asked.image.uri[:200],
            timeout=timeout,
            environment={name: value or "" for name, value in (asked.env or {}).items()},
            metadata=metadata,
            container=sandboxes.container_of(limits, network=_wants_network(asked.network_policy)),
        )
        box = self._boxes.add(
            sandbox, image=asked.image.uri, entrypoint=asked.entrypoint or ["tail", "-f", "/dev/null"]
        )
        return JSONResponse(_told(box), 202)

    async def _image(self, uri: str) -> str:
        """Return the image of this machine that a client means."""
        has = self._core.engine.has_image
        if await has(uri):
            return uri
        if _STANDARD.fullmatch(uri):
            for image in _BEST:
                if await has(image):
                    return image
        hint = f"`docker pull {uri}` brings it; `code-interpreter` and `python` stand for the best one that is there"
        raise BadRequest(f"the image {uri[:200]!r} is not on this machine", hint=hint)

    async def list(self, request: Request) -> Response:
        """List the sandboxes of the key."""
        owner = self._core.authenticate(request)
        query = request.query_params
        states = {state.lower() for state in query.getlist("state")}
        wanted = dict(parse_qsl(query.get("metadata", "")))
        page, size = _whole(query.get("page"), 1), min(_whole(query.get("pageSize"), 20), 200)
        found = [
            box
            for box in self._boxes.all()
            if box.sandbox.owner is owner
            and (not states or box.sandbox.state in states)
            and wanted.items() <= box.sandbox.metadata.items()
        ]
        pages = math.ceil(len(found) / size)
        pagination = {
            "page": page,
            "pageSize": size,
            "totalItems": len(found),
            "totalPages": pages,
            "hasNextPage": page < pages,
        }
        items = [_told(box) for box in found[(page - 1) * size : page * size]]
        return JSONResponse({"items": items, "pagination": pagination})

    async def tell(self, request: Request) -> Response:
        """Tell the state of a sandbox."""
        return JSONResponse(_told(self._box(request)))

    async def end(self, request: Request) -> Response:
        """End a sandbox."""
        await self._box(request).sandbox.kill()
        return Response(status_code=204)

    async def pause(self, request: Request) -> Response:
        """Pause a sandbox: its processes and memory stay."""
        sandbox = self._box(request).sandbox
        if sandbox.state is SandboxState.PAUSED:
            raise ServerError(f"the sandbox {sandbox.id} is paused already", status=409)
        sandbox.pause(keep=self._core.config.paused_timeout)
        return Response(status_code=202)

    async def resume(self, request: Request) -> Response:
        """Resume a sandbox that was paused."""
        sandbox = self._box(request).sandbox
        if sandbox.state is not SandboxState.PAUSED:
            raise ServerError(f"the sandbox {sandbox.id} is not paused", status=409)
        sandbox.resume(self._core.config.sandbox_timeout)
        return Response(status_code=202)

    async def renew(self, request: Request) -> Response:
        """Set the end of a sandbox."""
        box = self._box(request)
        asked = await read_json(request, _Renew, limit=self._core.config.body_limit)
        at = asked.expires_at if asked.expires_at.tzinfo is not None else asked.expires_at.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
        if not 0 < seconds <= self._core.config.longest_timeout:
            raise BadRequest(f"expiresAt is not within the next {self._core.config.longest_timeout:g} seconds")
        box.sandbox.set_timeout(seconds)
        return JSONResponse({"expiresAt": at.isoformat()})

    async def patch(self, request: Request) -> Response:
        """Change the metadata of a sandbox: null removes a name."""
        box = self._box(request)
        changes = await read_json(request, dict[str, str | None], limit=_MOST_METADATA)
        metadata = {**box.sandbox.metadata, **changes}
        box.sandbox.metadata = {name: value for name, value in metadata.items() if value is not None}
        return JSONResponse(_told(box))

    async def endpoint(self, request: Request) -> Response:
        """Tell where ``execd`` is; there is no way to other ports."""
        sandbox = self._box(request).sandbox
        port = request.path_params["port"]
        if port not in _PORTS:
            raise _not_there(f"a way to port {port[:10]}")
        root = request.scope.get("root_path", "")
        place = f"{request.url.netloc}{root}/execd/{sandbox.id}"
        return JSONResponse({"endpoint": place, "headers": {TOKEN: sandbox.access_token}})

    async def take_metrics(self, request: Request) -> Response:
        """Take what the client tells of itself, and forget it."""
        self._core.authenticate(request)
        return Response(status_code=202)

    async def refuse(self, request: Request) -> Response:
        """Answer for what is not there."""
        self._core.authenticate(request)
        raise _not_there(request.url.path.rpartition("/")[2])


def _not_there(name: str) -> ServerError:
    return ServerError(f"this server does not have {name}", status=501, hint="docs/wires.md lists what it has")


def _told(box: Box) -> dict[str, object]:
    sandbox = box.sandbox
    return {
        "id": sandbox.id,
        "status": {"state": sandbox.state.capitalize()},
        "image": {"uri": box.image},
        "entrypoint": box.entrypoint,
        "metadata": sandbox.metadata,
        "createdAt": sandbox.started_at.isoformat(),
        "expiresAt": sandbox.ends_at.isoformat(),
    }


def _whole(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise BadRequest(f"{text[:20]!r} is not a number of pages")
    return int(text)


def _wants_network(policy: _Policy | None) -> bool:
    """Return True for a policy that lets everything out, and refuse those that let some."""
    if policy is None:
        return False
    if policy.egress:
        raise _not_there("rules of egress by name: a sandbox has a network, or has none")
    return policy.default_action.lower() == "allow"


def _cpus(text: str) -> float:
    found = _CPU.fullmatch(text)
    if found is None:
        raise BadRequest(f"resourceLimits.cpu: {text[:20]!r} is not a number of cores, such as '500m' or '2'")
    return float(found[1]) / (1000 if found[2] else 1)


def _memory(text: str) -> int:
    found = _MEMORY.fullmatch(text)
    if found is None:
        raise BadRequest(f"resourceLimits.memory: {text[:20]!r} is not a size, such as '512Mi'")
    unit = found[2].rstrip("i").upper()
    return int(float(found[1]) * (1024 if found[2].endswith("i") else 1000) ** _UNITS[unit])
