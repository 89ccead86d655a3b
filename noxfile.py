"""What is checked, and how: ``nox`` runs all of it, ``nox -s unit`` one part, ``nox -s bench`` the benchmarks."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "unit", "supervisor", "docker", "adapters", "examples", "build"]

PROJECT = nox.project.load_toml("pyproject.toml")
SOURCES = ("interpreter_tools", "examples", "bench", "tests", "noxfile.py", "hatch_build.py")


def _install(session: nox.Session, *groups: str) -> None:
    extras = "cli,mcp,shell,adapters" if "adapters" in groups else "cli,mcp"
    session.install("-e", f".[{extras}]", *nox.project.dependency_groups(PROJECT, *groups))


def _set_up(session: nox.Session, *names: str) -> None:
    """Makes the Docker engine and the images ready; quick when they are."""
    session.run("interpreter-tools", "setup", "--yes", *names)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the rules about who may import whom."""
    _install(session, "lint")
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    _install(session, "dev", "adapters")
    session.run("pyright")


@nox.session
def unit(session: nox.Session) -> None:
    """What needs no Docker engine."""
    _install(session, "test")
    session.run("pytest", "-m", "not docker", "tests/unit", "tests/mcp", "tests/setup", *session.posargs)


@nox.session
def supervisor(session: nox.Session) -> None:
    """The supervisor under sanitizers, as PID 1 of namespaces of its own."""
    _install(session, "test")
    session.run("pytest", "tests/supervisor", *session.posargs)


@nox.session
def docker(session: nox.Session) -> None:
    """What needs a real Docker engine."""
    _install(session, "test")
    _set_up(session)
    session.run("pytest", "-m", "docker", "tests/docker", "tests/cli", "tests/mcp", "tests/setup", *session.posargs)


@nox.session
def adapters(session: nox.Session) -> None:
    """The faces for frameworks, with each framework's own offline model, and the shell; all in one environment."""
    _install(session, "test", "adapters")
    _set_up(session)
    session.run("pytest", "tests/adapters", "tests/shell", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The examples, and the README's code."""
    _install(session, "test", "adapters")
    _set_up(session, "python", "javascript", "shell", "ruby")
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures of the README; as root, on an idle machine."""
    _install(session, "test", "adapters")
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
