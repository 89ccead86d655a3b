"""The table of sandboxes: which there are, whose they are, and when they end."""

from __future__ import annotations

import asyncio
import heapq
import logging
import secrets
import string
import time
from typing import TYPE_CHECKING, Literal

from interpreter_tools._config.model import ContainerStrategy, SessionConfig
from interpreter_tools._config.options import with_limits
from interpreter_tools.server._errors import NoSuchSandbox, Refused, Unavailable
from interpreter_tools.server._sandbox import Sandbox, SandboxState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools._config.options import RunLimits
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools.server._config import ServerConfig
    from interpreter_tools.server._keys import Owner

_LOG = logging.getLogger("interpreter_tools.server")
_ALPHABET = string.ascii_lowercase + string.digits
_ID_LENGTH = 20
_NETWORK = "bridge"
_METERED_EVERY = 0.25  # seconds between two looks for new containers


class Sandboxes:
    """The sandboxes of a server. One timer ends those whose time is over; a sandbox has no task of its own.

    Args:
        engine: the engine whose sessions they are.
        config: the limits.
    """

    def __init__(self, engine: ExecutionEngine, config: ServerConfig) -> None:
        self._engine = engine
        self._config = config
        self._by_id: dict[str, Sandbox] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ending: set[asyncio.Task[None]] = set()
        self._metering: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Sandboxes [{len(self._by_id)}]>"

    def __len__(self) -> int:
        return len(self._by_id)

    async def create(
        self,
        owner: Owner,
        *,
        template: str = "",
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        container: ContainerConfig | None = None,
        on_timeout: Literal["kill", "pause"] = "kill",
    ) -> Sandbox:
        """Make a sandbox. Its container comes with the first use, so that its language is known then.

        Args:
            owner: whose it is.
            template: the name that the client gave for it.
            timeout: seconds that it lives; None means ``ServerConfig.sandbox_timeout``.
            environment: variables of its contexts and commands.
            metadata: what the client wants to find it by.
            container: the configuration of its containers, see ``container_of``; None means the engine's.
            on_timeout: what the end of its time does.

        Raises:
            Refused: the owner, or the server, has as many sandboxes as it may.
            Unavailable: the server stops.
        """
        if self._closed:
            raise Unavailable("the server stops", reason="stopping", retry_after=5)
        owner.check_sandboxes()
        if len(self._by_id) >= self._config.sandboxes:
            message = f"there are {len(self._by_id)} sandboxes, as many as the server holds"
            raise Refused(message, reason="sandboxes", retry_after=5)
        sandbox_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
        session = self._engine.session(
            SessionConfig(
                strategy=ContainerStrategy.PER_SESSION,
                container=container,
                session_id=f"sandbox-{sandbox_id}",
                enforce_new_session=True,
                idle_timeout=None,  # this table ends it
            )
        )
        sandbox = Sandbox(
            sandbox_id,
            owner,
            session,
            secret=secrets.token_hex(16),
            template=template,
            environment=environment or {},
            metadata=metadata or {},
            on_timeout=on_timeout,
            schedule=self._schedule,
            ended=self._take_leave,
        )
        owner.sandboxes += 1
        self._by_id[sandbox_id] = sandbox
        sandbox.set_timeout(self._config.sandbox_timeout if timeout is None else timeout)
        if owner.is_metered and self._metering is None:
            self._metering = asyncio.create_task(self._meter())
        return sandbox

    async def _meter(self) -> None:
        """Charge processor time that no result tells, for as long as there are sandboxes whose owners have a limit."""
        while metered := [sandbox for sandbox in self._by_id.values() if sandbox.owner.is_metered]:
            due = [
                sandbox.meter.look()
                for sandbox in metered
                if sandbox.state is SandboxState.RUNNING and sandbox.meter.is_due
            ]
            for error in await asyncio.gather(*due, return_exceptions=True):
                if error is not None:
                    _LOG.warning("the processor time of a sandbox is not charged", exc_info=error)
            await asyncio.sleep(_METERED_EVERY)
        self._metering = None

    def container_of(self, limits: RunLimits, *, network: bool) -> ContainerConfig:
        """Return the engine's configuration of containers, changed for one sandbox.

        Args:
            limits: what differs from the engine's.
            network: True gives its programs a network.

        Raises:
            ConfigurationError: a limit cannot work.
        """
        config = self._engine.config
        if network and config.container.network == "none":
            limits = {**limits, "network": _NETWORK}
        return with_limits(config, limits).container

    def get(self, owner: Owner, sandbox_id: str) -> Sandbox:
        """Return a sandbox of an owner.

        Raises:
            NoSuchSandbox: there is none, or it belongs to another owner.
        """
        sandbox = self._by_id.get(sandbox_id)
        if sandbox is None or sandbox.owner is not owner:
            raise NoSuchSandbox(sandbox_id)
        return sandbox

    def by_token(self, access_token: str) -> Sandbox:
        """Return the sandbox of an access token, which stands for itself and needs no key.

        Raises:
            NoSuchSandbox: the token is not that of a sandbox.
        """
        sandbox_id = access_token.partition("_")[0]
        sandbox = self._by_id.get(sandbox_id)
        if sandbox is None or not secrets.compare_digest(sandbox.access_token.encode(), access_token.encode()):
            raise NoSuchSandbox(sandbox_id)
        return sandbox

    def by_id(self, sandbox_id: str) -> Sandbox:
        """Return a sandbox of any owner, for wires that check an access token afterwards.

        Raises:
            NoSuchSandbox: there is none.
        """
        sandbox = self._by_id.get(sandbox_id)
        if sandbox is None:
            raise NoSuchSandbox(sandbox_id)
        return sandbox

    def list(self, owner: Owner) -> list[Sandbox]:
        """Return the sandboxes of an owner, oldest first."""
        return [sandbox for sandbox in self._by_id.values() if sandbox.owner is owner]

    def all(self) -> list[Sandbox]:
        """Return the sandboxes of all owners, oldest first."""
        return list(self._by_id.values())

    async def aclose(self) -> None:
        """End all sandboxes, and make no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._metering is not None:
            self._metering.cancel()
        for sandbox in tuple(self._by_id.values()):
            sandbox.end()
        await asyncio.gather(*self._ending, return_exceptions=True)

    # -- time

    def _schedule(self, sandbox: Sandbox) -> None:
        heapq.heappush(self._deadlines, (sandbox.deadline, sandbox.id))
        if len(self._deadlines) > 2 * len(self._by_id) + 64:  # most are of sandboxes that were extended or have ended
            self._deadlines = [(each.deadline, each.id) for each in self._by_id.values()]
            heapq.heapify(self._deadlines)
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the timer run at the first deadline."""
        if self._closed or not self._deadlines:
            return
        at = self._deadlines[0][0]
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - time.monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, sandbox_id = heapq.heappop(self._deadlines)
            sandbox = self._by_id.get(sandbox_id)
            if sandbox is None or sandbox.deadline > deadline:
                continue
            if sandbox.on_timeout == "pause" and sandbox.state is SandboxState.RUNNING and sandbox.session.is_active:
                sandbox.pause(keep=self._config.paused_timeout)
            else:
                sandbox.end()
        self._set_timer()

    # -- end

    def _take_leave(self, sandbox: Sandbox, ending: asyncio.Task[None]) -> None:
        """Forget a sandbox, and keep the task that ends it until it is done."""
        del self._by_id[sandbox.id]
        sandbox.owner.sandboxes -= 1
        self._ending.add(ending)
        ending.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning("a sandbox could not be ended", exc_info=error)
