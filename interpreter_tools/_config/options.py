"""The options of one run, and their resolution against the session and the engine."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self, TypeAlias, TypedDict, cast, get_type_hints

import msgspec

from interpreter_tools._config.checks import (
    as_bytes,
    check_choice,
    check_count,
    check_environment,
    check_mapping,
    check_seconds,
    parse_size,
)
from interpreter_tools._config.fields import check_fields, meant, take
from interpreter_tools._config.host_tools import VARIABLE, HostTool, ToolLike, check_tools
from interpreter_tools._config.model import (
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    RunStrategy,
    SessionConfig,
    check_run_strategy,
    check_sharing,
    check_strategy,
)
from interpreter_tools._config.mounts import Mount, check_mounts
from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._config.patterns import Pattern, check_patterns
from interpreter_tools._exceptions import ConfigurationError


class RunApp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that exists already, in the workspace or in a mounted directory.

    The packages of ``requirements.txt`` or ``pyproject.toml``, or of ``package.json``, in ``cwd`` are installed, beside
    those of the run's ``dependencies``. Where both name a package, that of the run is installed. Optional dependencies,
    and those for development, are left out.

    Attributes:
        entry_file: the file to run, relative to ``cwd``, or absolute in the container.
        cwd: the directory that it starts in: relative to the workspace, or absolute in the container.

    Raises:
        ConfigurationError: a value cannot work.
    """

    entry_file: str
    cwd: str = "."

    def __post_init__(self) -> None:
        check_fields(self, "run_app")
        for field, value in (("entry_file", self.entry_file), ("cwd", self.cwd)):
            if not value or "\0" in value or not value.isprintable():
                raise ConfigurationError(f"run_app.{field}", value, "is not a path")

    @property
    def directory(self) -> str:
        """``cwd`` as an absolute path in the container."""
        return posixpath.normpath(posixpath.join(WORKSPACE, self.cwd))

    @property
    def path(self) -> str:
        """``entry_file`` as an absolute path in the container."""
        return posixpath.normpath(posixpath.join(self.directory, self.entry_file))


class RunLimits(TypedDict, total=False):
    """Keyword options that say what programs may use and see: for one run, or for all runs of a tool.

    Attributes:
        memory_limit: bytes, or a text such as ``"256m"``.
        cpu_limit: cores, such as ``"0.5"``; None means no limit.
        pids_limit: processes and threads at once.
        workspace_size: bytes that the workspace can hold, or a text; None means half of the memory limit, at most
            256 MiB. An existing workspace keeps its size: that of a ``PER_SESSION`` session, or a shared one.
        tmp_size: bytes that ``/tmp`` can hold, or a text; None means an eighth of the memory limit, at most 64 MiB. In
            a ``PER_SESSION`` session it keeps its size.
        output_limit: bytes of stdout and stderr together; None means no limit.
        environment: variables for this run, which override those of the container's configuration.
        network: ``"none"``, or the name of a Docker network.
        mounts: directories, files and archives of this machine, and further directories to write to.
        working_dir: the directory that the program starts in: an absolute path in the container.
        image: the image to run in.
        tenant: a name for those whose code trusts each other. Programs of different tenants never share a container.
            A session has one tenant, ``SessionConfig.tenant``.
    """

    memory_limit: str | int
    cpu_limit: str | float | None
    pids_limit: int
    workspace_size: str | int | None
    tmp_size: str | int | None
    output_limit: str | int | None
    environment: Mapping[str, str]
    network: str
    mounts: tuple[Mount, ...]
    working_dir: str
    image: str
    tenant: str | None


