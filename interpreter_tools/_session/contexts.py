"""The contexts of a session: how each gets a process in a container of the session, and ends with the session."""

from __future__ import annotations

import asyncio
import copy
import functools
import re
import time
from typing import TYPE_CHECKING, cast

import msgspec

from interpreter_tools._config.host_tools import check_tools
from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._config.options import CellLimits, ContextOptions, RunOptions, checkpoint_limits
from interpreter_tools._context.context import Context
from interpreter_tools._context.place import Packages
from interpreter_tools._dependencies import check_packages
from interpreter_tools._exceptions import ConfigurationError, StoreFailed
from interpreter_tools._execution.placement import Missing
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._languages.known import python_companions
from interpreter_tools._languages.magics import installs
from interpreter_tools._languages.specifiers import add_packages, package_name
from interpreter_tools._protocol import Refused, Start
from interpreter_tools._protocol.constants import Flag
from interpreter_tools._runtime.placing import job_of
from interpreter_tools._runtime.preparing import find_packages
from interpreter_tools._runtime.request import RunRequest
from interpreter_tools._session.beside import place_beside
from interpreter_tools._session.run import SessionRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._config.options import CellOptions
    from interpreter_tools._config.results import ContextInfo, ExecutionResult
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.side_run import SideListener, SideRun
    from interpreter_tools._context.place import Resident
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._languages import CellRunner, Job, LanguageConfig
    from interpreter_tools._languages.specifiers import Kind
    from interpreter_tools._session.record import Record
    from interpreter_tools._session.run import SessionRuns

_TICK = 0.025  # seconds after which a file that is made has another time: a cell tells by that what it has changed
_PRELOAD = "INTERPRETER_TOOLS_PRELOAD"
_LOADS = re.compile(r"import|require")
_OF_RUNS = frozenset(CellLimits.__struct_fields__) | {
    "dependencies", "auto_dependencies", "system_dependencies", "environment", "working_dir",
}  # fmt: skip


