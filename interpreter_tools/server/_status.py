"""The status page at ``/``: sandboxes, pools and recent runs, to look at only. It shows neither code nor data."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from interpreter_tools._exceptions import EngineClosed
from interpreter_tools.server._recent import RecentRun

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner

_PAGE = Path(__file__).with_name("status.html").read_text("utf-8")
_encode = msgspec.json.Encoder().encode


class SandboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox, as the page shows it; attributes as in ``Sandbox``."""

    id: str
    owner: str
    template: str
    state: str
    contexts: int
    started_at: datetime
    ends_at: datetime


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a server, as far as an owner may see it.

    Attributes:
        numbers: names and numbers of now.
        sandboxes: oldest first.
        runs: newest first.
    """

    numbers: list[tuple[str, int]]
    sandboxes: list[SandboxStatus]
    runs: list[RecentRun]


def _policy(page: str) -> str:
    """Return the policy that lets the page have its own script and style, and nothing else."""
    found = {kind: re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL) for kind in ("script", "style")}
    hashes = {
        kind: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )
        for kind, texts in found.items()
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_HEADERS = {"Content-Security-Policy": _policy(_PAGE), "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def routes(core: Core) -> list[BaseRoute]:
    """Return ``/`` and ``/status.json``. The page itself needs no key: what it shows does."""

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE, headers=_HEADERS)

    async def status(request: Request) -> Response:
        answer = _encode(_status(core, core.authenticate(request)))
        return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})

    return [Route("/", page), Route("/status.json", status)]


def _status(core: Core, owner: Owner) -> Status:
    """Return the state of the server; one who is no admin sees no more than what is their own."""
    sandboxes = core.sandboxes.all() if owner.is_admin else core.sandboxes.list(owner)
    numbers = [
        ("Sandboxes", len(sandboxes)),
        ("Running", core.admission.running if owner.is_admin else owner.running),
    ]
    if owner.is_admin:
        numbers.append(("Waiting", core.admission.waiting))
        try:
            stats = core.engine.stats()
        except EngineClosed:
            pass
        else:
            numbers += [
                ("Containers idle", stats.idle),
                ("Containers busy", stats.busy),
                ("Containers starting", stats.starting),
            ]
    return Status(
        numbers=numbers,
        sandboxes=[
            SandboxStatus(
                id=each.id,
                owner=each.owner.id,
                template=each.template,
                state=each.state,
                contexts=len(each.contexts),
                started_at=each.started_at,
                ends_at=each.ends_at,
            )
            for each in sandboxes
        ],
        runs=[run for run in reversed(core.recent) if owner.is_admin or run.owner == owner.id],
    )
