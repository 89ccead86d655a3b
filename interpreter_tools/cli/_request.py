"""What ``interpreter-tools run`` was asked for, and the configuration and options that it means. Reads files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.model import PoolConfig
from interpreter_tools._config.mounts import Mount
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from interpreter_tools._config.model import ContainerConfig, EngineConfig
    from interpreter_tools._config.options import RunOptions

_MODES = ("ro", "rw", "zip")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run; attributes as the command's options, None where one was not given.

    With neither ``file`` nor ``code`` the program comes from standard input.
    """

    file: Path | None
    code: str | None
    language: str | None
    timeout: float | None
    memory: str | None
    cpus: str | None
    pids: int | None
    workspace_size: str | None
    tmp_size: str | None
    output_limit: str | None
    dependencies: tuple[str, ...]
    environment: tuple[str, ...]
    files: tuple[str, ...]
    mounts: tuple[str, ...]
    network: str | None
    ports: tuple[int, ...]
    image: str | None
    out: Path | None
    config_file: Path | None
    docker_host: str | None

    @property
    def reads_stdin(self) -> bool:
        """The program comes from standard input, which is then not the program's own."""
        return self.code is None and self.file is None

    def read_code(self) -> bytes:
        """The program."""
        if self.code is not None:
            return self.code.encode("utf-8", "surrogateescape")
        return sys.stdin.buffer.read() if self.file is None else self.file.read_bytes()

    def config(self, *, captures: bool) -> EngineConfig:
        """The user's configuration with the options over it.

        Args:
            captures: the output is collected in memory, and so never without a limit unless the user says so.

        Raises:
            ConfigurationError: a value cannot work.
        """
        loaded = load_settings("run", self.config_file)
        if self.output_limit is not None:
            output_limit = None if self.output_limit == "none" else self.output_limit
        else:
            output_limit = loaded.output_limit if captures else None
        return msgspec.structs.replace(
            loaded,
            container=self._container(loaded.container),
            docker_host=self.docker_host or loaded.docker_host,
            prewarm=(),
            pool=PoolConfig(min_size=0, max_size=1, wait_timeout=loaded.pool.wait_timeout),
            timeout=loaded.timeout if self.timeout is None else self.timeout or None,
            output_limit=output_limit,
        )

    def _container(self, loaded: ContainerConfig) -> ContainerConfig:
        given = {
            "memory_limit": self.memory,
            "cpu_limit": self.cpus,
            "pids_limit": self.pids,
            "workspace_size": self.workspace_size,
            "tmp_size": self.tmp_size,
            "network": self.network,
            "image": self.image,
            "ports": self.ports or None,
            "mounts": (*loaded.mounts, *map(_mount, self.mounts)),
        }
        if self.ports and (self.network or loaded.network) == "none":
            raise ConfigurationError("--port", self.ports[0], "needs a network", hint="add --network bridge")
        return msgspec.structs.replace(loaded, **{name: value for name, value in given.items() if value is not None})

    def options(self) -> RunOptions:
        """What is not the container's.

        Raises:
            ConfigurationError: a value cannot work.
            OSError: a file cannot be read.
        """
        options: RunOptions = {
            "environment": dict(map(_variable, self.environment)),
            "files": {path: Path(local).read_bytes() for path, local in map(_file, self.files)},
        }
        if self.reads_stdin:
            options["stdin"] = b""
        if self.dependencies:
            options["dependencies"] = list(self.dependencies)
        return options


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else os.environ.get(name, "")


def _file(text: str) -> tuple[str, str]:
    path, equals, local = text.partition("=")
    return (path, local) if equals else (Path(text).name, text)


def _mount(text: str) -> Mount:
    rest, _, mode = text.rpartition(":")
    if mode not in _MODES:
        rest, mode = text, "ro"
    source, colon, target = rest.rpartition(":")
    if not colon or not source or not target:
        hint = "give SOURCE:TARGET, SOURCE:TARGET:rw, or ARCHIVE:TARGET:zip"
        raise ConfigurationError("--mount", text, "does not say what appears where", hint=hint)
    return Mount(target=target, source=source, kind="zip" if mode == "zip" else None, read_only=mode != "rw")
