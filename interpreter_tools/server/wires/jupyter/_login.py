"""The login of browsers and of clients that know a password only: the key is the password.

A login gives a cookie that stands for the key. As a browser sends cookies with the requests of any page, a request that
changes something and has no other key than the cookie must repeat the cookie ``_xsrf``, as with Jupyter's own server.
"""

from __future__ import annotations

import html
import secrets
import time
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse

from interpreter_tools.server._errors import Forbidden, Unauthorized
from interpreter_tools.server._presented import presented_key

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner

_COOKIE = "interpreter-tools-login"
_XSRF = "_xsrf"
_LIFETIME = 86400.0  # seconds
_MOST = 10_000
_MOST_FORM = 10_000  # bytes
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>interpreter-tools</title>
<form method="post"><p>{said}</p><input type="hidden" name="_xsrf" value="{xsrf}">
<label>API key <input type="password" name="password" autofocus></label> <button>Log in</button></form></html>"""


class Logins:
    """The owners that have logged in, by their cookies.

    Args:
        core: what the wires share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._owners: dict[str, tuple[Owner, float]] = {}  # oldest first

    def __repr__(self) -> str:
        return f"<Logins [{len(self._owners)}]>"

    def owner(self, connection: HTTPConnection) -> Owner:
        """Return whose a request is, by its key or its cookie.

        Raises:
            Unauthorized: it has neither.
            Forbidden: it changes something, has the cookie only, and may come from a page of another site.
        """
        cookie = connection.cookies.get(_COOKIE)
        if cookie is None or presented_key(connection.scope) is not None:
            return self._core.authenticate(connection)
        owner, ends = self._owners.get(cookie, (None, 0.0))
        if owner is None or ends < time.monotonic():
            raise Unauthorized("the login is over", hint="log in again")
        self._check_page(connection)
        return owner

    def _check_page(self, connection: HTTPConnection) -> None:
        if connection.scope["type"] == "websocket":
            origin = connection.headers.get("origin")
            if origin is not None and origin.partition("://")[2] != connection.headers.get("host"):
                raise Forbidden("a page of another site may not use this login")
        elif connection.scope["method"] not in {"GET", "HEAD"}:
            said = connection.headers.get("x-xsrftoken") or connection.query_params.get(_XSRF) or ""
            if not _is_same(said, connection.cookies.get(_XSRF)):
                raise Forbidden("the header X-XSRFToken does not repeat the cookie _xsrf")

    async def show(self, request: Request) -> Response:
        """Answer with the form."""
        return _page(request, "")

    async def log_in(self, request: Request) -> Response:
        """Answer a form that was filled in: with the cookie, or with the form again."""
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > _MOST_FORM:
            return _page(request, "The form is too large.", status=413)
        async with request.form(max_files=0, max_fields=10) as form:
            password, said = str(form.get("password", "")), str(form.get(_XSRF, ""))
        if not _is_same(said or request.headers.get("x-xsrftoken", ""), request.cookies.get(_XSRF)):
            return _page(request, "The form was too old. Try again.", status=403)
        try:
            owner = self._core.keys.owner(password)
        except Unauthorized as error:
            self._core.metrics.refused(error.reason)
            return _page(request, "That is no key of this server.", status=401)
        cookie = secrets.token_urlsafe(32)
        while len(self._owners) >= _MOST:
            del self._owners[next(iter(self._owners))]
        self._owners[cookie] = (owner, time.monotonic() + _LIFETIME)
        response = RedirectResponse(request.url.path.removesuffix("login") + "api", 302)
        response.set_cookie(_COOKIE, cookie, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return response


def _is_same(said: str, cookie: str | None) -> bool:
    return bool(cookie) and secrets.compare_digest(said.encode(), (cookie or "").encode())


def _page(request: Request, said: str, *, status: int = 200) -> Response:
    xsrf = request.cookies.get(_XSRF) or secrets.token_hex(16)
    response = HTMLResponse(_PAGE.format(said=html.escape(said), xsrf=html.escape(xsrf)), status)
    response.set_cookie(_XSRF, xsrf, samesite="lax", secure=request.url.scheme == "https")
    return response
