"""``interpreter-tools deps``: list, remove and install the packages of runs."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import anyio
import msgspec
from rich.console import Console
from rich.table import Table

from interpreter_tools._config.model import EngineConfig, PoolConfig
from interpreter_tools._dependencies.public_store import DependencyStore
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, InterpreterToolsError
from interpreter_tools._exit_status import USAGE
from interpreter_tools._languages.manifests import decode_list, requirement_lines
from interpreter_tools.cli._errors import tell
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._dependencies import StoreEntry

_FAILED = 1
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_duration(text: str) -> float:
    """Return the seconds of a text such as ``30d``, ``12h``, ``90m`` or ``10s``.

    Raises:
        ConfigurationError: the text is no time.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigurationError(
            "--older-than", text, "is not a time", hint="give a number with s, m, h, d or w, such as 30d"
        )
    return float(match[1]) * _UNITS[match[2]]


def read_requirements(text: str) -> list[str]:
    """Return the packages that a requirements file names.

    Raises:
        ConfigurationError: the file holds an option, or names another file.
    """
    lines = requirement_lines(text)
    for number, package in lines:
        if package.startswith("-") or " --" in package:
            hint = "name the index with PIP_INDEX_URL; leave out options and hashes"
            raise ConfigurationError(f"line {number}", package, "is an option, not a package", hint=hint)
    return [package for _, package in lines]


def _config(store: str | None, docker_host: str | None) -> EngineConfig:
    """Return the user's configuration, with the command's options in it."""
    loaded = load_settings("deps")
    return msgspec.structs.replace(
        loaded,
        docker_host=docker_host or loaded.docker_host,
        dependency_store=store or loaded.dependency_store,
        prewarm=(),
        pool=PoolConfig(min_size=0, max_size=1, wait_timeout=loaded.pool.wait_timeout),
    )


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _age(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def _short(entry: StoreEntry) -> str:
    """Return a name that fits on a line: the first digits of the key."""
    return entry.name.rpartition(":")[2][: 13 if not entry.whole else 12]


def _what(entry: StoreEntry) -> str:
    if entry.is_cache:
        return "(downloads that all share)"
    if not entry.whole:
        return "(not finished)" if entry.name[0] == "." else "(being removed)"
    return " ".join(entry.packages)


async def run_list(*, as_json: bool, store: str | None, docker_host: str | None) -> int:
    """Print the installed packages and return the command's status."""
    try:
        config = await anyio.to_thread.run_sync(_config, store, docker_host)
        async with DependencyStore(config) as opened:
            entries = await opened.entries()
    except InterpreterToolsError as error:
        return _complain("list", error)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(entries)).decode() + "\n")
        return 0
    table = Table("key", "language", "packages", "image", "size", "age", box=None)
    for entry in entries:
        table.add_row(_short(entry), entry.language, _what(entry), entry.image, _size(entry.size), _age(entry.age))
    console = Console(highlight=False, markup=False)
    if entries:
        console.print(table)
    console.print(f"{len(entries)} entries, {_size(sum(entry.size for entry in entries))}")
    return 0


async def run_prune(
    *,
    older_than: str | None,
    max_size: str | None,
    everything: bool,
    dry_run: bool,
    store: str | None,
    docker_host: str | None,
) -> int:
    """Remove entries, print them, and return the command's status."""
    said = "would remove" if dry_run else "removed"
    console = Console(highlight=False, markup=False, soft_wrap=True)

    def tell(entry: StoreEntry) -> None:
        console.print(f"{said} {_short(entry)} {entry.language} {_what(entry)} ({_size(entry.size)})")

    try:
        age = None if older_than is None else parse_duration(older_than)
        config = await anyio.to_thread.run_sync(_config, store, docker_host)
        async with DependencyStore(config) as opened:
            removed = await opened.prune(
                older_than=age, max_size=max_size, everything=everything, dry_run=dry_run, on_removed=tell
            )
    except InterpreterToolsError as error:
        return _complain("prune", error)
    console.print(f"{said} {len(removed)} entries, {_size(sum(entry.size for entry in removed))}")
    return 0


async def run_warm(
    packages: Sequence[str],
    *,
    language: str,
    requirements: Path | None,
    image: str | None,
    store: str | None,
    docker_host: str | None,
) -> int:
    """Install packages, pass the installer's output on, and return its status."""
    try:
        wanted = list(packages)
        if requirements is not None:
            wanted += read_requirements(decode_list(await anyio.Path(requirements).read_bytes()))
        options: RunOptions = {"dependencies": wanted, "stdin": b""}
        if image is not None:
            options["image"] = image
        config = await anyio.to_thread.run_sync(_config, store, docker_host)
        async with (
            ExecutionEngine(config) as engine,
            engine.stream(language, "", **options) as execution,
        ):
            async for chunk in execution:
                stream = sys.stdout if chunk.stream == "dependency_stdout" else sys.stderr
                if chunk.stream.startswith("dependency_"):
                    stream.write(chunk.text)
                    stream.flush()
            result = await execution.result()
    except InterpreterToolsError as error:
        return _complain("warm", error)
    except OSError as error:
        sys.stderr.write(f"interpreter-tools deps warm: {error.filename or ''}: {error.strerror}\n")
        return USAGE
    if result.outcome == "dependency_error":
        return result.exit_code
    sys.stdout.write(f"ready in {result.dependency_time:.1f} s\n" if result.dependency_time else "ready already\n")
    return 0


def _complain(command: str, error: InterpreterToolsError) -> int:
    return tell(f"deps {command}", error, failed=_FAILED)
