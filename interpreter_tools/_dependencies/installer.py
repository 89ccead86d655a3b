"""One installation: a container with network and a writable store, in which no user's code ever runs.

Its name tells what is being installed, and Docker gives a name once: that is the lock between processes. It ends with
its client, and what it had staged is replaced by the next attempt.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Protocol

from interpreter_tools._config.model import ContainerConfig
from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._container.shape import Shape
from interpreter_tools._dependencies import authorities
from interpreter_tools._docker.spec import STORE_DIRECTORY
from interpreter_tools._exceptions import (
    ContainerLost,
    DockerApiError,
    InterpreterMissing,
    ProtocolError,
    StoreFailed,
)
from interpreter_tools._execution.installing import Installed
from interpreter_tools._languages import BASE_ENVIRONMENT
from interpreter_tools._protocol import Exited, Output, Refused, Start
from interpreter_tools._protocol.constants import Ended, Why

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.results import DependencyStream
    from interpreter_tools._container.container import Container
    from interpreter_tools._dependencies.indexes import IndexSettings
    from interpreter_tools._dependencies.requirement import Requirement
    from interpreter_tools._dependencies.sink import Sink

_LOG = logging.getLogger("interpreter_tools")
_TIMED_OUT = 124  # as timeout(1) says it
_OF_PACKAGE = frozenset({errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENOTDIR})  # it left no plain tree
_SILENCE = 300.0  # seconds for staging, publishing and the end of a program: a slow disk is not an error
_WAIT_SLICE = 30.0
_PACKAGES_FILE = "interpreter-tools-packages.txt"
_VIEW = re.compile(r"/view-[0-9a-f]{32}")
_WARM_SHARE = 0.75  # of the time for an installation that downloads may take; copies need little
_PRINTED = 4096  # bytes of what warms the cache

CACHE_UID = 9_999
"""The user that the cache of packages belongs to; below those of sandboxes and installers."""


class Runtime(Protocol):
    """The part of the engine's runtime that installers use."""

    async def create_installer(self, shape: Shape, name: str) -> Container:
        """Return a container that may write into the store."""
        ...

    async def wait_for_other(self, name: str, seconds: float) -> None:
        """Wait until a container of that name is gone, or the time is up; remove it when its client is dead."""


def installer_shape(shape: Shape, config: EngineConfig, *, network: str | None = None) -> Shape:
    """Return the shape of the installers for containers of another shape.

    Args:
        shape: the other.
        config: limits of what installs.
        network: None means that of the configuration.
    """
    limits = ContainerConfig(
        memory_limit=config.dependency_memory,
        pids_limit=1024,
        workspace_size="4m",
        tmp_size="32m",
        network=network or config.dependency_network,
        runtime=shape.config.runtime,
    )
    return Shape(  # spelt out: nothing else of a sandbox belongs here, neither its mounts nor its workspace
        label="installer",
        image=shape.image,
        image_id=shape.image_id,
        image_environment=shape.image_environment,
        config=limits,
        boot_mode=None,
        boot_command=(),
        boot_environment={},
        image_volumes=shape.image_volumes,
        identities=(),
        reused=False,
    )


async def open_installer(
    runtime: Runtime, shape: Shape, name: str, *, timeout: float, on_wait: Callable[[], None]
) -> Container:
    """Return the installer of a name; wait while another process has a container of that name.

    Raises:
        StoreFailed: the other one did not end in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await runtime.create_installer(shape, name)
        except DockerApiError as error:
            if error.status != 409 and "already in use" not in error.detail:  # Podman says 500
                raise
        on_wait()
        left = deadline - time.monotonic()
        if left <= 0:
            raise StoreFailed(f"another client has been installing for {timeout:g} s", hint=f"look at container {name}")
        await runtime.wait_for_other(name, min(left, _WAIT_SLICE))


async def run_program(
    container: Container,
    words: list[str],
    environment: dict[str, str],
    *,
    directory: str,
    timeout: float,
    sink: Sink,
    uid: int | None = None,
) -> Exited | Refused:
    """Run a program of ours in a container that is ours alone, and return how it ended.

    Args:
        container: the container.
        words: the program and its arguments.
        environment: its variables.
        directory: where it starts.
        timeout: seconds.
        sink: takes what it writes.
        uid: the user that it runs as; None means the container's.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    start = Start(
        words,
        environment,
        uid=container.uid if uid is None else uid,
        timeout_ms=round(timeout * 1000),
        directory=directory,
    )
    request = container.channel.free().start(start)
    answer = container.channel.converse(request, silence=timeout + _SILENCE, patience=0.0)
    async with contextlib.aclosing(answer) as events:
        async for event in events:
            if isinstance(event, Output):
                sink("dependency_stdout" if event.stream == "stdout" else "dependency_stderr", event.data)
            elif isinstance(event, (Exited, Refused)):
                return event
    raise ProtocolError("the supervisor did not say how the installer ended")


