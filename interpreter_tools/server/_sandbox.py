"""A sandbox: a session with an owner, a lifetime, and what the wires keep of it."""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Unpack

from interpreter_tools.server._errors import NoSuchSandbox
from interpreter_tools.server._meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpreter_tools._commands.commands import Commands
    from interpreter_tools._commands.link import End
    from interpreter_tools._commands.process import Process
    from interpreter_tools._commands.processes import StartOptions
    from interpreter_tools._config.options import ContextOptions
    from interpreter_tools._context.context import Context
    from interpreter_tools._session.session import Session
    from interpreter_tools.server._keys import Owner


class SandboxState(StrEnum):
    """The states of a sandbox."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


_NEXT = {
    SandboxState.RUNNING: {SandboxState.RUNNING, SandboxState.PAUSED, SandboxState.ENDED},
    SandboxState.PAUSED: {SandboxState.RUNNING, SandboxState.PAUSED, SandboxState.ENDED},
    SandboxState.ENDED: frozenset[SandboxState](),
}


class Sandbox:
    """A session that a client has asked for, made by ``Sandboxes.create``.

    Attributes:
        id: the name of the sandbox, of lower-case letters and digits: it stands in host names.
        owner: the owner of the key that it was made with.
        session: the session.
        template: the name that the client gave for what the sandbox is made of.
        metadata: what the client wants to find it by.
        environment: the variables of its contexts and commands.
        access_token: the secret of requests that name no key; it begins with the id.
        on_timeout: what its end of time does: ``"kill"`` or ``"pause"``.
        started_at: when it was made.
        ends_at: when it ends, unless it is extended.
        meter: charges its owner with its processor time.
        state: running, paused or ended.
        contexts: the contexts that clients have made, by id.
    """

    def __init__(
        self,
        sandbox_id: str,
        owner: Owner,
        session: Session,
        *,
        secret: str,
        template: str,
        environment: Mapping[str, str],
        metadata: Mapping[str, str],
        on_timeout: Literal["kill", "pause"],
        schedule: Callable[[Sandbox], None],
        ended: Callable[[Sandbox, asyncio.Task[None]], None],
    ) -> None:
        self.id = sandbox_id
        self.owner = owner
        self.session = session
        self.template = template
        self.environment = dict(environment)
        self.metadata = dict(metadata)
        self.access_token = f"{sandbox_id}_{secret}"
        self.on_timeout: Literal["kill", "pause"] = on_timeout
        self.started_at = datetime.now(UTC)
        self.state = SandboxState.RUNNING
        self.contexts: dict[str, Context] = {}
        self.deadline = 0.0  # on the monotonic clock; ``set_timeout`` sets it
        self.ends_at = self.started_at
        self._schedule = schedule
        self._ended = ended
        self._on_end: list[Callable[[], None]] = []
        self.meter = Meter(owner, session)
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.id} of {self.owner.id} [{self.state}]>"

    def _change(self, state: SandboxState) -> None:
        assert state in _NEXT[self.state], f"a sandbox that is {self.state} cannot become {state}"
        self.state = state

    # -- time

    def set_timeout(self, seconds: float) -> None:
        """Have it end this many seconds from now, whatever was said before."""
        self.deadline = time.monotonic() + max(0.0, seconds)
        self.ends_at = datetime.now(UTC) + timedelta(seconds=max(0.0, seconds))
        self._schedule(self)

    def extend(self, seconds: float) -> None:
        """Have it end not before this many seconds from now."""
        if self.deadline < time.monotonic() + seconds:
            self.set_timeout(seconds)

    def pause(self, *, keep: float) -> None:
        """Have its programs stand still, with their memory, until ``resume``.

        Args:
            keep: seconds after which a paused sandbox ends.
        """
        self.check()
        self.session.pause()
        self._change(SandboxState.PAUSED)
        self.set_timeout(keep)

    def resume(self, seconds: float) -> None:
        """Have a paused sandbox run again, for this many seconds."""
        self.check()
        self.session.resume()
        self._change(SandboxState.RUNNING)
        self.set_timeout(seconds)

    # -- use

    def check(self) -> None:
        """Refuse the use of a sandbox that has ended.

        Raises:
            NoSuchSandbox: it has ended.
        """
        if self.state is SandboxState.ENDED:
            raise NoSuchSandbox(self.id)

    def context(self, language: str, name: str | None = None, **options: Unpack[ContextOptions]) -> Context:
        """Return a context of the sandbox with its environment; one of this name that is there already is returned.

        Raises:
            NoSuchSandbox: it has ended.
            InterpreterToolsError: as ``Session.context`` raises it.
        """
        self.check()
        options["environment"] = {**self.environment, **options.get("environment", {})}
        context = self.session.context(language, name, **options)
        self.contexts[context.id] = context
        return context

    async def close_context(self, context: Context) -> None:
        """Close a context and forget it."""
        self.contexts.pop(context.id, None)
        await context.aclose()

    @property
    def commands(self) -> Commands:
        """The commands of the session, which run side by side.

        Raises:
            NoSuchSandbox: it has ended.
        """
        self.check()
        return self.session.commands()

    async def start(self, command: Sequence[str], **options: Unpack[StartOptions]) -> Process:
        """Start a program for a client; see ``Processes.start``. It is one of its owner's commands until it has ended.

        Raises:
            NoSuchSandbox: the sandbox has ended.
            Refused: the owner has as many commands as it may, or no processor time.
            OSError: the program or the directory cannot be used.
            InterpreterToolsError: as ``Processes.start`` raises it.
        """
        self.check()
        self.owner.check_commands()
        self.owner.commands += 1
        try:
            process = await self.session.processes().start(command, **options)
        except BaseException:
            self.owner.commands -= 1
            raise
        process.ended.add_done_callback(functools.partial(self._note_end, self.meter.used))
        return process

    def _note_end(self, since: float, ended: asyncio.Future[End]) -> None:
        """Count a command of the owner no more, and its processor time."""
        self.owner.commands -= 1
        if not ended.cancelled() and ended.exception() is None:
            self.meter.charge(ended.result().cpu_time, since=since)

    # -- end

    def on_end(self, call: Callable[[], None]) -> None:
        """Have a function called when the sandbox ends, before its session is cleaned up; at once if it has ended."""
        if self.state is SandboxState.ENDED:
            call()
        else:
            self._on_end.append(call)

    async def kill(self) -> None:
        """End the sandbox, with all that runs in it. Idempotent; goes on in the background if it is cancelled."""
        await asyncio.shield(self.end())

    def end(self) -> asyncio.Task[None]:
        """Begin to end the sandbox, and return the task that does it, which its table waits for."""
        if self._ending is None:
            self._change(SandboxState.ENDED)
            self._ending = asyncio.create_task(self._end())
            self._ended(self, self._ending)
            for call in self._on_end:
                call()
            self._on_end.clear()
        return self._ending

    async def _end(self) -> None:
        self.contexts.clear()
        try:
            if self.owner.is_metered and self.session.container_ids:
                await self.meter.look(last=True)
        finally:
            await self.session.aclose()
