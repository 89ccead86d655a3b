"""The processor time of sandboxes, as the Docker host counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from interpreter_tools.server import Quota, ServerConfig
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._meter import Meter
from interpreter_tools.server._sandboxes import Sandboxes
from tests.watch import eventually

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine
    from interpreter_tools._session.session import Session


class _Owner(Owner):
    """Adds up what it is charged with."""

    def __init__(self) -> None:
        super().__init__("x", Quota(cpu_seconds=1000))
        self.charged = 0.0

    def use_cpu(self, seconds: float) -> None:
        """Note seconds."""
        self.charged += seconds
        super().use_cpu(seconds)


class _Session:
    """Containers whose processor time the test sets."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    @property
    def container_ids(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(self.times)

    async def processor_times(self) -> dict[str, float]:
        """Return their times."""
        return dict(self.times)


async def test_nothing_is_charged_twice() -> None:
    """Looks and results overlap: a cell is charged once, whichever tells of it first; its container's boot never."""
    owner, session = _Owner(), _Session()
    meter = Meter(owner, cast("Session", session))
    session.times["a"] = 5.0
    assert meter.is_due
    await meter.look()
    assert owner.charged == 0  # it has booted
    assert not meter.is_due
    meter.charge(2.0)
    session.times["a"] = 7.0
    await meter.look()
    assert owner.charged == 2  # the result has told of it
    since = meter.used
    session.times["a"] = 10.0
    await meter.look()
    assert owner.charged == 5  # a long cell that has not ended
    meter.charge(4.0, since=since)
    session.times["a"] = 11.0
    await meter.look()
    assert owner.charged == 6
    session.times["a"] = 20.0
    await meter.look()
    assert owner.charged == 15  # nothing tells of it: a program that was left behind
    session.times["b"] = 1.0
    assert meter.is_due
    del session.times["a"]
    await meter.look()
    assert owner.charged == 15


async def test_container_that_comes_and_goes_between_two_looks_is_charged() -> None:
    """With no more than there can have been in the time of the sandbox."""
    owner, session = _Owner(), _Session()
    meter = Meter(owner, cast("Session", session))
    session.times["a"] = 1e-9
    await meter.look(last=True)
    assert owner.charged == pytest.approx(1e-9)
    session.times["b"] = 1e9
    await meter.look(last=True)
    assert owner.charged < 1e6


_LEAVES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while time.process_time() < 0.5:
            pass
        open("done", "w").close()
    os._exit(0)
os.wait()
"""


@pytest.mark.docker
async def test_what_a_cell_leaves_behind_is_charged(engine: ExecutionEngine) -> None:
    """A process that nobody waits for uses the quota of its key, and the end of its sandbox tells the last of it."""
    table, owner = Sandboxes(engine, ServerConfig()), _Owner()
    try:
        sandbox = await table.create(owner, timeout=300)
        context = sandbox.context("python")
        await context.run("1")

        async def is_due() -> bool:
            return sandbox.meter.is_due

        await eventually(is_due, lambda due: not due, within=60)
        (await context.run(_LEAVES)).check()
        (await context.run("while not os.path.exists('done'): time.sleep(0.05)", timeout=120)).check()
        await sandbox.kill()
    finally:
        await table.aclose()
    assert owner.charged > 0.45
