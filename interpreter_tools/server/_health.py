"""The routes of the server itself: is it alive, is it ready, and what does it count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._exceptions import EngineClosed
from interpreter_tools.server._errors import Forbidden, Unavailable
from interpreter_tools.server._metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools.server._core import Core


def routes(core: Core) -> list[BaseRoute]:
    """Return ``/healthz``, ``/readyz`` and ``/metrics``."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        if core.admission.is_closed:
            raise Unavailable("the server stops", reason="stopping", retry_after=5)
        try:
            core.engine.stats()
        except EngineClosed:
            raise Unavailable("the engine does not run", retry_after=5) from None
        return PlainTextResponse("ready\n")

    async def metrics(request: Request) -> Response:
        if not core.authenticate(request).is_admin:
            raise Forbidden("the metrics are of all keys", hint="use a key with `admin` in the file of keys")
        return Response(core.metrics.text(), media_type=CONTENT_TYPE)

    return [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]
