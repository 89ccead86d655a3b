"""Projects that bring their own lists of packages."""

from __future__ import annotations

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
