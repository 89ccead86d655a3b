"""Piston's wire, version 2: ``/api/v2/runtimes``, ``/api/v2/execute`` and the websocket ``/api/v2/connect``.

The formats are those of engineer-man/piston (``api/src/api/v2.js``, ``api/src/job.js``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._gone import unless_gone
from interpreter_tools.server._wire import Site, Wire
from interpreter_tools.server.wires.piston._connection import Connection
from interpreter_tools.server.wires.piston._job import Job, prepare
from interpreter_tools.server.wires.piston._runtimes import Runtimes
from interpreter_tools.server.wires.piston._stages import Stage, compile_stage, run_stage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._errors import ServerError
    from interpreter_tools.server._keys import Owner

_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer of ``/execute``."""

    language: str
    version: str
    run: Stage
    compile: Stage | None = None


async def _execute(core: Core, runtimes: Runtimes, owner: Owner, job: Job) -> Answer:
    language, runtime = await runtimes.get(job.language, job.version)
    code, options = prepare(core, job, language)
    options["tenant"] = owner.tenant
    owner.use_bytes(sum(map(len, options.get("files", {}).values())))
    output: dict[str, list[str]] = {"run": [], "compile": []}
    async with core.run(owner, wire="piston", language=language.language) as run:
        async with core.engine.stream(language.language, code, **options) as execution:
            async for chunk in execution:
                stage = "compile" if chunk.stream.startswith("compile") else "run"
                output[stage].append(chunk.text)
            result = await execution.result()
        run.end(result)
    compiled = compile_stage(result, "".join(output["compile"]))
    if result.outcome in {"compile_error", "dependency_error"}:
        ran = compiled  # for older clients, as Piston has it
    else:
        ran = run_stage(result, "".join(output["run"]))
    return Answer(
        language=runtime.language,
        version=runtime.version,
        run=ran,
        compile=None if language.compile is None else compiled,
    )


def _render(request: Request, error: ServerError) -> Response:
    return JSONResponse({"message": error.text}, error.status, headers=error.headers)


def _routes(core: Core) -> list[BaseRoute]:
    runtimes = Runtimes(core)

    async def list_runtimes(request: Request) -> Response:
        core.authenticate(request)
        return Response(_encode(await runtimes.all()), media_type="application/json")

    async def execute(request: Request) -> Response:
        owner = core.authenticate(request)
        job = await read_json(request, Job, limit=core.config.body_limit)
        answer = await unless_gone(request, _execute(core, runtimes, owner, job))
        return Response(_encode(answer), media_type="application/json")

    async def connect(websocket: WebSocket) -> None:
        await Connection(core, runtimes, core.authenticate(websocket), websocket).serve()

    found: list[BaseRoute] = []
    for end in ("", "/"):
        found.append(Route(f"/api/v2/runtimes{end}", list_runtimes))
        found.append(Route(f"/api/v2/execute{end}", execute, methods=["POST"]))
        found.append(WebSocketRoute(f"/api/v2/connect{end}", connect))
    return found


def _exports(site: Site) -> dict[str, str]:
    return {"PISTON_URL": f"{site.url}/key/{site.key}", "PISTON_API_URL": f"{site.url}/key/{site.key}/api/v2/"}


WIRE = Wire("piston", _routes, render=_render, exports=_exports)
