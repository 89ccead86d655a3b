"""The application: wires over one engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Mount

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.server import _health, _status
from interpreter_tools.server._admission import Admission
from interpreter_tools.server._config import ServerConfig
from interpreter_tools.server._core import Core
from interpreter_tools.server._keys import Keys
from interpreter_tools.server._metrics import Metrics
from interpreter_tools.server._sandboxes import Sandboxes
from interpreter_tools.server._wire import Dispatch, Wire, WireApp
from interpreter_tools.server.wires import WIRES, load_wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from interpreter_tools._engine import ExecutionEngine

_LOG = logging.getLogger("interpreter_tools.server")


def create_app(
    engine: ExecutionEngine,
    *,
    wires: Sequence[str | Wire] | None = None,
    keys: Keys | None = None,
    config: ServerConfig | None = None,
) -> Starlette:
    """Return an ASGI application that serves an engine over the wires of other tools' clients.

    Its lifespan starts the engine unless it runs, and closes what it has started. An application that mounts this one
    has no lifespan of it: start the engine yourself then, and call ``await app.state.close()`` at the end.

    Args:
        engine: the engine that runs the code.
        wires: names of wires, such as ``["e2b", "piston"]``, or wires of your own; None means all that there are.
        keys: who may use it; None lets everybody in, as one owner: for an application that checks its users itself.
        config: the limits; None means the defaults.

    Raises:
        ConfigurationError: there is no wire of that name.
    """
    config = config or ServerConfig()
    keys = Keys.open() if keys is None else keys
    core = Core(
        engine=engine,
        sandboxes=Sandboxes(engine, config),
        keys=keys,
        admission=Admission(slots=config.slots, queue=config.queue),
        metrics=Metrics(),
        config=config,
    )
    core.metrics.watch(engine, core.sandboxes, core.admission)
    asked = WIRES if wires is None else wires
    chosen = [WireApp(each if isinstance(each, Wire) else load_wire(each), core) for each in asked]
    own = WireApp(Wire("", lambda core: [*_health.routes(core), *_status.routes(core)]), core)
    dispatch = Dispatch(own, chosen, is_open=keys.is_open)

    async def close() -> None:
        """Refuse new runs, let those that run end within ``ServerConfig.drain`` seconds, and end all sandboxes."""
        core.admission.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(core.admission.idle(), config.drain)
        await core.sandboxes.aclose()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        started = not engine.is_running
        if started:
            await engine.start()
        warming = [asyncio.create_task(_warm(each.wire, core)) for each in chosen if each.wire.warm is not None]
        try:
            yield
        finally:
            for task in warming:
                task.cancel()
            try:
                await asyncio.gather(*warming, return_exceptions=True)
                await close()
            finally:
                if started:
                    await engine.aclose()

    app = Starlette(routes=[Mount("", app=dispatch)], lifespan=lifespan)
    app.state.core = core
    app.state.close = close
    return app


async def _warm(wire: Wire, core: Core) -> None:
    assert wire.warm is not None
    try:
        await wire.warm(core)
    except InterpreterToolsError:
        _LOG.warning("the wire %s could not be warmed", wire.name, exc_info=True)
