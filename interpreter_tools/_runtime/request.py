"""The request for a run, as it is known before a container is there; with or without a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools._config.options import Resolved, resolve
from interpreter_tools._dependencies import Packages, check_packages
from interpreter_tools._execution.calls import ToolCalls
from interpreter_tools._execution.execution import Execution
from interpreter_tools._execution.outcome import Prepared
from interpreter_tools._languages import LanguageConfig, LanguageRegistry, job_code, job_files

if TYPE_CHECKING:
    from interpreter_tools._config.model import EngineConfig, SessionConfig
    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._execution.placement import Placement


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
            placement,
            stdin=self.options.stdin,
            capture=self.options.capture,
            collect=self.options.collect,
            calls=ToolCalls(self.options.tools) if self.options.tools else None,
        )
