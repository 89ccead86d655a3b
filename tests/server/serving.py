"""A server on a free port of loopback, for clients of any kind."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from interpreter_tools import LanguageConfig, LanguageRegistry
from interpreter_tools._languages import CompileStep
from interpreter_tools._listening import listen
from interpreter_tools.server import Keys, ServerConfig, create_app
from interpreter_tools.server._http import BoundedHttp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from interpreter_tools import ExecutionEngine
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._wire import Wire

KEY = "it_the-key-of-the-tests"
OTHER_KEY = "it_the-key-of-somebody-else"


def register_compiler(language: str, command: str) -> None:
    """Have a shell's command compile a language, in the image of shells: the file is ``$1``, its directory ``$2``."""
    LanguageRegistry.register(
        LanguageConfig(
            language=language,
            default_image=LanguageRegistry.get("shell").default_image,
            code_filename="main.txt",
            compile=CompileStep(command=("sh", "-c", command, "sh", "{file}", "{directory}")),
            run_command=("{directory}/program",),
        )
    )


@dataclass
class Served:
    """A server that runs.

    Attributes:
        url: where it is.
        port: its port.
        core: what its wires share.
    """

    url: str
    port: int
    core: Core


@contextlib.asynccontextmanager
async def serving(
    engine: ExecutionEngine,
    *,
    wires: Sequence[str | Wire] | None = None,
    keys: Keys | None = None,
    config: ServerConfig | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Served]:
    """Serve an engine to ``KEY`` and ``OTHER_KEY``; at the end, every sandbox of the server has ended."""
    app = create_app(engine, wires=wires, keys=keys or Keys.of(KEY, OTHER_KEY), config=config)
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=2,
                lifespan="on",
                **settings or {},
            )
        )
        task = asyncio.create_task(server._serve([listener]))  # `serve` would take the signals of the tests
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield Served(f"http://127.0.0.1:{port}", port, app.state.core)
        finally:
            server.should_exit = True
            await task
