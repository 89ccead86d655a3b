"""E2B's control plane: sandboxes are made, listed, extended, paused and ended; templates are names of images."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, NoSuchSandbox, NotFound, ServerError
from interpreter_tools.server._sandbox import SandboxState
from interpreter_tools.server.wires.e2b import templates
from interpreter_tools.server.wires.e2b.streams import patient
from interpreter_tools.server.wires.e2b.templates import REFUSAL, begins_with_python, image_of, is_code_interpreter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner
    from interpreter_tools.server._sandbox import Sandbox
    from interpreter_tools.server.wires.e2b.state import State, States

ENVD_VERSION = "0.6.4"
_CLIENT = "interpreter-tools"
_MIB = 1 << 20
_MOST_LISTED = 100
_MOST_IDEMPOTENT = 1000
_LONGEST_REFRESH = 3600.0
_STARTING = 120.0  # seconds that the start of a sandbox may take
_MEASURE = (
    "cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null | head -1; "
    "{ grep -h usage_usec /sys/fs/cgroup/cpu.stat || echo n $(($(cat /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000)); } "
    "2>/dev/null; df -B1 /workspace | tail -1; "
    "cat /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null | grep -E '^(cache|file) ' | head -1"
)
"""Prints memory in use, microseconds of processor time, the room of the workspace, and what of the memory is cache."""


class _AutoResume(msgspec.Struct):
    enabled: bool = False


class _Network(msgspec.Struct, rename="camel"):
    allow_out: list[str] = []
    deny_out: list[str] = []
    rules: dict[str, object] = {}
    egress_proxy: object = None


class _NewSandbox(msgspec.Struct, rename="camel"):
    """A request to make a sandbox."""

    template_id: str = msgspec.field(name="templateID")
    timeout: float | None = None
    metadata: dict[str, str] | None = None
    env_vars: dict[str, str] | None = None
    auto_pause: bool = False
    auto_resume: _AutoResume = msgspec.field(default_factory=_AutoResume)
    allow_internet_access: bool | None = msgspec.field(name="allow_internet_access", default=None)
    network: _Network | None = None
    mcp: object = None
    iam: object = None
    volume_mounts: list[object] | None = None


class _Timeout(msgspec.Struct):
    timeout: float | None = None


class _Refresh(msgspec.Struct):
    duration: float | None = None


class Control:
    """The endpoints of the control plane.

    Args:
        core: what all wires share.
        states: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, states: States) -> None:
        self._core = core
        self._states = states
        self._idempotent: dict[tuple[str, str], Sandbox] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        one = "/sandboxes/{sandbox_id}"
        return [
            Route("/sandboxes", patient(self.create), methods=["POST"]),
            Route("/v2/sandboxes", patient(self.create), methods=["POST"]),
            Route("/sandboxes", self.list_running, methods=["GET"]),
            Route("/v2/sandboxes", self.list, methods=["GET"]),
            Route("/sandboxes/metrics", self.metrics_of_all, methods=["GET"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.kill, methods=["DELETE"]),
            Route(f"{one}/timeout", self.set_timeout, methods=["POST"]),
            Route(f"{one}/refreshes", self.refresh, methods=["POST"]),
            Route(f"{one}/pause", self.pause, methods=["POST"]),
            Route(f"{one}/resume", self.resume, methods=["POST"]),
            Route(f"{one}/connect", self.connect, methods=["POST"]),
            Route(f"/v2{one}/connect", self.connect, methods=["POST"]),
            Route(f"{one}/metrics", self.metrics, methods=["GET"]),
            Route(f"{one}/logs", self.logs, methods=["GET"]),
            Route(f"/v2{one}/logs", self.logs, methods=["GET"]),
            Route("/snapshots", self.snapshots, methods=["GET"]),
            Route("/templates", self.list_templates, methods=["GET"]),
            Route("/v2/templates", self.list_templates, methods=["GET"]),
            Route("/templates/aliases/{alias:path}", self.find_template, methods=["GET"]),
            *self._refused(one),
        ]

    def _refused(self, one: str) -> list[BaseRoute]:
        """Return the routes of what there is not here: each says so, and what to do."""
        state = "the memory of a sandbox cannot be copied: `Context.fork` of the Python library forks an interpreter"
        network = "the network of a sandbox cannot change: make another with allow_internet_access=True or False"
        secrets = "secrets are not kept here: give them as `envs`"
        volumes = "volumes are not there: use `files.read` and `files.write`"
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route(f"{one}/fork", _refuse(state), methods=["POST"]),
            Route(f"{one}/snapshots", _refuse(state), methods=["POST"]),
            Route(f"{one}/network", _refuse(network), methods=["PUT"]),
            Route("/secrets", _refuse(secrets), methods=every),
            Route("/secrets/{rest:path}", _refuse(secrets), methods=every),
            Route("/volumes", _refuse(volumes), methods=every),
            Route("/volumes/{rest:path}", _refuse(volumes), methods=every),
            Route("/templates", _refuse(REFUSAL), methods=["POST"]),
            Route("/templates/{rest:path}", _refuse(REFUSAL), methods=every),
            Route("/v2/templates", _refuse(REFUSAL), methods=["POST"]),
            Route("/v2/templates/{rest:path}", _refuse(REFUSAL), methods=every),
            Route("/v3/templates", _refuse(REFUSAL), methods=["POST"]),
        ]

    # -- one sandbox

    async def create(self, request: Request) -> Response:
        """Make a sandbox; one that begins with Python has an interpreter ready."""
        owner = self._core.authenticate(request)
        asked = await read_json(request, _NewSandbox, limit=self._core.config.body_limit)
        again = (owner.id, request.headers.get("idempotency-key", ""))
        known = self._idempotent.get(again)
        if again[1] and known is not None:
            return JSONResponse(self._answer(known), 201)
        _check_supported(asked)
        image = await image_of(self._core, asked.template_id)
        seconds = self._seconds(asked.timeout)
        sandboxes = self._core.sandboxes
        sandbox = await sandboxes.create(
            owner,
            template=asked.template_id or "base",
            timeout=seconds + _STARTING,
            environment=asked.env_vars or {},
            metadata=asked.metadata or {},
            container=sandboxes.container_of({"image": image}, network=asked.allow_internet_access is True),
            on_timeout="pause" if asked.auto_pause else "kill",
        )
        sandbox.environment = {
            "E2B_SANDBOX": "true",
            "E2B_SANDBOX_ID": sandbox.id,
            "E2B_TEMPLATE_ID": sandbox.template,
            **sandbox.environment,
        }
        state = self._states.of(sandbox)
        state.auto_resume = asked.auto_resume.enabled
        state.internet = asked.allow_internet_access
        state.has_home = is_code_interpreter(image)
        if again[1]:
            if len(self._idempotent) >= _MOST_IDEMPOTENT:
                del self._idempotent[next(iter(self._idempotent))]
            self._idempotent[again] = sandbox
            sandbox.on_end(lambda: self._forget(again))
        if begins_with_python(image):
            try:
                await state.default("python").start()
                if is_code_interpreter(image):
                    state.default("javascript")  # its process starts with its first cell
            except BaseException:
                sandbox.end()
                raise
        sandbox.set_timeout(seconds)  # its time begins now that it is ready
        return JSONResponse(self._answer(sandbox), 201)

    def _forget(self, again: tuple[str, str]) -> None:
        self._idempotent.pop(again, None)

    def _seconds(self, timeout: float | None) -> float:
        config = self._core.config
        if timeout is None:
            return config.sandbox_timeout
        if not 0 <= timeout <= config.longest_timeout:
            raise BadRequest(f"Timeout cannot be greater than {config.longest_timeout / 3600:g} hours, or below 0")
        return timeout

    def _answer(self, sandbox: Sandbox) -> dict[str, object]:
        return {
            "sandboxID": sandbox.id,
            "templateID": sandbox.template,
            "clientID": _CLIENT,
            "alias": sandbox.template,
            "envdVersion": ENVD_VERSION,
            "envdAccessToken": sandbox.access_token,
            "trafficAccessToken": sandbox.access_token,
            "domain": None,  # which means: where the client has found the server
        }

    def _mine(self, request: Request) -> Sandbox:
        owner = self._core.authenticate(request)
        sandbox_id = request.path_params["sandbox_id"]
        try:
            return self._core.sandboxes.get(owner, sandbox_id)
        except NoSuchSandbox:
            raise NotFound(f"Sandbox \"{sandbox_id[:80]}\" doesn't exist or you don't have access to it") from None

    async def show(self, request: Request) -> Response:
        """Tell what a sandbox is."""
        sandbox = self._mine(request)
        state = self._states.of(sandbox)
        told = self._listed(sandbox) | {
            "envdAccessToken": sandbox.access_token,
            "domain": None,  # which means: where the client has found the server
            "allowInternetAccess": state.internet,
            "lifecycle": {"onTimeout": sandbox.on_timeout, "autoResume": state.auto_resume},
        }
        return JSONResponse(told)

    def _listed(self, sandbox: Sandbox) -> dict[str, object]:
        limits = self._limits(sandbox)
        return {
            "sandboxID": sandbox.id,
            "templateID": sandbox.template,
            "alias": sandbox.template,
            "clientID": _CLIENT,
            "envdVersion": ENVD_VERSION,
            "startedAt": _time(sandbox.started_at),
            "endAt": _time(sandbox.ends_at),
            "metadata": sandbox.metadata,
            "cpuCount": max(1, round(float(limits.cpus or 1))),
            "memoryMB": limits.memory_bytes // _MIB,
            "diskSizeMB": limits.workspace_bytes // _MIB,
            "state": sandbox.state,
        }

    def _limits(self, sandbox: Sandbox) -> ContainerConfig:
        return sandbox.session.config.container or self._core.engine.config.container

    async def kill(self, request: Request) -> Response:
        """End a sandbox."""
        await self._mine(request).kill()
        return Response(status_code=204)

    async def set_timeout(self, request: Request) -> Response:
        """Have a sandbox end so many seconds from now."""
        sandbox = self._mine(request)
        asked = await read_json(request, _Timeout, limit=self._core.config.body_limit)
        if asked.timeout is None:
            raise BadRequest("timeout is missing")
        sandbox.set_timeout(self._seconds(asked.timeout))
        return Response(status_code=204)

    async def refresh(self, request: Request) -> Response:
        """Have a sandbox end not before so many seconds from now."""
        sandbox = self._mine(request)
        body = await request.body()
        asked = msgspec.json.decode(body, type=_Refresh) if body else _Refresh()
        sandbox.extend(min(asked.duration or self._core.config.sandbox_timeout, _LONGEST_REFRESH))
        return Response(status_code=204)

    async def pause(self, request: Request) -> Response:
        """Pause a sandbox: its processes and memory stay in this machine's memory."""
        sandbox = self._mine(request)
        if sandbox.state is not SandboxState.RUNNING:
            raise ServerError("Sandbox is already paused", status=409, reason="conflict")
        sandbox.pause(keep=self._core.config.paused_timeout)
        return Response(status_code=204)

    async def resume(self, request: Request) -> Response:
        """Have a paused sandbox run again."""
        sandbox = self._mine(request)
        asked = await read_json(request, _Timeout, limit=self._core.config.body_limit)
        if sandbox.state is SandboxState.RUNNING:
            raise ServerError("Sandbox is already running", status=409, reason="conflict")
        sandbox.resume(self._seconds(asked.timeout))
        return JSONResponse(self._answer(sandbox), 201)

    async def connect(self, request: Request) -> Response:
        """Tell how to reach a sandbox, have it run again if it is paused, and extend its time."""
        sandbox = self._mine(request)
        asked = await read_json(request, _Timeout, limit=self._core.config.body_limit)
        seconds = self._seconds(asked.timeout)
        if sandbox.state is SandboxState.PAUSED:
            sandbox.resume(seconds)
            return JSONResponse(self._answer(sandbox), 201)
        sandbox.extend(seconds)
        return JSONResponse(self._answer(sandbox), 200)

    async def logs(self, request: Request) -> Response:
        """Tell that there are no logs: what programs print goes to their clients only."""
        self._mine(request)
        return JSONResponse({"logs": [], "logEntries": []})

    # -- what a sandbox uses

    async def metrics(self, request: Request) -> Response:
        """Measure what a sandbox uses now; nothing is kept of the past."""
        sandbox = self._mine(request)
        end = _number(request.query_params.get("end"), 0)
        if end and end < time.time() - 1:
            return JSONResponse([])
        return JSONResponse([await self._measure(sandbox)])

    async def metrics_of_all(self, request: Request) -> Response:
        """Measure what several sandboxes use now."""
        owner = self._core.authenticate(request)
        wanted = ",".join(request.query_params.getlist("sandbox_ids")).split(",")
        chosen = [sandbox for sandbox in self._core.sandboxes.list(owner) if sandbox.id in wanted]
        measured = await asyncio.gather(*map(self._measure, chosen))
        return JSONResponse({"sandboxes": {sandbox.id: one for sandbox, one in zip(chosen, measured, strict=True)}})

    async def _measure(self, sandbox: Sandbox) -> dict[str, object]:
        limits = self._limits(sandbox)
        state = self._states.of(sandbox)
        try:
            process = await state.processes.start(("sh", "-c", _MEASURE))
            said = (await process.collect(_MIB))[1].decode("utf-8", "replace")
        except (InterpreterToolsError, OSError):
            said = ""
        found = _read_measures(said)
        now = datetime.now(UTC)
        return {
            "timestamp": _time(now),
            "timestampUnix": int(now.timestamp()),
            "cpuCount": max(1, round(float(limits.cpus or 1))),
            "cpuUsedPct": _share_of_cpu(state, found[1]),
            "memUsed": found[0],
            "memTotal": limits.memory_bytes,
            "memCache": found[4],
            "diskUsed": found[3],
            "diskTotal": found[2] or limits.workspace_bytes,
        }

    # -- lists

    async def list_running(self, request: Request) -> Response:
        """List the sandboxes that run, as the first version of the API did."""
        found = self._filtered(self._core.authenticate(request), request)
        return JSONResponse([self._listed(sandbox) for sandbox in found if sandbox.state is SandboxState.RUNNING])

    async def list(self, request: Request) -> Response:
        """List sandboxes, page by page."""
        owner = self._core.authenticate(request)
        query = request.query_params
        states = [state for text in query.getlist("state") for state in text.split(",") if state]
        found = [one for one in self._filtered(owner, request) if not states or one.state in states]
        if query.get("order", "desc") == "desc":
            found.reverse()
        start, limit = _number(query.get("nextToken"), 0), _number(query.get("limit"), _MOST_LISTED)
        if not 0 < limit <= _MOST_LISTED:
            raise BadRequest(f"limit {limit} is not between 1 and {_MOST_LISTED}")
        page = found[start : start + limit]
        more = {"x-next-token": str(start + limit)} if start + limit < len(found) else {}
        return JSONResponse([self._listed(sandbox) for sandbox in page], headers=more)

    def _filtered(self, owner: Owner, request: Request) -> list[Sandbox]:
        """Return the sandboxes that a request asks for, oldest first."""
        query = request.query_params
        wanted = {unquote(key): unquote(value) for key, value in parse_qsl(query.get("metadata", ""))}
        template, after = query.get("template"), query.get("startedAfter")
        since = None
        if after:
            try:
                since = datetime.fromisoformat(after)
            except ValueError:
                raise BadRequest(f"startedAfter {after[:80]!r} is not a time") from None
        return [
            sandbox
            for sandbox in self._core.sandboxes.list(owner)
            if wanted.items() <= sandbox.metadata.items()
            and template in {None, "", sandbox.template}
            and (since is None or sandbox.started_at >= since)
        ]

    async def snapshots(self, request: Request) -> Response:
        """List no snapshots: there are none."""
        self._core.authenticate(request)
        return JSONResponse([])

    async def list_templates(self, request: Request) -> Response:
        """List the templates that have a name of their own."""
        self._core.authenticate(request)
        limits = self._core.engine.config.container
        return JSONResponse(
            [
                {
                    "templateID": name,
                    "buildID": name,
                    "aliases": [name],
                    "names": [name],
                    "public": True,
                    "cpuCount": max(1, round(float(limits.cpus or 1))),
                    "memoryMB": limits.memory_bytes // _MIB,
                    "diskSizeMB": limits.workspace_bytes // _MIB,
                    "buildStatus": "ready",
                    "buildCount": 1,
                    "spawnCount": 0,
                    "envdVersion": ENVD_VERSION,
                }
                for name in templates.names()
            ]
        )

    async def find_template(self, request: Request) -> Response:
        """Tell whether there is a template of a name."""
        self._core.authenticate(request)
        alias = request.path_params["alias"]
        await image_of(self._core, alias)
        return JSONResponse({"templateID": alias, "public": True})