def _home(key: str) -> str:
    """Return the directory of a shared cache."""
    return f"{STORE_DIRECTORY}/.{key}/target"


class Installer:
    """Fills one entry of the store, in a container that is its own."""

    def __init__(
        self, container: Container, requirement: Requirement, settings: IndexSettings, sink: Sink, *, timeout: float
    ) -> None:
        self._container = container
        self._requirement = requirement
        self._settings = settings
        self._sink = sink
        self._timeout = timeout
        self._staging = f"{STORE_DIRECTORY}/.{requirement.key}"
        self._temporary = f"{self._staging}/tmp"  # noqa: S108 - its own

    async def install(self) -> Installed:
        """Install the packages, unless another client has done so meanwhile.

        Raises:
            StoreFailed: the store is full or cannot be written.
            InterpreterMissing: the image has none of the programs that install.
            ConfigurationError: the certificate authorities that are configured cannot be read.
            ContainerLost, ProtocolError: the container went away.
        """
        connection, key = self._container.channel.connection, self._requirement.key
        answer = await self._ask(connection.need(key) + connection.sync())
        if answer is None:
            return Installed()
        trust = await self._bring_authorities()
        begun = time.monotonic()
        shared = self._shared_cache()
        cache = await self._warm_cache(shared, trust) if shared else {}
        self._timeout = max(self._timeout - (time.monotonic() - begun), self._timeout * (1 - _WARM_SHARE))
        await self._ask_store(connection.stage(key, uid=self._container.uid))
        result = await self._run_command(trust | cache)
        if result.exit_code == 0:
            if shared and self._requirement.plan.keep:
                await self._keep_downloads(shared)
            refused = await self._ask_store(connection.publish(key, self._requirement.manifest()), by_package=True)
            if refused is not None:
                self._say(f"what was installed cannot be kept: {os.strerror(refused.errno)}")
                return Installed(exit_code=1)
        return result

    async def _ask(self, request: bytes) -> Refused | None:
        """Return how a request was refused, or None when it was granted."""
        answer = await self._container.channel.ask(request, silence=_SILENCE, patience=0.0)
        return answer if isinstance(answer, Refused) else None

    async def _ask_store(self, request: bytes, *, by_package: bool = False) -> Refused | None:
        """Return how a request was refused, where the package itself is to blame."""
        answer = await self._ask(request)
        if answer is None:
            return None
        if by_package and answer.errno in _OF_PACKAGE:
            return answer
        raise StoreFailed(
            f"the dependency store cannot be written: {os.strerror(answer.errno)}",
            hint="look for a full disk; `interpreter-tools deps prune` makes room",
        )

    async def _bring_authorities(self) -> dict[str, str]:
        """Return the variables that tell programs whom to trust beside the image's own; none where nobody is to be."""
        certificates = await self._settings.authorities.read(self._sink)
        if not certificates:
            return {}
        image_environment, path = self._requirement.shape.image_environment, f"{WORKSPACE}/{authorities.FILE}"
        await self._bring(authorities.FILE, certificates)
        words = ["sh", "-c", authorities.JOIN, "sh", path, *authorities.of_image(image_environment)]
        ended = await self._run(words, {**BASE_ENVIRONMENT, **image_environment}, directory=WORKSPACE)
        if not isinstance(ended, Exited) or ended.exit_code != 0:
            self._say("the image's own certificate authorities cannot be read: only the given ones are trusted")
        return authorities.variables(path, image_environment)

    async def _bring(self, name: str, data: bytes) -> None:
        """Write a file into the installer's workspace."""
        container, connection = self._container, self._container.channel.connection
        refused = await self._ask(connection.put(name.encode(), data, uid=container.uid) + connection.sync())
        if refused is not None:
            raise ContainerLost(f"the installer takes no file: {os.strerror(refused.errno)}")

    def _shared_cache(self) -> str | None:
        """Return the key of the cache that all sets share; None for a set that has no part in it.

        A set whose packages come by a URL or from an index with a password has none.
        """
        plan, packages = self._requirement.plan, self._requirement.packages
        if not (plan.warm or plan.keep) or any("://" in line for line in packages):
            return None
        return self._settings.cache_key

    async def _warm_cache(self, key: str, trust: dict[str, str]) -> dict[str, str]:
        """Bring packages into the shared cache; return the variable that tells the installation where they are."""
        home = _home(key)
        if not self._requirement.plan.warm:
            return {"INTERPRETER_TOOLS_CACHE": home}
        await self._bring(_PACKAGES_FILE, self._packages_file())
        printed = rest = b""

        def collect(stream: DependencyStream, data: bytes) -> None:
            nonlocal printed, rest
            if stream == "dependency_stdout":
                printed = (printed + data)[:_PRINTED]
                return
            *lines, rest = (rest[-_PRINTED:] + data).split(b"\n")
            for line in lines:
                if line.lstrip().startswith(b"Download"):  # the rest is told, if it matters, by the installation
                    self._sink(stream, line + b"\n")

        given = {
            "{target}": home,
            "{final}": self._requirement.need.target,
            "{packages_file}": f"{WORKSPACE}/{_PACKAGES_FILE}",
        }
        words = [given.get(word, word) for word in self._requirement.plan.warm]
        await self._run_for_cache(key, words, self._environment(trust, home), collect)
        view = printed.decode("ascii", "replace").strip()
        return {"INTERPRETER_TOOLS_CACHE": view} if _VIEW.fullmatch(view.removeprefix(home)) else {}

    async def _keep_downloads(self, key: str) -> None:
        """Take what an installation has downloaded into the shared cache. That it fails is no failure."""
        home = _home(key)
        given = {"{target}": home, "{temporary}": self._temporary}
        words = [given.get(word, word) for word in self._requirement.plan.keep]

        def drop(_stream: DependencyStream, data: bytes) -> None:
            _LOG.debug("the shared cache of packages: %s", data.decode("utf-8", "replace"))

        await self._run_for_cache(key, words, self._environment({}, home), drop)

    async def _run_for_cache(self, key: str, words: list[str], environment: dict[str, str], sink: Sink) -> None:
        """Run a program of ours as the user that the shared cache belongs to; make the cache where there is none."""
        for attempt in range(2):
            ended = await run_program(
                self._container,
                words,
                environment,
                directory=_home(key),
                timeout=self._timeout * _WARM_SHARE,
                sink=sink,
                uid=CACHE_UID,
            )
            if not isinstance(ended, Refused) or ended.why is not Why.CWD or attempt:
                break
            await self._ask_store(self._container.channel.connection.stage(key, uid=CACHE_UID))  # the first use

    def _packages_file(self) -> bytes:
        return "".join(f"{line}\n" for line in self._requirement.packages).encode()

    def _environment(self, trust: dict[str, str], temporary: str) -> dict[str, str]:
        """Return the variables of a program that installs."""
        return {
            **BASE_ENVIRONMENT,
            **self._requirement.shape.image_environment,
            **self._requirement.plan.environment,
            **self._settings.environment,
            **trust,
            "HOME": temporary,
            "TMPDIR": temporary,  # on disk: a large wheel does not fit into memory
            "XDG_CACHE_HOME": f"{temporary}/cache",
        }

    async def _run_command(self, trust: dict[str, str]) -> Installed:
        tried: list[str] = []
        for command in self._requirement.plan.install:
            ended = await self._try_command(command, trust)
            if isinstance(ended, Exited):
                return self._judge(ended)
            if ended.why is not Why.PROGRAM:
                raise ContainerLost(f"the installer could not be started: {os.strerror(ended.errno)}")
            tried.append(command[0])
        raise InterpreterMissing(" or ".join(tried), self._requirement.shape.image, "no installer is there")

    async def _try_command(self, command: tuple[str, ...], trust: dict[str, str]) -> Exited | Refused:
        target = f"{self._staging}/target"

        def fill(text: str) -> str:
            return text.replace("{target}", target).replace("{final}", self._requirement.need.target)

        words: list[str] = []
        if "{packages_file}" in command:
            await self._bring(_PACKAGES_FILE, self._packages_file())
            command = tuple(f"{WORKSPACE}/{_PACKAGES_FILE}" if word == "{packages_file}" else word for word in command)
        for word in command:
            words.extend(self._requirement.packages if word == "{packages}" else [fill(word)])
        environment = {name: fill(value) for name, value in self._environment(trust, self._temporary).items()}
        return await self._run(words, environment, directory=target)

    async def _run(self, words: list[str], environment: dict[str, str], *, directory: str) -> Exited | Refused:
        return await run_program(
            self._container, words, environment, directory=directory, timeout=self._timeout, sink=self._sink
        )

    def _judge(self, exited: Exited) -> Installed:
        if exited.ended is Ended.TIMEOUT:
            self._say(f"the installer was stopped after {self._timeout:g} s (EngineConfig.dependency_timeout)")
            return Installed(exit_code=_TIMED_OUT, signal=exited.signal or None)
        if exited.oom_kills:
            self._say("the installer needed more memory than EngineConfig.dependency_memory")
        code = exited.status
        if exited.unclean:
            self._say("what the installer started could not be ended")
            code = code or 1
        return Installed(exit_code=code or (1 if exited.oom_kills else 0), signal=exited.signal or None)

    def _say(self, text: str) -> None:
        self._sink("dependency_stderr", f"interpreter-tools: {text}\n".encode())
