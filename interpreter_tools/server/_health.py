"""The routes of the server itself: is it alive, is it ready, and what does it count."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._exceptions import EngineClosed, InterpreterToolsError
from interpreter_tools.server._errors import Forbidden, Unavailable
from interpreter_tools.server._metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools.server._core import Core


_FRESH = 1.0  # seconds that an answer of the Docker engine counts
_PATIENCE = 2.0  # seconds that it has to answer


class _Docker:
    """The Docker engine, asked once a second at most, whoever asks."""

    def __init__(self, engine: ExecutionEngine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()
        self._asked = -_FRESH
        self._error: InterpreterToolsError | None = None

    async def check(self) -> None:
        """Return if it answers.

        Raises:
            Unavailable: it does not, or the engine does not run.
        """
        async with self._turn:
            if time.monotonic() - self._asked >= _FRESH:
                try:
                    await self._engine.ping(timeout=_PATIENCE)
                    self._error = None
                except InterpreterToolsError as error:
                    self._error = error
                self._asked = time.monotonic()
        if isinstance(self._error, EngineClosed):
            raise Unavailable("the engine does not run", retry_after=5)
        if self._error is not None:
            raise Unavailable(self._error.message, hint=self._error.hint, retry_after=5)


def routes(core: Core) -> list[BaseRoute]:
    """Return ``/healthz``, ``/readyz`` and ``/metrics``."""
    docker = _Docker(core.engine)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        if core.admission.is_closed:
            raise Unavailable("the server stops", reason="stopping", retry_after=5)
        await docker.check()
        return PlainTextResponse("ready\n")

    async def metrics(request: Request) -> Response:
        if not core.authenticate(request).is_admin:
            raise Forbidden("the metrics are of all keys", hint="use a key with `admin` in the file of keys")
        return Response(core.metrics.text(), media_type=CONTENT_TYPE)

    return [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]