class SessionContexts:
    """The contexts of a session, by name.

    Args:
        session_id: the id of the session.
        config: the configuration of the session.
        runs: the runs of the session, whose containers the contexts share.
        close: cleans the session up.
    """

    def __init__(
        self, session_id: str, config: SessionConfig, runs: SessionRuns, *, close: Callable[[], Awaitable[object]]
    ) -> None:
        self.session_id = session_id
        self.runs = runs
        self._config = config
        self._close = close
        self.lacking: dict[str, tuple[str, ...]] = {}  # packages of cell runners that the images lack, by language
        self._by_name: dict[str, Context] = {}

    def __repr__(self) -> str:
        return f"<SessionContexts of {self.session_id} [{len(self._by_name)} open]>"

    def open(self, language: str, name: str | None, options: ContextOptions, *, is_owner: bool) -> Context:
        """Return the context of that name, made with these options where there is none.

        Args:
            language: the language of its cells.
            name: the name; None gives it one.
            options: the options of the context.
            is_owner: True cleans the session up when the context is closed.

        Raises:
            ConfigurationError: an option or the session cannot have a context.
        """
        for option in options:
            if option not in ContextOptions.__annotations__:
                hint = f"known: {', '.join(sorted(ContextOptions.__annotations__))}"
                raise ConfigurationError(option, "...", "is not an option of a context", hint=hint)
        if self._config.strategy is not ContainerStrategy.PER_SESSION:
            hint = "make the session with strategy=ContainerStrategy.PER_SESSION, which is the default"
            raise ConfigurationError("strategy", self._config.strategy.value, "has no contexts", hint=hint)
        if name is not None and (not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 200):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("name", name, "is not a name of 1 to 200 characters")
        chosen = LanguageRegistry.get(language)
        if chosen.cells is None:
            able = ", ".join(name for name in LanguageRegistry.names() if LanguageRegistry.get(name).cells is not None)
            hint = f"contexts are there for {able}; LanguageConfig(cells=CellRunner(...)) gives a language one"
            raise ConfigurationError("language", language, "has no cell runner, so it has no contexts", hint=hint)
        on_death = options.get("on_death", "error")
        if on_death not in {"error", "restart"}:
            raise ConfigurationError("on_death", on_death, "is neither 'error' nor 'restart'")
        found = None if name is None else self._by_name.get(name)
        if found is not None:
            if found.language != chosen.language:
                raise ConfigurationError("name", name, f"is that of a context of {found.language} already")
            return found
        preload = _check_preload(options.get("preload", ()))
        self._import_ahead(chosen, preload)
        run_options = cast("RunOptions", {key: value for key, value in options.items() if key in _OF_RUNS})
        request = RunRequest.read(self.runs.runtime.config, language, "", run_options, session=self.runs.config)
        place = _Place(self, request, chosen.cells, preload, is_owner=is_owner)
        limits = CellLimits(timeout=request.options.timeout, output_limit=request.options.output_limit)
        context = Context(
            name,
            chosen,
            place=place,
            limits=limits,
            on_death=on_death,
            tools=check_tools(options.get("tools", ())),
            checkpoints=checkpoint_limits(options),
            another=functools.partial(self.open, language, None, options, is_owner=False),
        )
        self._by_name[context.name] = context
        return context

    def find(self, context_id: str) -> Context | None:
        """Return the context of an id; None when there is none."""
        return next((context for context in self._by_name.values() if context.id == context_id), None)

    def _import_ahead(self, language: LanguageConfig, modules: tuple[str, ...]) -> None:
        """Have the containers of a session that has none yet import the cell runner before they are needed."""
        runner, runs = language.cells, self.runs
        if runner is None or not runner.preload or runs.turns.busy or runs.workspace.containers.current is not None:
            return
        container = runs.config.container_of(runs.runtime.config)
        names = tuple(dict.fromkeys((*container.preload, runner.preload, *modules)))
        runs.config = msgspec.structs.replace(runs.config, container=msgspec.structs.replace(container, preload=names))

    def infos(self) -> tuple[ContextInfo, ...]:
        """Return the state of each context, oldest first."""
        return tuple(context.info() for context in self._by_name.values())

    def adopt(self, context: Context) -> None:
        """Have a context that was not made by ``open``: a branch of another one."""
        self._by_name[context.name] = context

    def forget(self, context: Resident) -> None:
        """Forget a context that was closed."""
        if self._by_name.get(context.name) is context:
            del self._by_name[context.name]
        self.runs.workspace.residents.discard(context.name)

    async def close_session(self) -> None:
        """Clean the session up."""
        await self._close()

    def end(self, error: InterpreterToolsError) -> None:
        """End all contexts: the session is cleaned up."""
        for context in tuple(self._by_name.values()):
            self.forget(context)
            context._lost(error)  # noqa: SLF001 - no caller of a context may say that its session has ended


