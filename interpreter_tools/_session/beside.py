"""The way of a program into a container of a session, to run beside its runs: of processes, for one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import StoreFailed
from interpreter_tools._execution.placement import Missing
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._protocol import Start
from interpreter_tools._protocol.constants import Flag
from interpreter_tools._runtime.placing import job_of
from interpreter_tools._runtime.request import RunRequest

if TYPE_CHECKING:
    from interpreter_tools._container.side_run import SideListener, SideRun
    from interpreter_tools._session.run import SessionRuns

_NAME = "its processes"


async def start_beside(
    runs: SessionRuns, request: RunRequest, command: tuple[str, ...], listener: SideListener, *, resident: str
) -> SideRun:
    """Start a program beside the runs of a session, in the container of its language. It has the turn for that only.

    Args:
        runs: the runs of the session.
        request: the request that says which container, which variables and which directory.
        command: the program and its arguments.
        listener: hears what the program says.
        resident: the name of what lives in the container then, for people.
    """
    async with runs.turns.turn():
        runs.workspace.containers.check()
        fitting = await runs.fit(request, is_booted=False)
        if isinstance(fitting, Missing):
            raise StoreFailed("an image was made for a program, but is not there")
        record = await runs.workspace.containers.acquire_own(fitting.shape)
        await record.container.apply_limits(request.options.container)
        await runs.workspace.deliver(record)
        runs.workspace.containers.release_own(record)
        job = job_of(request, fitting, image_environment=record.container.shape.image_environment)
        runs.workspace.residents.add(resident)
        start = Start(
            command,
            job.environment,
            uid=record.uid,
            flags=Flag.STDIN,
            timeout_ms=0,
            output_limit=0,
            directory=job.directory,
        )
        return record.channel.start_side(start, listener)


class ProcessPlace:
    """The place of a session's processes."""

    def __init__(self, runs: SessionRuns) -> None:
        self._runs = runs

    @property
    def image(self) -> str:
        """The image of the session's programs."""
        container = self._runs.workspace.config
        return container.image or LanguageRegistry.get("python").default_image

    async def start(self, command: tuple[str, ...], listener: SideListener) -> SideRun:
        """Start the command server."""
        runs = self._runs
        request = RunRequest.read(runs.runtime.config, "python", "", {}, session=runs.config)
        return await start_beside(runs, request, command, listener, resident=_NAME)

    def begin(self) -> None:
        """Note that a process begins."""
        self._runs.turns.cells += 1
        self._runs.turns.used = time.monotonic()

    def end(self) -> None:
        """Note that a process has ended."""
        self._runs.turns.cells -= 1
        self._runs.turns.used = time.monotonic()
