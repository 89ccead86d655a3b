"""The box of a sandbox, which holds what this wire keeps of it, and the way to its ``execd``."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from interpreter_tools.server._errors import BadRequest, NoSuchSandbox, NotFound, ServerError
from interpreter_tools.server._sandbox import SandboxState

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._commands.process import Process
    from interpreter_tools._commands.processes import Processes
    from interpreter_tools._context.context import Context
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._sandbox import Sandbox

EXECD = "/execd/{sandbox_id}"
TOKEN = "X-EXECD-ACCESS-TOKEN"  # noqa: S105 - the name of a header
_MOST_COMMANDS = 1000  # that are remembered
_MOST_LOG = 1 << 20  # bytes of the output of a command in the background that are kept
_PLACES = ("isolated", "metrics", "pty", "proxy")  # of execd, that are not here


class Command:
    """A command of a sandbox, while it runs and after.

    Attributes:
        id: its id.
        text: what the client asked for.
        process: its process.
        log: the last of its output.
        cut: bytes of output before those of ``log``.
        exit_code: its exit code; None while it runs.
        began: when it began.
        ended: when it ended.
        following: the task that reads the output of a command in the background.
    """

    def __init__(self, text: str, process: Process) -> None:
        self.id = secrets.token_hex(16)
        self.text = text
        self.process = process
        self.log = bytearray()
        self.cut = 0
        self.exit_code: int | None = None
        self.began = datetime.now(UTC)
        self.ended: datetime | None = None
        self.following: asyncio.Task[None] | None = None

    def note(self, data: bytes) -> None:
        """Keep output."""
        self.log += data
        if len(self.log) > _MOST_LOG:
            over = len(self.log) - _MOST_LOG // 2
            self.cut += over
            del self.log[:over]

    def end(self, exit_code: int) -> None:
        """Note its end."""
        self.exit_code = exit_code
        self.ended = datetime.now(UTC)


class Box:
    """The commands, runs and shells of a sandbox that this wire keeps.

    Attributes:
        sandbox: the sandbox.
        image: the image as the client has named it.
        entrypoint: the entrypoint that the client has asked for; nothing runs it.
        commands: its commands, by id.
        running: the contexts whose cells run, by the id of the run.
        shells: the shells of its sessions, by id.
    """

    def __init__(self, sandbox: Sandbox, *, image: str, entrypoint: Sequence[str]) -> None:
        self.sandbox = sandbox
        self.image = image
        self.entrypoint = list(entrypoint)
        self.commands: dict[str, Command] = {}
        self.running: dict[str, Context] = {}
        self.shells: dict[str, Context] = {}

    def __repr__(self) -> str:
        return f"<Box {self.sandbox.id} [{len(self.commands)} commands]>"

    @property
    def processes(self) -> Processes:
        """The processes of its session."""
        self.sandbox.check()
        return self.sandbox.session.processes()

    def add(self, command: Command) -> None:
        """Remember a command, and forget the oldest ones that have ended."""
        self.commands[command.id] = command
        if len(self.commands) > _MOST_COMMANDS:
            old = next((each for each in self.commands.values() if each.exit_code is not None), None)
            if old is None:
                raise BadRequest(f"{_MOST_COMMANDS} commands run already", hint="interrupt some of them")
            del self.commands[old.id]

    def command(self, command_id: str) -> Command:
        """Return a command.

        Raises:
            NotFound: there is none.
        """
        command = self.commands.get(command_id)
        if command is None:
            raise NotFound(f"there is no command {command_id[:80]!r}")
        return command

    def end(self) -> None:
        """Stop following its commands: the sandbox has ended."""
        for command in self.commands.values():
            if command.following is not None:
                command.following.cancel()


class Boxes:
    """The boxes of a server, by the id of their sandbox.

    Args:
        core: what all wires share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_id: dict[str, Box] = {}

    def __repr__(self) -> str:
        return f"<Boxes [{len(self._by_id)}]>"

    def add(self, sandbox: Sandbox, *, image: str, entrypoint: Sequence[str]) -> Box:
        """Return the box of a new sandbox."""
        box = self._by_id[sandbox.id] = Box(sandbox, image=image, entrypoint=entrypoint)

        def end() -> None:
            self._by_id.pop(sandbox.id, None)
            box.end()

        sandbox.on_end(end)
        return box

    def of(self, sandbox: Sandbox) -> Box:
        """Return the box of a sandbox; one of another wire is no sandbox of this one.

        Raises:
            NoSuchSandbox: it was not made by this wire.
        """
        box = self._by_id.get(sandbox.id)
        if box is None:
            raise NoSuchSandbox(sandbox.id)
        return box

    def all(self) -> list[Box]:
        """Return the boxes, oldest first."""
        return list(self._by_id.values())

    def find(self, request: Request) -> Box:
        """Return the box that a request to ``execd`` means, by its token or its key.

        Raises:
            NoSuchSandbox: there is none, or the token or key is that of another.
            Unauthorized: it brings neither.
            ServerError: it is paused.
        """
        sandbox_id = request.path_params["sandbox_id"]
        token = request.headers.get(TOKEN)
        if token is not None:
            sandbox = self._core.sandboxes.by_token(token)
            if sandbox.id != sandbox_id:
                raise NoSuchSandbox(sandbox_id)
        else:
            sandbox = self._core.sandboxes.get(self._core.authenticate(request), sandbox_id)
        if sandbox.state is SandboxState.PAUSED:
            raise ServerError(f"the sandbox {sandbox.id} is paused", status=409, hint="resume it")
        return self.of(sandbox)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of ``execd`` itself: that it is there, and what it has not."""
        absent = [f"{EXECD}/{place}" for place in _PLACES] + [f"{EXECD}/{place}/{{rest:path}}" for place in _PLACES]
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route(f"{EXECD}/ping", self._ping),
            *(Route(path, self._refuse, methods=every) for path in (*absent, f"{EXECD}/v1/{{rest:path}}")),
            *(Route(f"{EXECD}/{place}", self._refuse, methods=every) for place in ("policy", "credential-vault")),
            Route(f"{EXECD}/credential-vault/{{rest:path}}", self._refuse, methods=every),
        ]

    async def _ping(self, request: Request) -> Response:
        self.find(request)
        return Response()

    async def _refuse(self, request: Request) -> Response:
        self.find(request)
        raise ServerError(
            f"{request.url.path.partition(EXECD[:6])[2]} is not there", status=501, hint="docs/wires.md lists what is"
        )
