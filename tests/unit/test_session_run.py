"""Runs of a session: their turns, and what becomes of their containers."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from interpreter_tools import ContainerStrategy, Execution, SessionClosed, SessionConfig
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._execution.installing import Installed
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._session.lease import _TABLE
from interpreter_tools._session.run import SessionRun, SessionRuns
from interpreter_tools._session.turns import Turns
from interpreter_tools.testing.executions import job
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._execution.installing import Waiter
    from interpreter_tools._runtime.request import RunRequest
    from interpreter_tools._runtime.runtime import Runtime
    from interpreter_tools._session.lease import SessionLease
    from interpreter_tools._session.workspace import Workspace


def test_every_end_of_every_strategy_is_decided() -> None:
    """The table has no gap."""
    assert set(_TABLE) == set(itertools.product(ContainerStrategy, LeaseEnd))


class Lease(Sandbox):
    """A container whose lease ends at once."""

    record = SimpleNamespace(facts=SimpleNamespace(last_executed_at=None))
    on_end: Callable[[bool], None]

    def release(self, end: LeaseEnd) -> None:
        """Do what the session's own does in the end."""
        super().release(end)
        self.on_end(end is not LeaseEnd.UNUSED)


class TurnedRun(SessionRun):
    """A run that gets a scripted container in its turn; its packages are missing the first time, if they ever are."""

    def __init__(self, session: Turned, name: str, lease: Lease, *, missing: bool) -> None:
        super().__init__(cast("RunRequest", SimpleNamespace(prepared=None)), session.runs)
        self.session, self.name, self.container, self.missing = session, name, lease, missing

    async def _place(self) -> Placed | Missing:
        self.session.order.append(self.name)
        if self.missing:
            self.missing = False
            return Missing("key", self.session.join)
        self.container.on_end = self._lease_ended
        self.lease = cast("SessionLease", self.container)
        return Placed(job(), self.container)


class Turned:
    """A session that has turns, and nothing else."""

    def __init__(self) -> None:
        runtime = cast("Runtime", SimpleNamespace(check=lambda: None, closed=False))
        self.turns = Turns("one", runtime, queue=True)
        self.runs = SessionRuns(runtime, cast("Workspace", None), self.turns, SessionConfig())
        self.order: list[str] = []
        self.waiters: list[Waiter] = []

    def execution(self, name: str, *, missing: bool = False) -> tuple[Execution, Lease]:
        """A run, and its container; its packages are missing the first time."""
        lease = Lease()
        return Execution(TurnedRun(self, name, lease, missing=missing), stdin=b"", capture=True), lease

    def join(self, waiter: Waiter) -> Turned:
        """The place of a run that waits."""
        self.waiters.append(waiter)
        return self

    def leave(self) -> None:
        """Wait no longer."""


async def test_runs_keep_their_order_while_packages_are_installed() -> None:
    """The second waits for the first, whose packages are made into an image or a store entry."""
    session = Turned()
    first, container = session.execution("first", missing=True)
    second, other = session.execution("second")
    async with first:
        later = asyncio.create_task(second.__aenter__())
        await settle()
        assert session.order == ["first"]
        session.waiters[0].installed(Installed())
        await settle()
        assert session.order == ["first", "first"]
        container.say(EXITED)
        await first.result()
        await later
        assert session.order[2:] == ["second"]
        other.say(EXITED)
        await second.result()
    assert not session.turns.busy


@pytest.mark.parametrize("how", ["leave", "kill", "fail", "end"])
async def test_turn_ends_with_a_run_that_never_began(how: str) -> None:
    """However its installation ends."""
    session = Turned()
    execution, _ = session.execution("first", missing=True)
    async with execution:
        assert session.turns.busy
        if how == "kill":
            await execution.kill()
        elif how == "fail":
            session.waiters[0].installed(Installed(exit_code=1))
        elif how == "end":
            cast("SessionRun", execution.placement).abandon(SessionClosed("no"))
    assert not session.turns.busy
