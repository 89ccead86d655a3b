"""The supervisor, built once with the sanitizers on."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import interpreter_tools
from tests.supervisor.harness import MOUNTS, STORE, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCES = Path(interpreter_tools.__file__).with_name("supervisor")
_COMPILER = shlex.split(os.environ.get("CC", "cc"))
_FLAGS = (
    *("-g", "-O1", "-std=gnu11", "-D_GNU_SOURCE", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sanitized supervisor, compiled by ``CC`` or ``cc``."""
    directory = tmp_path_factory.mktemp("build")
    return _linked(directory, _compiled(directory, sorted(_SOURCES.glob("*.c"))))


@pytest.fixture
def binary_of_short_steps(binary: Path, tmp_path: Path) -> Path:
    """The same, but every phase is cut into many steps: each ends anywhere."""
    stepping = [source for source in sorted(_SOURCES.glob("*.c")) if "STEP_US" in source.read_text("utf-8")]
    objects = {each.name: each for each in binary.parent.glob("*.o")}
    objects |= {each.name: each for each in _compiled(tmp_path, stepping, "-DSTEP_US=100")}
    return _linked(tmp_path, list(objects.values()))


def _compiled(directory: Path, sources: list[Path], *flags: str) -> list[Path]:
    subprocess.run([*_COMPILER, *_FLAGS, *flags, "-c", *map(str, sources)], check=True, cwd=directory)
    return [directory / f"{source.stem}.o" for source in sources]


def _linked(directory: Path, objects: list[Path]) -> Path:
    binary = directory / "supervisor"
    subprocess.run([*_COMPILER, *_FLAGS, *map(str, objects), "-o", str(binary)], check=True)
    return binary


@pytest.fixture
def supervisor(binary: Path) -> Iterator[Supervisor]:
    """A supervisor that has not been told what to boot."""
    with Supervisor(binary) as supervisor:
        yield supervisor


@pytest.fixture
def idle(supervisor: Supervisor) -> Supervisor:
    """A supervisor that boots nothing and waits for its first run."""
    supervisor.boot()
    return supervisor


@pytest.fixture
def with_store(binary: Path) -> Iterator[Supervisor]:
    """A supervisor with an empty dependency store, which boots nothing."""
    with Supervisor(binary, mounts=(f"store={STORE}", *MOUNTS)) as supervisor:
        supervisor.boot()
        yield supervisor