class RunOptions(RunLimits, total=False):
    """Keyword options of ``run`` and ``stream``; what is left out comes from the engine's configuration.

    This is the one list of them: the tool, the command line, MCP, the shell and the adapters take theirs from it.

    Attributes:
        timeout: seconds of run time; None means no limit.
        compile_timeout: seconds that the compiler of the program may take.
        stdin: the program's standard input, which then ends; a text is encoded as UTF-8. None leaves it open for
            ``send_stdin`` in ``stream``, and is the same as ``b""`` in ``run``.
        files: contents by path below the workspace, written before the code starts; a text is encoded as UTF-8.
        strategy: the rule for using the container again; left out, it is the engine's. In a session it is the
            session's.
        dependencies: packages that the code uses, as the language's installer names them; installed once for all runs
            that ask for the same. A standard module is left out, a known module's name becomes its package's:
            ``result.notes`` says so.
        auto_dependencies: install the packages that the code imports, too, as far as they are well known; Python,
            JavaScript and TypeScript. What the header of a Python script asks for (PEP 723) is installed unless this is
            False. None means that only imports are left alone.
        system_dependencies: packages of the image's distribution, beside those of the language. Packages that are known
            to need libraries or programs bring theirs: ``()`` means that none is brought, and none is asked for.
        workspace_sharing: ``"shared"`` to see the session's shared workspace, ``"isolated"`` not to. The runs of a
            ``PER_SESSION`` session see its workspace, unless the session is ``"shared"`` and the run ``"isolated"``.
        run_app: run a file of the workspace, or of a mounted directory, instead of code.
        args: the program's arguments, as ``sys.argv[1:]`` or ``"$@"`` shows them; no shell splits or expands them.
        merge_output: True sends stderr where stdout goes, as ``2>&1`` does: the chunks, and the result's ``stdout``,
            hold both in the order of writing. A compiler's messages are merged in the same way.
        collect: patterns of files to bring along as ``result.files``, of those that the run makes or changes:
            ``"*.png"`` matches in any directory, ``"out/*.csv"`` in one, ``"out/**"`` all below it. At most 1,000 files
            and 64 MiB.
        capture: True keeps the output for the result's ``stdout`` and ``stderr``; False saves the memory.
        tools: functions of this process that the program may call: ``import tools; tools.search("x")`` in Python. Give
            ``HostTool`` for a name, limits or an approval.
    """

    timeout: float | None
    compile_timeout: float
    stdin: str | bytes | None
    files: Mapping[str, str | bytes]
    strategy: RunStrategy
    dependencies: Sequence[str]
    auto_dependencies: bool | None
    system_dependencies: Sequence[str] | None
    workspace_sharing: Literal["isolated", "shared"]
    run_app: RunApp | None
    args: Sequence[str]
    merge_output: bool
    collect: Sequence[str]
    capture: bool
    tools: Sequence[ToolLike]


OnDeath: TypeAlias = Literal["error", "restart"]


class CellOptions(TypedDict, total=False):
    """Keyword options of a cell; what is left out comes from its context.

    Attributes:
        timeout: seconds of run time; None means no limit. The cell is interrupted then, and its process is killed when
            that does not end it within a second, without the time of waiting for a processor.
        output_limit: bytes of stdout and stderr together; None means no limit.
        stdin: the text that ``input()`` reads, which then ends. None leaves it open for ``send_stdin`` in ``stream``,
            and is the same as ``b""`` in ``run``.
        capture: True keeps the output for the result's ``stdout`` and ``stderr``; False saves the memory.
        tools: functions of this process that the cell may call, in place of those of its context.
        notebook: True for output as the kernel of a notebook gives it: the exception that ends the cell is in the
            result only, and not in stderr as well; ``stream`` yields an ``InputChunk`` when the cell waits for a line,
            whose prompt is not in stdout; and it yields a ``ClearChunk`` for ``clear_output``. In shells only the
            input differs: it has ended, as a shell does not tell that a program waits for a line.
        silent: True shows no value of the last expression, and counts the cell as ``history=False`` does.
        history: False does not count the cell, and keeps neither its code nor its value (``In``, ``Out`` and ``_`` of
            IPython).
        dependencies: further packages, which this cell and all later ones of the context use.
        auto_dependencies: see ``ContextOptions``.
    """

    timeout: float | None
    output_limit: str | int | None
    stdin: str | bytes | None
    capture: bool
    notebook: bool
    silent: bool
    history: bool
    tools: Sequence[ToolLike]
    dependencies: Sequence[str]
    auto_dependencies: bool | None


class ContextOptions(TypedDict, total=False):
    """Keyword options of a context.

    Attributes:
        dependencies: packages that the cells use, as the language's installer names them.
        auto_dependencies: True installs well-known packages that a cell imports and that are not there; None installs
            only what a cell asks for by a line such as ``%pip install six``, which is read from its text; False
            installs nothing.
        system_dependencies: packages of the image's distribution.
        preload: modules to import before the first cell, such as ``"numpy"``; Python only.
        environment: variables of the process, which override those of the container's configuration.
        working_dir: the directory that the process starts in: an absolute path in the container.
        timeout: seconds that a cell may run, unless it says otherwise; None means no limit.
        output_limit: bytes that a cell may write, unless it says otherwise; None means no limit.
        on_death: ``"error"``: cells raise ``ContextDied`` once the process has ended, until ``restart``; ``"restart"``:
            the next cell starts a new process, and its result says so in ``notes``.
        tools: functions of this process that the cells may call: ``import tools; tools.search("x")`` in Python.
        checkpoint_limit: how many checkpoints are held, 1 to 32; the oldest go first. 16 unless it is given.
        checkpoint_memory: bytes of memory that the checkpoints may hold, ``"256m"`` unless it is given; the oldest go
            first, but for the last one.
    """

    dependencies: Sequence[str]
    auto_dependencies: bool | None
    system_dependencies: Sequence[str] | None
    preload: Sequence[str]
    environment: Mapping[str, str]
    working_dir: str
    timeout: float | None
    output_limit: str | int | None
    on_death: OnDeath
    tools: Sequence[ToolLike]
    checkpoint_limit: int
    checkpoint_memory: str | int


class CellLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a cell.

    Attributes:
        timeout: seconds; None means no limit.
        output_limit: bytes; None means no limit.
    """

    timeout: float | None
    output_limit: int | None


class CheckpointLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the checkpoints of a context.

    Attributes:
        count: how many are held.
        memory: bytes that they hold.
    """

    count: int = 16
    memory: int = 256 << 20


_MOST_CHECKPOINTS = 32  # each is a process, and a connection of the 64 that a context has


def checkpoint_limits(options: ContextOptions) -> CheckpointLimits:
    """Return the limits of the checkpoints of a context.

    Raises:
        ConfigurationError: a value cannot work.
    """
    count = check_count(options.get("checkpoint_limit", 16), field="checkpoint_limit", least=1)
    if count > _MOST_CHECKPOINTS:
        raise ConfigurationError("checkpoint_limit", count, f"is more than {_MOST_CHECKPOINTS}")
    return CheckpointLimits(
        count=count, memory=parse_size(options.get("checkpoint_memory", "256m"), field="checkpoint_memory")
    )


def cell_limits(options: CellOptions, default: CellLimits) -> CellLimits:
    """Return the limits of a cell.

    Raises:
        ConfigurationError: an option does not exist, or its value cannot work.
    """
    for name in options:
        if name not in CellOptions.__annotations__:
            raise _unknown_option(name, CellOptions.__annotations__)
    if "timeout" not in options and "output_limit" not in options:
        return default
    output_limit = options.get("output_limit", default.output_limit)
    return CellLimits(
        timeout=check_seconds(options.get("timeout", default.timeout), field="timeout"),
        output_limit=None if output_limit is None else parse_size(output_limit, field="output_limit"),
    )


class SessionOptions(TypedDict, total=False):
    """Keyword options of ``session`` and ``create_session``; attributes as in ``SessionConfig``."""

    strategy: ContainerStrategy
    container: ContainerConfig | None
    workspace_sharing: Literal["isolated", "shared"]
    session_id: str | None
    enforce_new_session: bool
    tenant: str | None
    idle_timeout: float | None
    when_busy: Literal["queue", "error"]
    timeout: float | msgspec.UnsetType | None
    output_limit: str | int | msgspec.UnsetType | None


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A run's options, complete and checked; attributes as in ``RunOptions``."""

    container: ContainerConfig
    environment: dict[str, str]
    stdin: bytes | None
    files: Mapping[str, str | bytes]
    timeout: float | None
    compile_timeout: float
    output_limit: int | None
    strategy: RunStrategy
    dependencies: Sequence[str]
    auto_dependencies: bool | None
    system_dependencies: Sequence[str] | None
    shared: bool
    run_app: RunApp | None
    args: tuple[str, ...]
    collect: tuple[Pattern, ...]
    merge_output: bool
    capture: bool
    tools: Mapping[str, HostTool] = {}

    def without_limits_of_run(self, own: ContainerConfig) -> Self:
        """Return the options by which a session's own container is found: with the limits of the session.

        The limits of a run are set on that container for the run only.

        Args:
            own: the configuration of the session's containers.
        """
        if self.container is own:
            return self
        limits = {name: getattr(own, name) for name in _LIMITS}
        return msgspec.structs.replace(self, container=msgspec.structs.replace(self.container, **limits))


_LIMITS = ("memory_limit", "cpu_limit", "pids_limit", "workspace_size", "tmp_size")
_CONTAINER_OPTIONS = (*_LIMITS, "network", "mounts", "working_dir", "image", "tenant")


def check_limits(limits: RunLimits) -> RunLimits:
    """Return the limits with values of their annotated types, without those that are None.

    Raises:
        ConfigurationError: an option does not exist, or its value has a wrong type.
    """
    kinds = _kinds_of_limits()
    checked: dict[str, object] = {}
    for name, value in limits.items():
        if name not in kinds:
            raise _unknown_option(name, kinds)
        if name == "environment" and value is not None:
            checked[name] = check_environment(cast("dict[str, str]", value), field=name)
        elif value is not None or name == "mounts":
            checked[name] = take(value, kinds[name], name)
    if "mounts" in checked:
        check_mounts(cast("tuple[Mount, ...]", checked["mounts"]), field="mounts")
    return cast("RunLimits", checked)


