"""Projects that bring their own lists of packages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerConfig, ContainerStrategy, ExecutionEngine, Mount, RunApp

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker

MAIN = "import six, sys; print(six.__version__, sys.argv[0])"
APP = RunApp(entry_file="main.py", cwd="app")


@pytest.mark.parametrize("strategy", list(ContainerStrategy))
async def test_app_of_the_workspace_gets_its_packages(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """Before its first run, and between runs."""
    async with engine.session(strategy=strategy) as session:
        await session.write_file("app/main.py", MAIN.encode())
        await session.write_file("app/requirements.txt", b"six==1.16.0\n")
        for _ in range(2):
            result = await session.run("python", run_app=APP, timeout=30)
            assert (result.stdout, result.stderr) == ("1.16.0 /workspace/app/main.py\n", "")
        await session.write_file("app/requirements.txt", b"six==1.17.0\n")
        assert (await session.run("python", run_app=APP)).stdout.startswith("1.17.0 ")


async def test_app_of_a_mounted_directory_gets_its_packages(engine: ExecutionEngine, tmp_path: Path) -> None:
    """In a session, and in a single run with files of its own."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['six==1.16.0']\n")
    tmp_path.chmod(0o755)  # noqa: ASYNC240
    container = ContainerConfig(mounts=(Mount(source=str(tmp_path), target="/srv/app"),))
    app = RunApp(entry_file="main.py", cwd="/srv/app")
    async with engine.session(container=container) as session:
        assert (await session.run("python", run_app=app)).stdout == "1.16.0 /srv/app/main.py\n"
    files = {"app/main.py": MAIN.encode(), "app/requirements.txt": b"six==1.16.0"}
    assert (await engine.run("python", run_app=APP, files=files)).stdout.startswith("1.16.0 ")


async def test_app_whose_packages_cannot_be_installed_does_not_run(engine: ExecutionEngine) -> None:
    """As with packages that were asked for otherwise."""
    files = {"app/main.py": b"print('ran')", "app/requirements.txt": b"no-such-package-interpreter-tools==9.9.9"}
    result = await engine.run("python", run_app=APP, files=files)
    assert (result.outcome, result.stdout) == ("dependency_error", "")
    assert "no-such-package-interpreter-tools" in result.dependency_stdout + result.dependency_stderr


async def test_packages_of_the_run_come_beside_those_of_the_app(engine: ExecutionEngine) -> None:
    """One that both name is the run's."""
    files = {"app/main.py": b"import toml; " + MAIN.encode(), "app/requirements.txt": b"\xef\xbb\xbfsix==1.16.0\r\n"}
    result = await engine.run("python", run_app=APP, files=files, dependencies=["toml"])
    assert result.stdout == "1.16.0 /workspace/app/main.py\n", result.stderr
    result = await engine.run("python", run_app=APP, files=files, dependencies=["toml", "six==1.17.0"])
    assert result.stdout == "1.17.0 /workspace/app/main.py\n", result.stderr


@pytest.mark.parametrize("strategy", [ContainerStrategy.PER_EXECUTION, ContainerStrategy.PER_SESSION])
async def test_list_is_the_one_that_the_run_finds(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """What an earlier run did to it is seen where its workspace is, and only there."""
    look = "import importlib.util as u, os; print(u.find_spec('six') is not None, os.path.exists('requirements.txt'))"
    async with engine.session(strategy=strategy) as session:
        await session.write_file("app.py", look.encode())
        await session.write_file("requirements.txt", b"six==1.16.0\n")
        await session.run("python", "import os; os.remove('requirements.txt')")
        result = await session.run("python", run_app=RunApp(entry_file="app.py"))
        there = strategy is ContainerStrategy.PER_EXECUTION
        assert result.stdout == f"{there} {there}\n", result.stderr


async def test_app_with_a_package_json(engine: ExecutionEngine) -> None:
    """A lock file pins what it names; a package may have another name here."""
    package = {"dependencies": {"is-odd": "", "even": "npm:is-odd@^3"}, "optionalDependencies": {"no-such-itest": "1"}}
    lock = {"lockfileVersion": 3, "packages": {"": package, "node_modules/is-odd": {"version": "3.0.0"}}}
    code = b"console.log(require('is-odd/package.json').version, require('even')(7))"
    app = RunApp(entry_file="main.js", cwd="app")
    files = {"app/main.js": code, "app/package.json": json.dumps(package).encode()}
    files["app/package-lock.json"] = json.dumps(lock).encode()
    result = await engine.run("javascript", run_app=app, files=files)
    assert result.stdout == "3.0.0 true\n", result.dependency_stderr + result.stderr
