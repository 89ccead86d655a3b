"""What is checked, and how: ``nox`` runs all of it, ``nox -s unit`` one part, ``nox -s bench`` the benchmarks."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "unit", "beside", "together"]
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")  # the Python that runs nox is the one that is tested
# The tests start hundreds of processes: without bytecode each one compiles the package anew, which takes twice as long.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PROJECT = nox.project.load_toml("pyproject.toml")
SOURCES = ("interpreter_tools", "examples", "bench", "tests", "noxfile.py", "hatch_build.py")
SHARED = Path(".nox", "shared").absolute()
"""The one environment of the sessions that run the package, with every extra, as developers have it."""
NOX = (sys.executable, "-m", "nox", "--session")
DOCKER_FOLDERS = tuple(f"tests/{name}" for name in ("docker", "corpus", "cli", "mcp", "setup", "server", "examples"))


def _install(session: nox.Session) -> None:
    """Enter the shared environment: install what it lacks, compile the supervisor if its sources have changed."""
    session.env["PATH"] = f"{SHARED / 'bin'}:{os.environ['PATH']}"
    wanted = repr((Path("pyproject.toml").read_text("utf-8"), SHARED, sys.version))
    digest, stamp = hashlib.sha256(wanted.encode()).hexdigest(), SHARED / "installed"
    if not stamp.exists() or stamp.read_text("ascii") != digest:
        if importlib.util.find_spec("uv"):
            make = ("uv", "venv", "--clear")
            install = ("uv", "pip", "install", "--compile-bytecode", "--python", SHARED)  # as pip does by itself
            pip = [sys.executable, "-m", *install]
        else:
            make, pip = ("venv", "--clear"), [SHARED / "bin" / "python", "-m", "pip", "install"]
        session.run_install(sys.executable, "-m", *make, SHARED, external=True)
        groups = nox.project.dependency_groups(PROJECT, "dev", "adapters", "server-tests")
        session.run_install(*pip, *groups, external=True)
        # By now the compiler is there: nothing is fetched a second time for the build.
        session.run_install(*pip, "--no-build-isolation", "-e", ".[cli,mcp,shell,adapters,server]", external=True)
        stamp.write_text(digest, "ascii")
    _run(session, "python", "hatch_build.py")


def _run(session: nox.Session, program: str, *arguments: str) -> None:
    """Run a program of the shared environment."""
    session.run(SHARED / "bin" / program, *arguments, external=True)


def _pytest(session: nox.Session, *arguments: str, codes: Sequence[int] = (0,)) -> None:
    """Run tests, with temporary files of their own: what a killed run has left is in nobody's way.

    Args:
        session: the session.
        arguments: of pytest.
        codes: its exit codes that are no failure.
    """
    with tempfile.TemporaryDirectory(prefix="it-", ignore_cleanup_errors=True) as own:
        program = (SHARED / "bin" / "pytest", "--basetemp", f"{own}/t")
        session.run(*program, *arguments, external=True, success_codes=codes)


def _test(session: nox.Session, *arguments: str, processes: int = 2, by: str = "loadfile") -> None:
    """Run tests in several processes.

    Args:
        session: the session.
        arguments: of pytest.
        processes: as many as a small machine has cores, or more for tests that often wait.
        by: the hand-out of pytest-xdist: ``loadfile`` keeps a file in one process, ``worksteal`` does not.
    """
    _pytest(session, "-n", str(processes), "--dist", by, "--no-loadscope-reorder", *arguments)


@contextlib.contextmanager
def _beside(session: nox.Session, *arguments: str) -> Generator[None]:
    """Run nox meanwhile, and print at the end what it has printed.

    Args:
        session: the session, which fails when the other ones do.
        arguments: of nox.
    """
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen((*NOX, *arguments), stdout=told, stderr=subprocess.STDOUT) as other,  # noqa: S603
    ):
        try:
            yield
        finally:
            failed = other.wait()
            told.seek(0)
            sys.stdout.write(told.read().decode(errors="replace"))
    if failed:
        session.error(f"nox {' '.join(arguments)} failed")


def _set_up(session: nox.Session, *names: str) -> None:
    """Make the Docker engine and the images ready; quick when they are."""
    _run(session, "interpreter-tools", "setup", "--yes", *names)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the rules about who may import whom."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)
    session.run("lint-imports")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Types, strictly."""
    _install(session)
    _run(session, "pyright")  # two threads take as long, and twice the processor time


@nox.session(venv_backend="none")
def unit(session: nox.Session) -> None:
    """What needs no Docker engine."""
    _install(session)
    folders = ("tests/unit", "tests/cli", "tests/mcp", "tests/setup", "tests/server")
    _test(session, "-m", "not docker", *folders, *session.posargs)


@nox.session(venv_backend="none")
def supervisor(session: nox.Session) -> None:
    """The supervisor under sanitizers, as PID 1 of namespaces of its own."""
    _install(session)
    _test(session, "tests/supervisor", *session.posargs, processes=3)


@nox.session(venv_backend="none")
def docker(session: nox.Session) -> None:
    """What needs a real Docker engine, with the parts that are sessions of their own: ``server`` and ``examples``."""
    _install(session)
    _set_up(session)
    _set_up(session, "ruby")  # of an example
    _test(session, "-m", "docker and not alone", *DOCKER_FOLDERS, *session.posargs, processes=3)


@nox.session(venv_backend="none")
def alone(session: nox.Session) -> None:
    """What needs the Docker engine for itself, one test after another."""
    _install(session)
    _set_up(session)
    # 5: session.posargs choose no such test
    _pytest(session, "-m", "docker and alone", "tests/docker", *session.posargs, codes=(0, 5))


@nox.session(venv_backend="none")
def beside(session: nox.Session) -> None:
    """Types and the wheel beside ``alone``, whose tests leave one of two cores idle."""
    _install(session)  # all three need the environment, and two the images
    _set_up(session)
    with _beside(session, "types", "build"):
        session.run(*NOX, "alone", "--", *session.posargs, external=True)


@nox.session(venv_backend="none")
def together(session: nox.Session) -> None:
    """All other tests: one run of pytest has no moment at which one of its processes is idle.

    The adapters' tests run in one process, as each that collects them imports every framework, for some 17 seconds.
    """
    _install(session)
    _set_up(session)
    with _beside(session, "adapters", "supervisor", "--", "-n", "0", *session.posargs):
        session.run(*NOX, "docker", "--", *session.posargs, external=True)


@nox.session(venv_backend="none")
def adapters(session: nox.Session) -> None:
    """The faces for frameworks, with each framework's own offline model, and the shell."""
    _install(session)
    _set_up(session)
    _test(session, "tests/adapters", "tests/shell", *session.posargs, processes=3)


@nox.session(venv_backend="none")
def server(session: nox.Session) -> None:
    """The server, with the clients of its wires as their makers publish them."""
    _install(session)
    _set_up(session)
    _test(session, "tests/server", *session.posargs, processes=3)


@nox.session(venv_backend="none")
def examples(session: nox.Session) -> None:
    """The examples, and the README's code."""
    _install(session)
    _set_up(session, "python", "javascript", "shell", "ruby")
    _test(session, "tests/examples", *session.posargs, processes=3, by="worksteal")


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """The figures of the README; as root, on an idle machine."""
    _install(session)
    _set_up(session, "python", "javascript", "shell", "data", "gcc")
    _run(session, "python", "-m", "bench", *(session.posargs or ("--json", ".nox/bench.json")))


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, as a user would get it: built, installed alone, and run."""
    session.install("build")
    wheels = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", wheels, silent=True)
    session.run("python", "tests/wheel.py", wheels)