@functools.cache
def _kinds_of_limits() -> Mapping[str, object]:
    return get_type_hints(RunLimits)


def with_limits(
    config: EngineConfig, limits: RunLimits, *, timeout: float | msgspec.UnsetType | None = msgspec.UNSET
) -> EngineConfig:
    """Return the configuration in which these limits hold for every run.

    Raises:
        ConfigurationError: a value cannot work.
    """
    inner: dict[str, object] = {n: value for n, value in limits.items() if n in ContainerConfig.__struct_fields__}
    if "environment" in limits:
        inner["environment"] = {**config.container.environment, **limits["environment"]}
    own: dict[str, object] = {n: value for n, value in limits.items() if n not in inner}
    if inner:
        own["container"] = msgspec.structs.replace(config.container, **inner)
    if timeout is not msgspec.UNSET:
        own["timeout"] = timeout
    return msgspec.structs.replace(config, **own) if own else config


def _unknown_option(name: str, known: Iterable[str]) -> ConfigurationError:
    close = meant(name, known)
    guess = f": did you mean {close!r}?" if close else ""
    hint = f"known: {', '.join(sorted(known))}"
    return ConfigurationError(name, "...", f"is not an option of a run{guess}", hint=hint)


def resolve(config: EngineConfig, options: RunOptions, *, session: SessionConfig | None = None) -> Resolved:
    """Return the options over the session's and the engine's configuration.

    Raises:
        ConfigurationError: an option does not exist, or its value cannot work.
    """
    for name in options:
        if name not in RunOptions.__annotations__:
            raise _unknown_option(name, RunOptions.__annotations__)
    strategy, sharing = _placement(options, session, config.strategy)
    container = _container(options, config, session, strategy, shared=sharing == "shared")
    timeout, output_limit = _usual_limits(config, session)
    output_limit = options.get("output_limit", output_limit)
    stdin = options.get("stdin")
    run_app = options.get("run_app")
    if run_app is not None and not isinstance(run_app, RunApp):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("run_app", run_app, "is not a RunApp", hint="use RunApp(entry_file='main.py')")
    environment = {
        **container.environment,
        **check_environment(options.get("environment", {}), field="environment"),
    }
    tools = check_tools(options.get("tools", ()))
    if tools:
        environment[VARIABLE] = "1"
    return Resolved(
        container=container,
        environment=environment,
        stdin=None if stdin is None else as_bytes(stdin, field="stdin"),
        files=check_mapping(options.get("files", {}), field="files"),
        timeout=check_seconds(options.get("timeout", timeout), field="timeout"),
        compile_timeout=_check_compile_timeout(options.get("compile_timeout", config.compile_timeout)),
        output_limit=None if output_limit is None else parse_size(output_limit, field="output_limit"),
        strategy=strategy,
        shared=sharing == "shared",
        run_app=run_app,
        args=_check_args(options.get("args", ())),
        dependencies=options.get("dependencies", ()),
        auto_dependencies=_check_auto(options.get("auto_dependencies")),
        system_dependencies=options.get("system_dependencies"),
        merge_output=bool(take(options.get("merge_output", False), bool, "merge_output")),
        collect=check_patterns(options.get("collect", ()), field="collect"),
        capture=options.get("capture", True),
        tools=tools,
    )


def _container(
    options: RunOptions, config: EngineConfig, session: SessionConfig | None, strategy: RunStrategy, *, shared: bool
) -> ContainerConfig:
    """Return the configuration of a run's container: the options over that of the session or the engine."""
    own = config.container if session is None else session.container_of(config)
    if session is not None and options.get("tenant", own.tenant) != own.tenant:
        hint = "make a session for each tenant"
        raise ConfigurationError("tenant", options.get("tenant"), f"is not the session's, {own.tenant!r}", hint=hint)
    # Values that change nothing, such as a tenant of None, do not have the whole configuration checked again.
    changes = {
        name: options.get(name)
        for name in _CONTAINER_OPTIONS
        if name in options and options.get(name) is not getattr(own, name)
    }
    if not changes:
        return own
    container = _changed(own, changes)
    _check_sizes(options, container, own, strategy, shared=shared)
    return container


