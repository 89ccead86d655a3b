"""The way of a run without a session to its container: what it needs, the shape that fits, the job, and a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ImageMissing
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._languages import plan
from interpreter_tools._runtime.preparing import complete

if TYPE_CHECKING:
    from interpreter_tools._execution.outcome import Prepared
    from interpreter_tools._execution.placement import End
    from interpreter_tools._languages import Job
    from interpreter_tools._runtime.request import RunRequest
    from interpreter_tools._runtime.runtime import Fitting, Runtime


class PoolPlacement:
    """Places a run in a container of a pool."""

    def __init__(self, runtime: Runtime, request: RunRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._complete = False

    @property
    def prepared(self) -> Prepared:
        """The decisions about the run's packages."""
        return self._request.prepared

    async def acquire(self, end: End) -> Placed | Missing:
        """Return a container for the run, or the packages that must be installed first."""
        del end  # nobody ends the run of a pool's container from outside
        runtime = self._runtime
        if not self._complete:
            self._request = await complete(self._request, runtime)
            self._complete = True
        request = self._request
        fitting = await runtime.fit(request.language, request.options, request.packages)
        if isinstance(fitting, Missing):
            return fitting
        job = job_of(request, fitting)
        try:
            return Placed(job, await runtime.pool(fitting.shape).acquire(), fitting.missing)
        except ImageMissing:
            if fitting.image is None:
                raise
            return fitting.image  # the image with its packages was pruned meanwhile

    def leave(self) -> None:
        """Do nothing: the pool already has its container back."""


def job_of(request: RunRequest, fitting: Fitting, *, image_environment: dict[str, str] | None = None) -> Job:
    """Return what a container must be told to run a request.

    Args:
        request: the request, complete.
        fitting: the shape of the container, and where the packages are.
        image_environment: the variables of the container's image; None means those of ``fitting``.
    """
    return plan(
        request.language,
        request.code,
        request.files,
        request.options,
        image_environment=fitting.shape.image_environment if image_environment is None else image_environment,
        need=fitting.need,
    )
