"""The way of a program into a container of a session, to run beside its runs: of contexts, and of processes."""

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
    from interpreter_tools._languages import Job
    from interpreter_tools._session.record import Record
    from interpreter_tools._session.run import SessionRuns

_NAME = "its processes"  # as an error names what lives in a container


async def place_beside(runs: SessionRuns, request: RunRequest, *, is_booted: bool) -> tuple[Record, Job]:
    """Return a container of the session that is ready for a program beside its runs, and the job of the program.

    The caller has the session's turn.

    Args:
        runs: the runs of the session.
        request: the request that says which container, which variables and which directory.
        is_booted: True for a program that the interpreter booted ahead runs.

    Raises:
        StoreFailed: something that was installed for the program is not there.
        ContainerLost: a container of the session is gone.
    """
    containers = runs.workspace.containers
    containers.check()
    fitting = await runs.fit(request, is_booted=is_booted)
    if isinstance(fitting, Missing):
        raise StoreFailed("what was installed for a program beside the session's runs is not there")
    record = await containers.acquire_own(fitting.shape)
    await record.container.apply_limits(request.options.container)
    await runs.workspace.deliver(record)
    containers.release_own(record)
    return record, job_of(request, fitting, image_environment=record.container.shape.image_environment)


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
        """Start the command server. It has the session's turn for that only."""
        runs = self._runs
        request = RunRequest.read(runs.runtime.config, "python", "", {}, session=runs.config)
        async with runs.turns.turn():
            record, job = await place_beside(runs, request, is_booted=False)
            runs.workspace.residents.add(_NAME)
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

    def begin(self) -> None:
        """Note that a process begins."""
        self._runs.turns.cells += 1
        self._runs.turns.used = time.monotonic()

    def end(self) -> None:
        """Note that a process has ended."""
        self._runs.turns.cells -= 1
        self._runs.turns.used = time.monotonic()