def _changed(own: ContainerConfig, changes: Mapping[str, object]) -> ContainerConfig:
    """Return a configuration with changes; for those of a run before this one, the same object, checked already.

    The identity of ``own`` stands for it in the key, as no variable of it can be hashed.
    """
    try:
        key = (id(own), *((name, type(value), value) for name, value in changes.items()))
        known = _CHANGED.get(key)
    except TypeError:  # a value that cannot be hashed
        return msgspec.structs.replace(own, **changes)
    if known is not None:
        return known[1]
    container = msgspec.structs.replace(own, **changes)
    if len(_CHANGED) >= _MOST_CHANGED:
        _CHANGED.clear()
    _CHANGED[key] = own, container
    return container


_CHANGED: dict[tuple[object, ...], tuple[ContainerConfig, ContainerConfig]] = {}
"""Configurations that differ from another one, which each entry holds, so that its id stays its own."""

_MOST_CHANGED = 256


def _usual_limits(config: EngineConfig, session: SessionConfig | None) -> tuple[float | None, str | int | None]:
    """Return the time limit and the output limit of runs that name none."""
    timeout, output_limit = config.timeout, config.output_limit
    if session is not None and session.timeout is not msgspec.UNSET:
        timeout = session.timeout
    if session is not None and session.output_limit is not msgspec.UNSET:
        output_limit = session.output_limit
    return timeout, output_limit


def _check_compile_timeout(seconds: float) -> float:
    checked = check_seconds(seconds, field="compile_timeout")
    if checked is None:
        hint = "a compiler always has a limit: leave it out for the engine's"
        raise ConfigurationError("compile_timeout", None, "is not a time in seconds", hint=hint)
    return checked


def _check_args(args: Sequence[str]) -> tuple[str, ...]:
    """Return a program's arguments.

    Raises:
        ConfigurationError: they are one text, or one of them cannot be an argument.
    """
    if isinstance(args, (str, bytes)):
        raise ConfigurationError("args", args, "is one text", hint=f"give a list with each argument: [{args!r}]")
    for index, word in enumerate(args):
        if not isinstance(word, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"args[{index}]", word, "is not a text", hint="convert it: str(value)")
        if "\0" in word:
            raise ConfigurationError(f"args[{index}]", word, "holds a NUL character, which no argument can")
        try:
            word.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            reason = f"holds a lone surrogate at character {error.start}"
            raise ConfigurationError(f"args[{index}]", word, reason) from None
    return tuple(args)


def _check_auto(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        hint = "give True, False, or None for the header of a script alone"
        raise ConfigurationError("auto_dependencies", value, "is neither True nor False", hint=hint)
    return value


def _placement(options: RunOptions, session: SessionConfig | None, default: RunStrategy) -> tuple[RunStrategy, str]:
    """Return the strategy of a run, and ``"shared"`` or ``"isolated"`` for its workspace."""
    if session is None:
        strategy = check_run_strategy(options.get("strategy", default))
        sharing = options.get("workspace_sharing", "isolated")
        if sharing == "shared":
            hint = "use engine.session(...) and run it there"
            raise ConfigurationError("workspace_sharing", sharing, "needs a session", hint=hint)
    else:
        strategy = session.strategy
        sharing = options.get("workspace_sharing", session.workspace_sharing)
        if strategy is ContainerStrategy.PER_SESSION and session.workspace_sharing == "isolated":
            check_choice(sharing, ("isolated", "shared"), field="workspace_sharing")
            sharing = "shared"
        if "strategy" in options and check_strategy(options["strategy"], field="strategy") is not strategy:
            hint = "leave it out, or make a session with that strategy"
            raise ConfigurationError(
                "strategy", options["strategy"], f"is not the session's, {strategy.value!r}", hint=hint
            )
        check_sharing(strategy, sharing)
    check_choice(sharing, ("isolated", "shared"), field="workspace_sharing")
    return strategy, sharing


def _check_sizes(
    options: RunOptions, container: ContainerConfig, own: ContainerConfig, strategy: RunStrategy, *, shared: bool
) -> None:
    """Refuse another size for an existing tmpfs: Docker cannot change it."""
    stays = strategy is ContainerStrategy.PER_SESSION
    for name, size, fixed in (("workspace_size", "workspace_bytes", stays or shared), ("tmp_size", "tmp_bytes", stays)):
        if name in options and fixed and getattr(container, size) != getattr(own, size):
            reason = f"cannot change for a run: the session keeps one of {getattr(own, size)} bytes"
            hint = f"set it for the session, container=ContainerConfig({name}=...), or run this outside of it"
            raise ConfigurationError(name, options.get(name), reason, hint=hint)
