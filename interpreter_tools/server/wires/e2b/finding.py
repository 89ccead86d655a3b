"""The sandbox that a request is for, and whether it may use it."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from typing import TYPE_CHECKING

from interpreter_tools.server._errors import NoSuchSandbox, ServerError, Unauthorized
from interpreter_tools.server._presented import presented_key
from interpreter_tools.server._sandbox import SandboxState
from interpreter_tools.server.wires.e2b.signing import is_signed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._sandbox import Sandbox
    from interpreter_tools.server.wires.e2b.state import States

CODE_PORT = 49999
_HOST = re.compile(r"(\d{1,5})-([a-z0-9]+)\.")
_TOKENS = ("x-access-token", "e2b-traffic-access-token")
_PATHS = (
    "/process.Process/",
    "/filesystem.Filesystem/",
    "/v2/sandboxes",
    "/v2/templates",
    "/v3/templates",
    "/templates",
    "/snapshots",
    "/secrets",
    "/volumes",
)
_NAMES = frozenset({b"e2b-sandbox-id", b"e2b-sandbox-port", b"x-access-token", b"e2b-traffic-access-token"})


class SandboxGone(ServerError):
    """The answer of E2B's proxy for a sandbox that has ended: clients tell it by these words."""

    status = 502
    reason = "not_found"

    def __init__(self, sandbox_id: str) -> None:
        super().__init__(f"The sandbox {sandbox_id[:80]} was not found")


def host_of(scope: Scope) -> tuple[int, str] | None:
    """Return the port and the sandbox that the host of a request names; None for another host."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    found = _HOST.match(host.decode("latin-1"))
    return None if found is None else (int(found[1]), found[2])


def is_ours(scope: Scope) -> bool:
    """Return True for a request that only clients of E2B make."""
    path = scope["path"]
    if path.startswith(_PATHS):
        return True
    names = {name for name, _ in scope["headers"]}
    if names & _NAMES or host_of(scope) is not None:
        return True
    if path.startswith("/sandboxes"):
        return b"x-api-key" in names
    return path == "/files" and b"signature=" in scope.get("query_string", b"")


def sandbox_of(core: Core, states: States, request: Request) -> Sandbox:
    """Return the running sandbox of a request, which proves its right to it by an access token or a key.

    The host name tells which sandbox it is, or a header, or the access token itself.

    Raises:
        SandboxGone: there is no such sandbox, or it is paused.
        Unauthorized: the request does not prove its right to it.
    """
    tokens = [value for name in _TOKENS if (value := request.headers.get(name))]
    named = host_of(request.scope)
    sandbox_id = named[1] if named is not None else request.headers.get("e2b-sandbox-id", "")
    if not sandbox_id and tokens:
        sandbox_id = tokens[0].partition("_")[0]
    if not sandbox_id:
        raise SandboxGone("of this request")
    try:
        sandbox = core.sandboxes.by_id(sandbox_id)
    except NoSuchSandbox:
        raise SandboxGone(sandbox_id) from None
    if not any(secrets.compare_digest(token.encode(), sandbox.access_token.encode()) for token in tokens):
        _check_key(core, request, sandbox)
    request.state.sandbox = sandbox  # for ``has_ended_meanwhile``
    return _awake(core, states, sandbox)


def has_ended_meanwhile(request: Request) -> bool:
    """Return True when the sandbox of a request has ended since ``sandbox_of`` found it."""
    sandbox: Sandbox | None = getattr(request.state, "sandbox", None)
    return sandbox is not None and sandbox.state is SandboxState.ENDED


def signed_sandbox(core: Core, states: States, request: Request) -> Sandbox | None:
    """Return the sandbox of a signed URL of a file; None for a request without a signature.

    With one URL for all sandboxes, only the signature tells which one it is for.

    Raises:
        SandboxGone: the host names a sandbox that has ended.
        Unauthorized: the signature allows nothing, or not any more.
    """
    query = request.query_params
    signature = query.get("signature")
    if signature is None:
        return None
    named = host_of(request.scope)
    sandbox_id = named[1] if named is not None else request.headers.get("e2b-sandbox-id", "")
    candidates = core.sandboxes.all()
    if sandbox_id:
        candidates = [sandbox for sandbox in candidates if sandbox.id == sandbox_id]
        if not candidates:
            raise SandboxGone(sandbox_id)
    path, user, expiration = (query.get(name, "") for name in ("path", "username", "signature_expiration"))
    operation = "read" if request.method in {"GET", "HEAD"} else "write"
    for sandbox in candidates:
        token = sandbox.access_token
        if is_signed(signature, path=path, operation=operation, user=user, token=token, expiration=expiration):
            if expiration and int(expiration) < time.time():
                raise Unauthorized("signature is already expired")
            return _awake(core, states, sandbox)
    raise Unauthorized("invalid signature")


def _check_key(core: Core, request: Request, sandbox: Sandbox) -> None:
    """Let the owner's key in, too."""
    with contextlib.suppress(Unauthorized):
        if presented_key(request.scope) is not None and core.keys.owner(presented_key(request.scope)) is sandbox.owner:
            return
    raise Unauthorized("the access token of the sandbox is missing or wrong", hint="connect to the sandbox again")


def _awake(core: Core, states: States, sandbox: Sandbox) -> Sandbox:
    if sandbox.state is SandboxState.PAUSED and states.of(sandbox).auto_resume:
        sandbox.resume(core.config.sandbox_timeout)
    if sandbox.state is not SandboxState.RUNNING:
        raise SandboxGone(sandbox.id)
    return sandbox