def _refuse(message: str) -> Callable[[Request], Awaitable[Response]]:
    async def refuse(request: Request) -> Response:
        raise BadRequest(message)

    return refuse


def _check_supported(asked: _NewSandbox) -> None:
    """Refuse what a sandbox cannot have here.

    Raises:
        BadRequest: it asks for that; the message says what to do.
    """
    if asked.mcp:
        raise BadRequest("mcp: sandboxes have no MCP gateway", hint="`interpreter-tools mcp` is a server of its own")
    if asked.volume_mounts:
        raise BadRequest("volumeMounts: volumes are not there", hint="use `files.read` and `files.write`")
    if asked.iam:
        raise BadRequest("iam: sandboxes have no identity", hint="give what they need as `envs`")
    network = asked.network
    if network is not None and (network.allow_out or network.deny_out or network.rules or network.egress_proxy):
        hint = "allow_internet_access=True gives a sandbox the network of Docker's bridge, False gives it none"
        raise BadRequest("network: rules for single hosts are not there", hint=hint)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _number(text: str | None, otherwise: int) -> int:
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"{text[:80]!r} is not a number")
    return int(text)


def _read_measures(said: str) -> tuple[int, float, int, int, int]:
    """Return memory, seconds of processor time, the room of the workspace, what of it is used, and cached memory."""
    lines = [line.split() for line in said.splitlines() if line.strip()]
    memory = room = used = cache = 0
    seconds = 0.0
    for words in lines:
        numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 20]
        if len(words) == 1 and numbers:
            memory = numbers[0]
        elif len(words) == 2 and numbers and words[0] in {"cache", "file"}:
            cache = numbers[0]
        elif len(words) == 2 and numbers:
            seconds = numbers[0] / 1e6
        elif len(numbers) >= 3:
            room, used = numbers[0], numbers[1]
    return memory, seconds, room, used, cache


def _share_of_cpu(state: State, seconds: float) -> float:
    """Return the percentage of one core that was used since the last measurement, or since the start."""
    before, at = state.sample
    now = time.monotonic()
    state.sample = (seconds, now)
    return round(100 * max(0.0, seconds - before) / max(now - at, 1e-3), 2)
