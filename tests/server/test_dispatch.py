"""Several wires on one port: whose a request is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from interpreter_tools import ExecutionEngine
from interpreter_tools.server import Keys, create_app
from interpreter_tools.server._errors import NoSuchSandbox
from interpreter_tools.server._wire import Wire

from .serving import KEY

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Scope

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._errors import ServerError


def _wire(name: str, *paths: str, header: bytes = b"-") -> Wire:
    def routes(core: Core) -> list[BaseRoute]:
        async def answer(request: Request) -> Response:
            return PlainTextResponse(f"{name} for {core.authenticate(request).id}: {request.url.path}")

        async def missing(_: Request) -> Response:
            raise NoSuchSandbox("xyz")

        return [*(Route(path, answer) for path in paths), Route(f"/{name}-missing", missing)]

    def claims(scope: Scope) -> bool:
        return any(found == header for found, _ in scope["headers"])

    def render(_: Request, error: ServerError) -> Response:
        return JSONResponse({name: error.message}, error.status)

    return Wire(name, routes, claims, render)


def _client(app: Starlette, key: str = KEY) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers={"x-api-key": key} if key else {}
    )


def _app(keys: Keys | None = None) -> Starlette:
    wires = [_wire("one", "/both", "/first"), _wire("two", "/both", "/second", "/healthz", header=b"x-two")]
    return create_app(ExecutionEngine(), wires=wires, keys=keys or Keys.of(KEY))


@pytest.mark.parametrize(
    ("path", "headers", "answer"),
    [
        ("/both", {}, "one for key-1: /both"),
        ("/both", {"x-two": "1"}, "two for key-1: /both"),
        ("/second", {}, "two for key-1: /second"),
        ("/two/both", {}, "two for key-1: /two/both"),
        ("/healthz", {}, "ok\n"),
        ("/healthz", {"x-two": "1"}, "two for key-1: /healthz"),
    ],
)
async def test_request_finds_its_wire(path: str, headers: dict[str, str], answer: str):
    """By prefix, by what the wire claims, by the server's own paths, and by the first route that fits."""
    async with _client(_app()) as client:
        assert (await client.get(path, headers=headers)).text == answer


async def test_key_may_stand_in_the_path():
    """Clients that can be given nothing but a URL have it there."""
    async with _client(_app(), key="") as client:
        assert (await client.get(f"/key/{KEY}/both")).text == f"one for key-1: /key/{KEY}/both"
        assert (await client.get(f"/key/{KEY}/two/both")).text.startswith("two for key-1")
        assert (await client.get("/key/it_somebody-elses-key/both")).status_code == 401
        assert (await client.get("/key/")).status_code == 200  # the status page
        assert (await client.get(f"/key/{KEY}/nothing")).status_code == 404


async def test_errors_are_in_the_words_of_the_wire():
    """Each wire renders the errors of its routes, those without a route too."""
    async with _client(_app()) as client:
        missing = await client.get("/two-missing")
        assert (missing.status_code, list(missing.json())) == (404, ["two"])
        nothing = await client.get("/one/nothing")
        assert (nothing.status_code, nothing.json()) == (404, {"one": "Not Found"})
        method = await client.post("/first")
        assert (method.status_code, set(method.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
        assert (await client.get("/nothing")).json() == {"message": "Not Found"}


async def test_open_server_refuses_pages_of_other_sites():
    """Without keys, a page in a browser could otherwise run code here."""
    async with _client(_app(Keys.open()), key="") as client:
        assert (await client.get("/first")).text.startswith("one for anyone")
        assert (await client.get("/first", headers={"origin": "http://localhost"})).status_code == 200
        assert (await client.get("/first", headers={"origin": "https://example.org"})).status_code == 403
        rebound = {"origin": "http://example.org", "host": "example.org"}
        assert (await client.get("/first", headers=rebound)).status_code == 403


async def test_health_needs_no_key_and_metrics_need_one_that_may_read_them():
    """An engine that does not run is not ready."""
    keys, key = Keys.generate()
    async with _client(_app(keys), key="") as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/metrics")).status_code == 401
        found = await client.get("/metrics", headers={"authorization": f"Bearer {key}"})
        assert "interpreter_tools_sandboxes" in found.text
        assert 'interpreter_tools_refusals_total{reason="unauthorized"} 1.0' in found.text
    async with _client(_app()) as client:
        assert (await client.get("/metrics")).status_code == 403
