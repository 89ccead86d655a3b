"""The request for a run, as it is known before a container is there; with or without a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools._config.options import Resolved, resolve
from interpreter_tools._dependencies import Packages, check_packages
from interpreter_tools._exceptions import ImageMissing
from interpreter_tools._execution.execution import Execution
from interpreter_tools._execution.outcome import Prepared
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._languages import LanguageConfig, LanguageRegistry, job_code, job_files, plan
from interpreter_tools._runtime.preparing import find_packages, looks_for_packages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._config.model import EngineConfig, SessionConfig
    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._execution.placement import Placement, Run
    from interpreter_tools._languages import Job
    from interpreter_tools._runtime.runtime import Fitting, Runtime


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a run, checked.

    Attributes:
        language: the language of the code.
        options: the options of the run, complete.
        code: the program; None where an app is run.
        files: the files that its workspace gets, by path.
        packages: the packages that must be installed for it.
        prepared: the decisions about packages, made while the run is prepared.
    """

    language: LanguageConfig
    options: Resolved
    code: bytes | None
    files: dict[bytes, bytes]
    packages: Packages
    prepared: Prepared

    @classmethod
    def read(
        cls,
        config: EngineConfig,
        language: str,
        code: str | bytes,
        options: RunOptions,
        *,
        session: SessionConfig | None = None,
    ) -> Self:
        """Check the arguments of a call and return its request.

        Args:
            config: of the engine.
            language: the name of the language, or an alias.
            code: the program; empty where an app is run.
            options: as the caller gave them.
            session: the configuration of the session, if the call belongs to one.

        Raises:
            UsageError: an argument cannot work; the error names it.
        """
        found = LanguageRegistry.get(language)
        resolved = resolve(config, options, session=session)
        files = job_files(resolved.files)
        packages = check_packages(found, resolved.dependencies, resolved.system_dependencies, config)
        return cls(
            language=found,
            options=resolved,
            code=job_code(code, run_app=resolved.run_app),
            files=files,
            packages=packages,
            prepared=Prepared(dependencies=packages.own, system_dependencies=packages.system),
        )

    def execution(self, placement: Placement) -> Execution:
        """Return the run. It is not started yet."""
        return Execution(
            placement, stdin=self.options.stdin, capture=self.options.capture, collect=self.options.collect
        )

    async def complete(
        self, runtime: Runtime, *, elsewhere: Callable[[str], Awaitable[bytes | None]] | None = None
    ) -> RunRequest:
        """Return the request with the files of its archives, and with all packages that its code needs.

        Args:
            runtime: reads the files of mounts.
            elsewhere: reads a file that neither the run brings nor a mount shows; None where there is no such place.
        """
        files = await runtime.with_archives(self.options.container, self.files)
        if not looks_for_packages(self):
            return self if files is self.files else msgspec.structs.replace(self, files=files)

        async def read(path: str) -> bytes | None:
            found = await runtime.read_given(self.options.container, files, path)
            return found if found is not None or elsewhere is None else await elsewhere(path)

        packages, notes = await find_packages(self, runtime, read)
        prepared = self.prepared
        prepared.dependencies, prepared.system_dependencies, prepared.notes = packages.own, packages.system, notes
        return msgspec.structs.replace(self, files=files, packages=packages)

    def job(self, fitting: Fitting, *, image_environment: dict[str, str] | None = None) -> Job:
        """Return what the container must be told to run this.

        Args:
            fitting: the shape of the container, and where the packages are.
            image_environment: the variables of the container's image; None means those of ``fitting``.
        """
        return plan(
            self.language,
            self.code,
            self.files,
            image_environment=fitting.shape.image_environment if image_environment is None else image_environment,
            environment=self.options.environment,
            directory=self.options.container.working_dir,
            offline=self.options.container.network == "none",
            timeout=self.options.timeout,
            output_limit=self.options.output_limit,
            merge_output=self.options.merge_output,
            run_app=self.options.run_app,
            args=self.options.args,
            cpus=self.options.container.cpus,
            compile_timeout=self.options.compile_timeout,
            need=fitting.need,
        )


class PoolPlacement:
    """The way of a run without a session to its container: a pool."""

    def __init__(self, runtime: Runtime, request: RunRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._complete = False

    async def acquire(self, run: Run) -> Placed | Missing:
        """Return a container for the run, or the packages that must be installed first."""
        run.prepared = self._request.prepared
        runtime = self._runtime
        if not self._complete:
            self._request = await self._request.complete(runtime)
            self._complete = True
        request = self._request
        fitting = await runtime.fit(request.language, request.options, request.packages)
        if isinstance(fitting, Missing):
            return fitting
        job = request.job(fitting)
        try:
            return Placed(job, await runtime.pool(fitting.shape).acquire(), fitting.missing)
        except ImageMissing:
            if fitting.image is None:
                raise
            return fitting.image  # the image with its packages was pruned meanwhile

    def leave(self) -> None:
        """Do nothing: the pool already has its container back."""
