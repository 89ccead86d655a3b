"""The server of docs/embedding.md, spoken to as a server speaks to it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from interpreter_tools import ExecutionEngine

    App = Callable[..., Awaitable[None]]

pytest.importorskip("fastapi")
pytestmark = pytest.mark.docker

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text("utf-8")


@pytest.fixture
def server() -> Iterator[ModuleType]:
    """The page's first program, as a module."""
    program = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
    module = ModuleType("embedding_page")
    sys.modules[module.__name__] = module  # where pydantic looks names up
    exec(compile(program, "embedding.md", "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]


async def post(app: App, body: dict[str, str], *, left: asyncio.Event) -> tuple[int, Any]:
    """Return the status and the answer to a request whose client leaves at an event."""
    received: list[dict[str, Any]] = []
    asked = iter([{"type": "http.request", "body": json.dumps(body).encode()}])

    async def receive() -> dict[str, Any]:
        if (message := next(asked, None)) is not None:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        received.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/run",
        "raw_path": b"/run",
        "query_string": b"",
        "root_path": "",
        "client": None,
        "server": None,
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return received[0]["status"], json.loads(received[1]["body"])


async def test_server_of_the_page_runs_and_refuses(server: ModuleType) -> None:
    """A result is JSON; a language that is not there is the caller's mistake."""
    async with server.lifespan(server.app):
        staying = asyncio.Event()
        status, answer = await post(server.app, {"language": "python", "code": "print(6 * 7)"}, left=staying)
        assert (status, answer["stdout"], answer["outcome"]) == (200, "42\n", "ok")
        status, answer = await post(server.app, {"language": "cobol", "code": "x"}, left=staying)
        assert status == 400
        assert "unknown language" in cast("str", answer["detail"]["error"])


async def busy(engine: ExecutionEngine) -> int:
    """Return the number of containers that run a program."""
    return engine.stats().busy


async def test_client_that_leaves_ends_its_program(server: ModuleType) -> None:
    """Nothing runs on for nobody."""
    async with server.lifespan(server.app):
        engine = server.app.state.engine
        leaving = asyncio.Event()
        asking = asyncio.create_task(post(server.app, {"language": "python", "code": "while True: pass"}, left=leaving))
        await eventually(lambda: busy(engine), lambda count: count == 1)
        leaving.set()
        assert (await asking)[0] == 499
        await eventually(lambda: busy(engine), lambda count: count == 0)
