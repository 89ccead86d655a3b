"""The request of ``interpreter-tools run``, and the configuration and options that it means. Reads files."""

from __future__ import annotations

import posixpath
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.model import PoolConfig
from interpreter_tools._config.options import RunApp
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages.plan import as_utf_8
from interpreter_tools.cli._language import guess_language, keeps_name
from interpreter_tools.cli._limits import Limits
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.options import RunOptions


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The program to run and its options; attributes as the command's options.

    With neither ``file`` nor ``code`` the program comes from standard input.
    """

    file: Path | None
    code: str | None
    args: tuple[str, ...]
    language: str | None
    dependencies: tuple[str, ...]
    system_dependencies: tuple[str, ...]
    auto_dependencies: bool
    files: tuple[str, ...]
    limits: Limits
    ports: tuple[int, ...]
    out: Path | None
    merge_output: bool
    config_file: Path | None
    docker_host: str | None

    @property
    def reads_stdin(self) -> bool:
        """The program comes from standard input, which is then not the program's own."""
        return self.code is None and self.file is None

    def config(self, *, captures: bool) -> EngineConfig:
        """Return the user's configuration with the options over it.

        Args:
            captures: the output is collected in memory, and so never without a limit unless the user says so.

        Raises:
            ConfigurationError: a value cannot work.
        """
        loaded = load_settings("run", self.config_file)
        if self.ports and (self.limits.network or loaded.container.network) == "none":
            raise ConfigurationError("--port", self.ports[0], "needs a network", hint="add --network bridge")
        config = self.limits.over(loaded)
        if self.limits.output_limit is None and not captures:
            config = msgspec.structs.replace(config, output_limit=None)
        if self.ports:
            config = msgspec.structs.replace(
                config, container=msgspec.structs.replace(config.container, ports=self.ports)
            )
        return msgspec.structs.replace(
            config,
            docker_host=self.docker_host or loaded.docker_host,
            prewarm=(),
            pool=PoolConfig(min_size=0, max_size=1, wait_timeout=loaded.pool.wait_timeout),
        )

    def program(self) -> tuple[str, bytes, RunOptions]:
        """Return the language, the code, and the options of the run. A file runs under its own name.

        Raises:
            ConfigurationError: a value cannot work.
            OSError: a file cannot be read.
        """
        code = self._read_code()
        name = None if self.file is None else self.file.name
        language = self.language
        if name is not None and name.endswith(".ipynb") and language in {None, "python", "py", "ipynb"}:
            from interpreter_tools.cli._notebook import program_of_notebook  # noqa: PLC0415 - few need it

            language, code = program_of_notebook(code)
            name = None
        language = language or guess_language(name, code)
        files = {path: data for text in self.files for path, data in _read_files(*_file(text))}
        options: RunOptions = {"files": files, "args": self.args, "merge_output": self.merge_output}
        if name is not None and name not in files and keeps_name(name, language):
            options["files"] = {**files, name: code}
            options["run_app"] = RunApp(entry_file=name)
            code = b""
        if self.reads_stdin:
            options["stdin"] = b""
        if self.dependencies:
            from interpreter_tools.tool._texts import split_requirements  # noqa: PLC0415 - as above

            packages = [package for text in self.dependencies for package in split_requirements(text)]
            if packages:
                options["dependencies"] = packages
        if self.system_dependencies:
            options["system_dependencies"] = [
                name for text in self.system_dependencies for name in text.split(",") if name
            ]
        if self.auto_dependencies:
            options["auto_dependencies"] = True
        return language, code, options

    def _read_code(self) -> bytes:
        if self.code is not None:
            return self.code.encode("utf-8", "surrogateescape")
        return as_utf_8(sys.stdin.buffer.read() if self.file is None else self.file.read_bytes())


def _file(text: str) -> tuple[str, str]:
    path, equals, local = text.partition("=")
    return (path, local) if equals and not Path(text).exists() else (Path(text).name, text)


def _read_files(path: str, local: str) -> Iterator[tuple[str, bytes]]:
    """Yield the contents of a local file, or of all files below a local directory."""
    if not Path(local).is_dir():
        yield path, Path(local).read_bytes()
        return
    for file in sorted(Path(local).rglob("*")):
        if file.is_file():
            yield posixpath.join(path, file.relative_to(local).as_posix()), file.read_bytes()
