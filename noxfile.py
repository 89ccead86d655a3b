"""What is checked, and how: ``nox`` runs all of it, ``nox -s unit`` one part, ``nox -s bench`` the benchmarks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "unit", "supervisor", "docker", "adapters", "examples", "build"]

PROJECT = nox.project.load_toml("pyproject.toml")
SOURCES = ("interpreter_tools", "examples", "bench", "tests", "noxfile.py", "hatch_build.py")
SHARED = ".nox/shared"
"""The environment of every session that runs the package: one, with all extras, as developers have it."""


def _install(session: nox.Session) -> None:
    """Install what the shared environment lacks, and compile the supervisor if its sources have changed."""
    root = Path(session.virtualenv.location)
    packages = nox.project.dependency_groups(PROJECT, "dev", "adapters")
    wanted = repr((Path("pyproject.toml").read_text("utf-8"), Path.cwd(), session.python))
    digest, stamp = hashlib.sha256(wanted.encode()).hexdigest(), root / "installed"
    if not stamp.exists() or stamp.read_text("ascii") != digest:
        session.install(*packages)
        session.install("--no-build-isolation", "-e", ".[cli,mcp,shell,adapters]")  # the compiler is there by now
        stamp.write_text(digest, "ascii")
    session.run("python", "hatch_build.py")


def _set_up(session: nox.Session, *names: str) -> None:
    """Make the Docker engine and the images ready; quick when they are."""
    session.run("interpreter-tools", "setup", "--yes", *names)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the rules about who may import whom."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)
    session.run("lint-imports")


@nox.session(venv_location=SHARED)
def types(session: nox.Session) -> None:
    """Types, strictly."""
    _install(session)
    session.run("pyright")


@nox.session(venv_location=SHARED)
def unit(session: nox.Session) -> None:
    """What needs no Docker engine."""
    _install(session)
    folders = ("tests/unit", "tests/cli", "tests/mcp", "tests/setup")
    session.run("pytest", "-m", "not docker", *folders, *session.posargs)


@nox.session(venv_location=SHARED)
def supervisor(session: nox.Session) -> None:
    """The supervisor under sanitizers, as PID 1 of namespaces of its own."""
    _install(session)
    session.run("pytest", "tests/supervisor", *session.posargs)


@nox.session(venv_location=SHARED)
def docker(session: nox.Session) -> None:
    """What needs a real Docker engine."""
    _install(session)
    _set_up(session)
    session.run("pytest", "-m", "docker", "tests/docker", "tests/cli", "tests/mcp", "tests/setup", *session.posargs)


@nox.session(venv_location=SHARED)
def adapters(session: nox.Session) -> None:
    """The faces for frameworks, with each framework's own offline model, and the shell."""
    _install(session)
    _set_up(session)
    session.run("pytest", "tests/adapters", "tests/shell", *session.posargs)


@nox.session(venv_location=SHARED)
def examples(session: nox.Session) -> None:
    """The examples, and the README's code."""
    _install(session)
    _set_up(session, "python", "javascript", "shell", "ruby")
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session(venv_location=SHARED)
def bench(session: nox.Session) -> None:
    """The figures of the README; as root, on an idle machine."""
    _install(session)
    _set_up(session)
    for name in ("latency", "stream", "fresh", "pool", "files", "dependencies", "startup", "overhead"):
        session.run("python", "-m", f"bench.{name}")


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, as a user would get it: built, installed alone, and run."""
    session.install("build")
    wheels = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", wheels, silent=True)
    session.run("python", "tests/wheel.py", wheels)