class _Place:
    """The place of one context in its session."""

    def __init__(
        self,
        contexts: SessionContexts,
        request: RunRequest,
        runner: CellRunner,
        preload: tuple[str, ...],
        *,
        is_owner: bool,
    ) -> None:
        self._contexts = contexts
        self._request = request
        self._runner = runner
        self._preload = preload
        self.is_owner = is_owner
        self._record: Record | None = None
        self._resident = ""  # the name by which the session knows that the process lives in its container
        self._started_with: dict[str, str] = {}  # the variables of the process
        self.found: dict[str, str] = {}

    @property
    def session_id(self) -> str:
        """The id of the session."""
        return self._contexts.session_id

    @property
    def isolation(self) -> Isolation | None:
        """The thing around the process; None before the start."""
        return None if self._record is None else self._record.container.isolation

    def check(self) -> None:
        """Refuse to be used after the end of the session or the engine."""
        self._contexts.runs.turns.check()

    async def start(self, context: Resident, listener: SideListener, *, packages: tuple[str, ...] = ()) -> SideRun:
        """Start the cell runner in the session's container, once its packages are there."""
        runs = self._contexts.runs
        request = self._request
        if packages:
            self._contexts.lacking[context.language] = packages
        packages = self._contexts.lacking.get(context.language, ())
        if packages:
            own = (*request.packages.own, *packages)
            request = msgspec.structs.replace(request, packages=msgspec.structs.replace(request.packages, own=own))
        if request.packages:
            request, _ = await self._completed(request)
            result = await self._install(request)
            if result.outcome == "dependency_error":
                said = (result.dependency_stderr or result.dependency_stdout).strip()[-2000:]
                reason = f"cannot be installed: {said}"
                raise ConfigurationError("dependencies", list(request.packages.own), reason)
        async with runs.turns.turn():
            record, job = await place_beside(runs, request, is_booted=self._runner.booted)
            self._record = record
            if self._runner.booted and not job.booted:
                reason = "holds a variable that Python reads when it starts, which a context does not do anew"
                raise ConfigurationError("environment", sorted(request.options.environment), reason)
            self._resident = context.name
            runs.workspace.residents.add(context.name)
            ahead = b"" if job.need is None else record.channel.connection.need(job.need.key)
            self._started_with, self.found = job.environment, {}
            return record.channel.start_side(self._start(job, record), listener, ahead=ahead)

    def _start(self, job: Job, record: Record) -> Start:
        environment = {**job.environment, **self._runner.environment}
        if self._preload:
            environment[_PRELOAD] = " ".join(self._preload)
        return Start(
            self._runner.command,
            environment,
            uid=record.uid,
            flags=Flag.BOOTED if self._runner.booted else Flag(0),
            timeout_ms=0,
            output_limit=0,
            directory=job.directory,
        )

    # -- packages of cells

    def lacks(self, code: str, options: CellOptions) -> bool:
        """Return whether a cell may need packages that are not there."""
        if options.get("dependencies"):
            return True
        plan = self._request.language.dependencies
        auto = options.get("auto_dependencies", self._request.options.auto_dependencies)
        if plan is None or auto is False:
            return False
        if installs(plan.kind, code):
            return True
        return bool(auto and plan.inventory) and (_LOADS.search(code) is not None or self._uses_more(plan.kind, code))

    def _uses_more(self, kind: Kind, code: str) -> bool:
        """Return whether a cell does something with the packages of its context for which these need others."""
        own = [package_name(kind, each) for each in self._request.packages.own if not each.startswith("-")]
        return kind == "pip" and any(package_name(kind, each) not in own for each in python_companions(own, code))

    async def install(self, code: str, options: CellOptions, *, alive: bool) -> Packages:
        """Have the packages of a cell installed, for the cell and those after it."""
        before, plan = self._request, self._request.language.dependencies
        asked = check_packages(
            before.language, options.get("dependencies", ()), None, self._contexts.runs.runtime.config
        ).own
        if plan is None:
            return Packages()
        own = add_packages(plan.kind, asked, before.packages.own, field="dependencies")
        request = msgspec.structs.replace(
            before,
            code=code.encode(),
            packages=msgspec.structs.replace(before.packages, own=own),
            options=msgspec.structs.replace(
                before.options,
                auto_dependencies=options.get("auto_dependencies", before.options.auto_dependencies),
                # What runs cannot get packages of the distribution: they are in its image.
                system_dependencies=before.packages.system if alive else before.options.system_dependencies,
            ),
        )
        request, notes = await self._completed(request)
        packages = request.packages
        if packages == before.packages:
            return Packages(dependencies=packages.own, notes=notes)
        if alive and plan.kind == "system":
            hint = "restart the context, or make it with all of them"
            raise ConfigurationError("dependencies", list(own), "cannot come into a process that runs", hint=hint)
        result = await self._install(request)
        if result.outcome != "dependency_error":
            if alive:
                await self._show(request)
            self._request = msgspec.structs.replace(before, packages=packages)
        return Packages(
            dependencies=packages.own,
            notes=notes,
            seconds=result.dependency_time,
            failed=result.outcome == "dependency_error",
            stdout=result.dependency_stdout,
            stderr=result.dependency_stderr,
        )

    async def _completed(self, request: RunRequest) -> tuple[RunRequest, tuple[str, ...]]:
        """Return a request with all packages that its code needs, and notes about them."""
        plan, runs = request.language.dependencies, self._contexts.runs
        if plan is None or not plan.inventory:
            return request, ()

        async def read(path: str) -> bytes | None:
            found = await runs.runtime.read_given(request.options.container, {}, path)
            return found if found is not None else await runs.workspace.read_for_run(path, begins_empty=False)

        async with runs.turns.turn():
            packages, notes = await find_packages(request, runs.runtime, read, is_cell=True)
        return msgspec.structs.replace(request, packages=packages), notes

    async def _install(self, request: RunRequest) -> ExecutionResult:
        """Have the packages installed, by a run of nothing that asks for them, and return its result."""
        options = msgspec.structs.replace(
            request.options, auto_dependencies=False, system_dependencies=request.packages.system
        )
        empty = msgspec.structs.replace(request, code=b"", options=options)
        async with empty.execution(SessionRun(empty, self._contexts.runs)) as execution:
            return await execution.result()

    async def _show(self, request: RunRequest) -> None:
        """Let the process find packages that came after its start."""
        runs, record = self._contexts.runs, self._record
        assert record is not None
        async with runs.turns.turn():
            fitting = await runs.fit(request)
            if isinstance(fitting, Missing) or fitting.need is None:
                raise StoreFailed("packages were installed for a context, but are not there")
            connection = record.channel.free()
            if isinstance(await record.channel.ask(connection.need(fitting.need.key) + connection.sync()), Refused):
                raise StoreFailed("packages were installed for a context, but its container does not see them")
        variables = job_of(request, fitting, image_environment=record.container.shape.image_environment).environment
        started = self._started_with
        self.found = {name: value for name, value in variables.items() if started.get(name) != value}

    async def begin(self) -> None:
        """Note that a cell begins, once its files can be told from those that were just put there."""
        left = self._contexts.runs.workspace.arrived + _TICK - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        turns = self._contexts.runs.turns
        turns.cells += 1
        turns.used = time.monotonic()

    def end(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """Note that a cell has ended, and which files it has changed."""
        turns = self._contexts.runs.turns
        turns.cells -= 1
        turns.used = time.monotonic()
        if self._record is None:
            return ()
        return self._contexts.runs.workspace.containers.note_generated(self._record, files)

    def files(self) -> AbstractAsyncContextManager[None]:
        """Have the turn of the session."""
        return self._contexts.runs.turns.turn()

    def others(self, context: Resident) -> tuple[str, ...]:
        """Return the names of the session's other contexts whose processes were started."""
        return tuple(sorted(self._contexts.runs.workspace.residents - {self._resident}))

    def branch(self) -> _Place:
        """Return the same place for a branch of the context."""
        place = copy.copy(self)
        place.is_owner = False
        return place

    def adopt(self, context: Resident) -> None:
        """Have a branch among the contexts of the session."""
        self._contexts.adopt(cast("Context", context))

    def leave(self, context: Resident) -> None:
        """Forget a context that was closed."""
        self._contexts.forget(context)

    async def aclose(self) -> None:
        """Clean the session up, if it was made for the context."""
        if self.is_owner:
            await self._contexts.close_session()


def _check_preload(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (tuple, list)):
        raise ConfigurationError("preload", names, "is not a list of modules", hint="give a tuple: ('numpy',)")
    for index, name in enumerate(cast("tuple[object, ...]", names)):
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigurationError(f"preload[{index}]", name, "is not the name of a module")
    return tuple(cast("tuple[str, ...]", names))
