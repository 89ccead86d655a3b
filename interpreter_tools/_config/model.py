"""The configuration of the engine, its pools, sessions and containers: plain data, checked when it is made."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence  # noqa: TC003 - the annotations of fields are read
from enum import Enum
from typing import Literal, Self, TypeAlias, cast

import msgspec

from interpreter_tools._config.certificates import check_bundle
from interpreter_tools._config.checks import (
    check_count,
    check_directory,
    check_environment,
    check_network,
    check_no_proxy,
    check_proxy,
    check_seconds,
    parse_cpus,
    parse_size,
)
from interpreter_tools._config.fields import ConfigMeta, check_fields
from interpreter_tools._config.language_names import check_languages
from interpreter_tools._config.mounts import Mount, check_mounts
from interpreter_tools._config.settings import build, read_settings, with_environment
from interpreter_tools._exceptions import ConfigurationError

_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
_SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_MIB = 1 << 20
_LONGEST_TENANT = 256  # characters


class ContainerStrategy(Enum):
    """The rule for using a container again.

    ``PER_EXECUTION``: a fresh container for each run, taken warm and used once. ``POOL``: containers are used again,
    with a fresh sandbox for each run, or after a verified reset where there are no sandboxes; for runs that trust each
    other, because caches of the kernel and the processor cannot be wiped. ``PER_SESSION``: one workspace for the life
    of a session, for all its languages; files stay. It is the default of a session.

    Runs without a session have ``"auto"`` for a strategy, unless they or their engine say otherwise: ``POOL`` where
    they can have sandboxes, and ``PER_EXECUTION`` where they cannot.
    """

    PER_EXECUTION = "per_execution"
    POOL = "pool"
    PER_SESSION = "per_session"


def check_tenant(tenant: str | None, *, field: str) -> None:
    """Refuse an empty name, and a long one.

    Raises:
        ConfigurationError: the name cannot be that of a tenant.
    """
    if tenant is not None and not 0 < len(tenant) <= _LONGEST_TENANT:
        hint = f"give a name of 1 to {_LONGEST_TENANT} characters, or None"
        raise ConfigurationError(field, tenant, "is not a name of a tenant", hint=hint)


RunStrategy: TypeAlias = ContainerStrategy | Literal["auto"]
"""The strategy of a run without a session."""


def check_strategy(value: object, *, field: str) -> ContainerStrategy:
    """Return the strategy of an enum member, or of its value as text.

    Raises:
        ConfigurationError: no strategy has that name.
    """
    try:
        return ContainerStrategy(value)
    except ValueError:
        known = ", ".join(repr(strategy.value) for strategy in ContainerStrategy)
        hint = f"known: {known}; for runs without a session also 'auto'"
        raise ConfigurationError(field, value, "is not a strategy", hint=hint) from None


def check_run_strategy(value: object) -> RunStrategy:
    """Return the strategy of a run without a session: ``"auto"``, an enum member, or its value as text.

    Raises:
        ConfigurationError: no strategy has that name, or it is ``PER_SESSION``.
    """
    if value == "auto":
        return "auto"
    strategy = check_strategy(value, field="strategy")
    if strategy is ContainerStrategy.PER_SESSION:
        hint = "use engine.session(...) and run it there"
        raise ConfigurationError("strategy", strategy.value, "needs a session", hint=hint)
    return strategy


def check_sharing(strategy: ContainerStrategy, sharing: str) -> None:
    """Refuse a shared workspace for ``POOL``, which wipes the workspace after each run.

    Raises:
        ConfigurationError: the sharing is ``"shared"`` and the strategy ``POOL``.
    """
    if strategy is ContainerStrategy.POOL and sharing == "shared":
        raise ConfigurationError(
            "workspace_sharing",
            sharing,
            "does not go with the strategy POOL, which wipes the workspace after each run",
            hint="use PER_SESSION or PER_EXECUTION",
        )


class ContainerConfig(msgspec.Struct, metaclass=ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image, limits, network and mounts of a sandbox.

    Attributes:
        image: the image to use instead of the language's default.
        environment: variables that every run gets.
        memory_limit: bytes, or a text such as ``"512m"``; swap is not added to it.
        cpu_limit: cores, such as ``0.5`` or ``"2"``; None means no limit. Variables such as ``OMP_NUM_THREADS``, which
            set the number of a library's threads, follow it unless they are set.
        pids_limit: processes and threads at once.
        workspace_size: bytes that the workspace can hold, or a text; the workspace lies in memory and counts towards
            ``memory_limit``. None means half of ``memory_limit``, at most 256 MiB.
        tmp_size: bytes that ``/tmp`` can hold, or a text; None means an eighth of ``memory_limit``, at most 64 MiB.
        network: ``"none"``, or the name of a Docker network, such as ``"bridge"``.
        ports: TCP ports in the container that are reachable on 127.0.0.1 of the Docker engine's machine, each on a port
            that the engine chooses; they need a network.
        working_dir: the directory that programs start in: an absolute path in the container.
        mounts: directories, files and archives of this machine, and further directories to write to.
        preload: modules that the waiting Python has imported already, such as ``("numpy", "pandas")``: a run then
            neither starts an interpreter nor imports them. They must be in the image. All runs of the container share
            their memory until they write to it. A module that starts threads or fails is left out, and named in the log
            and in ``PoolStats.left_out``.
        runtime: the Docker runtime, for example ``"runsc"`` for gVisor; None means the engine's default.
        tenant: a name for those whose code trusts each other. Programs of different tenants never share a container,
            so the memory limit, the caches and the address layout of one tenant's containers are not felt by another.

    Raises:
        ConfigurationError: a value cannot work.
    """

    image: str | None = None
    environment: dict[str, str] = {}
    memory_limit: str | int = "512m"
    cpu_limit: str | float | None = None
    pids_limit: int = 256
    workspace_size: str | int | None = None
    tmp_size: str | int | None = None
    network: str = "none"
    ports: tuple[int, ...] = ()
    working_dir: str = "/workspace"
    mounts: tuple[Mount, ...] = ()
    preload: tuple[str, ...] = ()
    runtime: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        parse_size(self.memory_limit, field="container.memory_limit", least=32 * _MIB)
        check_count(self.pids_limit, field="container.pids_limit", least=8)
        check_environment(self.environment, field="container.environment")
        check_fields(self, "container")
        if self.image is not None and not self.image.strip():
            hint = "leave it out for the language's own, or give one such as 'python:3.12'"
            raise ConfigurationError("container.image", self.image, "is not a name of an image", hint=hint)
        check_directory(self.working_dir, field="container.working_dir")
        check_tenant(self.tenant, field="container.tenant")
        check_network(self.network, field="container.network")
        for number, name in enumerate(self.preload):
            if not _MODULE.fullmatch(name):
                hint = "name it as an import statement does: 'matplotlib.pyplot'"
                raise ConfigurationError(f"container.preload[{number}]", name, "is not a module", hint=hint)
        self._check_ports()
        check_mounts(self.mounts, field="container.mounts")
        if self.cpu_limit is not None:
            parse_cpus(self.cpu_limit, field="container.cpu_limit")
        if self.memory_bytes < self.workspace_bytes + self.tmp_bytes + self.tmpfs_bytes + 8 * _MIB:
            raise ConfigurationError(
                "container.memory_limit",
                self.memory_limit,
                "leaves no room for programs beside workspace_size, tmp_size and mounts of kind tmpfs, all in memory",
                hint="raise memory_limit, or lower workspace_size, tmp_size or the size of a mount",
            )

    def _check_ports(self) -> None:
        for number, port in enumerate(self.ports):
            if not 0 < port < 65536:
                raise ConfigurationError(f"container.ports[{number}]", port, "is not a port: a number from 1 to 65535")
            if port in self.ports[:number]:
                raise ConfigurationError(f"container.ports[{number}]", port, "is given twice")
        if self.ports and self.network == "none":
            hint = "set network='bridge', or name a Docker network"
            raise ConfigurationError("container.ports", self.ports, "cannot be published without a network", hint=hint)

    @property
    def memory_bytes(self) -> int:
        """``memory_limit`` in bytes."""
        return parse_size(self.memory_limit, field="container.memory_limit", least=32 * _MIB)

    @property
    def workspace_bytes(self) -> int:
        """``workspace_size`` in bytes."""
        if self.workspace_size is None:
            return min(256 * _MIB, self.memory_bytes // 2)
        return parse_size(self.workspace_size, field="container.workspace_size", least=_MIB)

    @property
    def tmp_bytes(self) -> int:
        """``tmp_size`` in bytes."""
        if self.tmp_size is None:
            return min(64 * _MIB, self.memory_bytes // 8)
        return parse_size(self.tmp_size, field="container.tmp_size", least=_MIB)

    @property
    def tmpfs_bytes(self) -> int:
        """The sizes of all mounts of kind tmpfs together, in bytes."""
        return sum(mount.tmpfs_bytes for mount in self.mounts)

    @property
    def cpus(self) -> float | None:
        """``cpu_limit`` in cores."""
        return None if self.cpu_limit is None else parse_cpus(self.cpu_limit, field="container.cpu_limit")


_CONTAINERS_PER_CORE, _SMALLEST, _LARGEST = 4, 8, 64
_MEMORY_PER_CONTAINER = 256 << 20  # bytes; an idle container holds a tenth of that


class PoolConfig(msgspec.Struct, metaclass=ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of containers of one shape, and their lifetimes.

    Attributes:
        min_size: containers kept warm for each prewarmed language.
        max_size: containers of one shape alive at once, idle, busy and starting together. None means that it follows
            the Docker host: four for each core, at least 8 and at most 64, but no more than one for each 256 MiB of
            its memory.
        max_idle: seconds that a container beyond ``min_size`` waits unused.
        max_age: seconds that a container lives before it is replaced.
        max_uses: runs of one container, where its strategy uses it again.
        wait_timeout: seconds that a caller waits for a container before ``PoolTimeout`` is raised; None means no limit.
            A container that cannot be started raises an error in any case.
        parallel_creates: containers started at the same time, over all pools; more than 4 gains nothing on one engine.

    Raises:
        ConfigurationError: a value cannot work.
    """

    min_size: int = 1
    max_size: int | None = None
    max_idle: float = 300.0
    max_age: float = 900.0
    max_uses: int = 1000
    wait_timeout: float | None = None
    parallel_creates: int = 4

    def __post_init__(self) -> None:
        check_count(self.min_size, field="pool.min_size", least=0)
        if self.max_size is not None:
            check_count(self.max_size, field="pool.max_size", least=1)
        check_count(self.max_uses, field="pool.max_uses", least=1)
        check_count(self.parallel_creates, field="pool.parallel_creates", least=1)
        check_seconds(self.max_idle, field="pool.max_idle")
        check_seconds(self.max_age, field="pool.max_age")
        check_seconds(self.wait_timeout, field="pool.wait_timeout")
        check_fields(self, "pool")
        if self.max_size is not None and self.min_size > self.max_size:
            raise ConfigurationError("pool.min_size", self.min_size, f"is more than max_size, {self.max_size}")

    def size_on(self, *, cpus: int, memory: int) -> int:
        """Return the largest number of containers of one shape on a Docker host.

        Args:
            cpus: cores of the host.
            memory: bytes of the host's memory; 0 means that the host does not tell.
        """
        if self.max_size is not None:
            return self.max_size
        size = min(max(_CONTAINERS_PER_CORE * cpus, _SMALLEST), _LARGEST)
        if memory:
            size = min(size, max(2, memory // _MEMORY_PER_CONTAINER))
        return max(size, self.min_size)


class SessionConfig(msgspec.Struct, metaclass=ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of a session.

    Attributes:
        strategy: the rule for files between runs. ``PER_SESSION``: files stay, for every language. ``PER_EXECUTION``
            and ``POOL``: each run begins with the files that the caller wrote, and with none that a run made; the files
            of the last run can be read until the next one.
        container: the configuration of its containers; None means the engine's.
        workspace_sharing: ``"shared"``: files stay between the runs of a ``PER_EXECUTION`` session too, each of which
            has a container of its own. Not for ``POOL``, whose reset wipes them. ``PER_SESSION`` shares in any case.
        session_id: the id of the session, of letters, digits and ``._-``; None means a new one.
        enforce_new_session: True raises ``SessionExists`` when a session of that id exists; False uses it again.
        tenant: the tenant of its containers; None means that of ``container``.
        idle_timeout: seconds without use after which the session is cleaned up; None means never. Time in which the
            client itself was stopped does not count.
        when_busy: ``"queue"``: a call waits for its turn while the session has a run or a file operation. ``"error"``:
            the call raises ``SessionBusy``.
        timeout: seconds that a run may take; None means no limit. Left out, it is the engine's.
        output_limit: bytes of stdout and stderr together; None means no limit. Left out, it is the engine's.

    Raises:
        ConfigurationError: a value cannot work.
    """

    strategy: ContainerStrategy = ContainerStrategy.PER_SESSION
    container: ContainerConfig | None = None
    workspace_sharing: Literal["isolated", "shared"] = "isolated"
    session_id: str | None = None
    enforce_new_session: bool = False
    tenant: str | None = None
    idle_timeout: float | None = 3600.0
    when_busy: Literal["queue", "error"] = "queue"
    timeout: float | msgspec.UnsetType | None = msgspec.UNSET
    output_limit: str | int | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        check_seconds(self.idle_timeout, field="idle_timeout")
        if self.timeout is not msgspec.UNSET:
            check_seconds(self.timeout, field="timeout")
        if self.output_limit is not msgspec.UNSET and self.output_limit is not None:
            parse_size(self.output_limit, field="output_limit")
        check_fields(self)
        check_sharing(self.strategy, self.workspace_sharing)
        if self.session_id is not None and not _SESSION_ID.fullmatch(self.session_id):
            hint = "use letters, digits and ._- only, at most 128"
            raise ConfigurationError("session_id", self.session_id, "is not a name of a session", hint=hint)
        check_tenant(self.tenant, field="tenant")

    def container_of(self, engine: EngineConfig) -> ContainerConfig:
        """Return the configuration of its containers in an engine."""
        container = engine.container if self.container is None else self.container
        return container if self.tenant is None else msgspec.structs.replace(container, tenant=self.tenant)

    @property
    def keeps_files(self) -> bool:
        """True when the files that a run made are there for the next run, in any language."""
        return self.strategy is ContainerStrategy.PER_SESSION or self.workspace_sharing == "shared"


class EngineConfig(msgspec.Struct, metaclass=ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of an engine.

    Attributes:
        pool: sizes and times of its pools.
        container: the configuration of its sandboxes, unless a session or run overrides it.
        docker_host: address of the Docker engine, ``unix://`` or ``tcp://``; None means DOCKER_HOST, the current
            Docker context, or the usual sockets; the first that is found is used.
        isolation: what is around a program. ``"sandbox"``: namespaces of its own inside a container, which are
            thrown away with it; where the Docker host allows none, ``SandboxUnavailable`` is raised. ``"container"``:
            the container alone, which ``POOL`` resets. ``"auto"``: as ``"sandbox"`` where that can be had, else as
            ``"container"``.
        network_namespace: the network namespace of a sandbox. ``"new"``: a new one for each. ``"checked"``: that of the
            sandbox before in the same container where it is as it was made: no program there has asked for a socket
            but local ones, and the kernel counts none that is left. Else a new one. A new one takes 1 ms of processor
            time more.
        strategy: the strategy of runs without a session that name none. ``"auto"``: ``POOL`` where they can have
            sandboxes, else ``PER_EXECUTION``.
        prewarm: languages whose containers are started with the engine.
        timeout: seconds that a run may take; None means no limit.
        output_limit: bytes of stdout and stderr together; None means no limit.
        max_sessions: sessions at once.
        images: default images by language. They override ``INTERPRETER_TOOLS_IMAGE_<LANGUAGE>`` and the language's own
            image. The languages must be registered when the engine starts, or when the configuration is read from a
            file.
        languages: further languages by name, with the fields of a ``LanguageConfig``, as ``[languages.ruby]`` in a file
            has them; they are registered, for the whole process, when an engine starts.
        index_url: Python's package index; None means that of PIP_INDEX_URL or UV_DEFAULT_INDEX, or the usual one.
        extra_index_urls: further ones.
        allowed_index_hosts: hosts that lists of packages may name beside those of the indexes: with
            ``--extra-index-url`` and its like, or in the URL of a package; such as ``("packages.example",)``.
        npm_registry: npm's registry; None means that of npm_config_registry, or the usual one.
        http_proxy: URL of the proxy that installers reach ``http://`` through; None means that of the variable of this
            name, unless it leads to this machine's loopback.
        https_proxy: URL of the proxy for ``https://``; None means that of the variable of this name, as above.
        no_proxy: hosts that are reached without a proxy, between commas; None means those of the variable.
        ca_bundle: a PEM file of this machine with certificate authorities that installers trust beside those of their
            image; None means those of SSL_CERT_FILE, PIP_CERT, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE,
            NODE_EXTRA_CA_CERTS and npm_config_cafile together. It is read now, and at each installation.
        dependency_network: the Docker network of installers; ``"none"`` means that nothing new can be installed.
        compile_timeout: seconds that the compiler of a run's program may take.
        dependency_timeout: seconds that an installation may take.
        dependency_memory: bytes that an installer may use, or a text such as ``"2g"``.
        dependency_store: the Docker volume of installed packages; engines that name the same volume share it.
        store_max_size: bytes, or a text. After an installation the oldest entries are evicted while the store is
            larger, except those of the last hour. None means no limit.

    Raises:
        ConfigurationError: a value cannot work.
    """

    pool: PoolConfig = msgspec.field(default_factory=PoolConfig)
    container: ContainerConfig = msgspec.field(default_factory=ContainerConfig)
    docker_host: str | None = None
    isolation: Literal["auto", "sandbox", "container"] = "auto"
    network_namespace: Literal["checked", "new"] = "checked"
    strategy: RunStrategy = "auto"
    prewarm: tuple[str, ...] = ("python",)
    timeout: float | None = 60.0
    compile_timeout: float = 60.0
    output_limit: str | int | None = 16 * _MIB
    max_sessions: int = 1000
    images: dict[str, str] = {}
    languages: dict[str, dict[str, object]] = {}
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    allowed_index_hosts: tuple[str, ...] = ()
    npm_registry: str | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    ca_bundle: str | None = None
    dependency_network: str = "bridge"
    dependency_timeout: float = 600.0
    dependency_memory: str | int = "2g"
    dependency_store: str = "interpreter-tools-store"
    store_max_size: str | int | None = "10g"

    def __post_init__(self) -> None:
        check_count(self.max_sessions, field="max_sessions", least=1)
        check_seconds(self.timeout, field="timeout")
        check_seconds(self.compile_timeout, field="compile_timeout")
        check_seconds(self.dependency_timeout, field="dependency_timeout")
        parse_size(self.dependency_memory, field="dependency_memory", least=128 * _MIB)
        if self.store_max_size is not None:
            parse_size(self.store_max_size, field="store_max_size")
        check_fields(self)
        check_run_strategy(self.strategy)
        check_network(self.dependency_network, field="dependency_network")
        check_proxy(self.http_proxy, field="http_proxy")
        check_proxy(self.https_proxy, field="https_proxy")
        check_no_proxy(self.no_proxy, field="no_proxy")
        check_bundle(self.ca_bundle, field="ca_bundle")
        if not _VOLUME.fullmatch(self.dependency_store):
            hint = "begin with a letter or a digit; letters, digits, _, . and - may follow"
            raise ConfigurationError(
                "dependency_store", self.dependency_store, "is not a name of a Docker volume", hint=hint
            )
        if self.output_limit is not None:
            parse_size(self.output_limit, field="output_limit")

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Read the configuration from a TOML file and from environment variables, which override the file.

        A field's name is its path: ``max_size`` in the table ``[pool]``, or ``INTERPRETER_TOOLS_POOL__MAX_SIZE``. The
        text ``none`` stands for None. In variables a sequence is JSON, or words between commas; one entry of a
        dictionary is a variable of its own, ``INTERPRETER_TOOLS_CONTAINER__ENVIRONMENT__LANG=C``. Fields that are
        given nowhere have their defaults. The call reads files, so it blocks; it may be made from any thread.

        Args:
            path: the file; None means the one that ``INTERPRETER_TOOLS_CONFIG`` names. Without either, the file is
                ``interpreter-tools/config.toml`` in the user's directory for configuration. The limits and sizes of
                ``interpreter-tools.toml`` in the current directory override it; the other settings of that file
                (mounts, networks, images, indexes, the Docker engine) are ignored with a ``SettingsIgnored`` warning.
            environ: the variables; None means those of this process.

        Raises:
            ConfigurationError: a file that was named does not exist, a name is unknown, or a value cannot work; the
                error has the field's path.
        """
        environ = os.environ if environ is None else environ
        return cls.from_dict(with_environment(read_settings(path, environ, cls), environ, cls))

    @classmethod
    def from_dict(cls, settings: Mapping[str, object]) -> Self:
        """Return the configuration that plain data describes, as a TOML or JSON file holds it.

        Raises:
            ConfigurationError: a name is unknown, or a value cannot work; the error has the field's path.
        """
        config = build(settings, cls)
        own = {name for table in config.languages.values() for name in cast("Sequence[str]", table.get("aliases", ()))}
        check_languages(config.images, field="images", beside={*config.languages, *own})
        return config
