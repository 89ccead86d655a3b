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
_FLAGS = (
    *("-g", "-O1", "-std=gnu11", "-D_GNU_SOURCE", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sanitized supervisor, compiled by ``CC`` or ``cc``."""
    return _built(tmp_path_factory.mktemp("build"))


@pytest.fixture
def binary_of_short_steps(tmp_path: Path) -> Path:
    """The same, but every phase is cut into many steps: each ends anywhere."""
    return _built(tmp_path, "-DSTEP_US=100")


def _built(directory: Path, *flags: str) -> Path:
    binary = directory / "supervisor"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    sources = map(str, sorted(_SOURCES.glob("*.c")))
    subprocess.run([*compiler, *_FLAGS, *flags, *sources, "-o", str(binary)], check=True)
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
