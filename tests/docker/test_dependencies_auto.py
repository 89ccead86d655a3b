"""Packages that nobody had to name, and packages of the distribution beside them: real ones, from their indexes."""

from __future__ import annotations

import pytest

from interpreter_tools import ContainerStrategy, ExecutionEngine, RunApp

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def engine(store_engine: ExecutionEngine) -> ExecutionEngine:
    """An engine with a store of its own."""
    return store_engine


async def test_imports_are_installed_once(engine: ExecutionEngine) -> None:
    """The second run finds them, and says which they were."""
    code = "import json, yaml, six; print(yaml.safe_load('a: 1'), six.PY3)"
    first, second = [(await engine.run("python", code, auto_dependencies=True)).check() for _ in range(2)]
    for result in (first, second):
        assert (result.stdout, result.dependencies, result.notes) == ("{'a': 1} True\n", ("pyyaml", "six"), ())
    assert second.dependency_time == 0


async def test_imports_stay_alone_unless_asked_for(engine: ExecutionEngine) -> None:
    """Off by default."""
    result = await engine.run("python", "import six")
    assert (result.outcome, result.dependencies) == ("error", ())


async def test_unknown_import_is_not_installed(engine: ExecutionEngine) -> None:
    """The program fails as it would have, and the refusal says why."""
    result = await engine.run("python", "import interpreter_tools_nobody_knows", auto_dependencies=True)
    assert "ModuleNotFoundError" in result.stderr
    assert result.dependency_time == 0
    assert "interpreter_tools_nobody_knows" in result.notes[0]


async def test_imports_of_javascript_and_typescript(engine: ExecutionEngine) -> None:
    """Are installed, too; builtins are not."""
    code = "const fs = require('node:fs'); const ms = require('ms'); console.log(ms('1h'), typeof fs.readFileSync)"
    result = (await engine.run("javascript", code, auto_dependencies=True)).check()
    assert (result.stdout, result.dependencies) == ("3600000 function\n", ("ms",))
    result = (await engine.run("typescript", code, auto_dependencies=True)).check()
    assert (result.dependencies, result.dependency_time) == (("ms",), 0.0)


@pytest.mark.parametrize("strategy", [ContainerStrategy.PER_EXECUTION, ContainerStrategy.PER_SESSION])
async def test_modules_of_a_session_are_its_own(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """A file of the session is no package, and what it imports is installed."""
    async with engine.session(strategy=strategy) as session:
        await session.write_file("rich.py", b"import six\nNAME = six.__name__\n")
        result = (await session.run("python", "import rich; print(rich.NAME)", auto_dependencies=True)).check()
        assert (result.stdout, result.dependencies) == ("six\n", ("six",))


async def test_imports_of_an_app(engine: ExecutionEngine) -> None:
    """Its entry file and its own modules are read."""
    files = {"app/main.py": b"import helper", "app/helper.py": b"import six; print(six.__name__)"}
    app = RunApp(entry_file="main.py", cwd="app")
    result = (await engine.run("python", run_app=app, files=files, auto_dependencies=True)).check()
    assert result.stdout == "six\n"


async def test_header_of_a_script_is_read(engine: ExecutionEngine) -> None:
    """In any run, unless it is not to be; a version of Python that is not there is told of."""
    code = "# /// script\n# requires-python = '>=99'\n# dependencies = ['six==1.16.0']\n# ///\n"
    code += "import six; print(six.__version__)"
    result = (await engine.run("python", code)).check()
    assert (result.stdout, result.dependencies) == ("1.16.0\n", ("six==1.16.0",))
    assert ">=99" in result.notes[0]
    result = await engine.run("python", code, auto_dependencies=False)
    assert (result.outcome, result.dependencies) == ("error", ())


async def test_names_of_modules_are_corrected(engine: ExecutionEngine) -> None:
    """And said."""
    result = (await engine.run("python", "import yaml", dependencies=["json", "yaml"])).check()
    assert result.dependencies == ("pyyaml",)
    assert len(result.notes) == 2


# -- an environment of its own

ENVIRONMENT = """
import importlib.metadata as metadata, os, shutil, site, subprocess, sys, sysconfig
import six
prefix = sys.prefix
assert prefix != sys.base_prefix
assert sys.executable == prefix + "/bin/python3"
assert six.__file__.startswith(site.getsitepackages()[0]), six.__file__
assert sysconfig.get_path("data") == prefix and sysconfig.get_path("purelib") == site.getsitepackages()[0]
assert all(file.locate().exists() for file in metadata.files("six"))
assert len([each for each in metadata.distributions() if each.name == "six"]) == 1
assert sys.path.index(os.path.dirname(six.__file__)) > sys.path.index(os.path.dirname(os.__file__))
for python in (sys.executable, "python3", "python", "/usr/bin/python3"):
    out = subprocess.run([python, "-c", "import six; print(six.__file__)"], capture_output=True, text=True)
    assert out.stdout.strip(), (python, out)
try:
    open(prefix + "/x", "w")
except OSError:
    print("read-only")
"""


async def test_packages_are_a_virtual_environment(engine: ExecutionEngine) -> None:
    """For the program and the interpreters that it starts."""
    result = (await engine.run("python", ENVIRONMENT, dependencies=["six"])).check()
    assert result.stdout == "read-only\n"
    result = (await engine.run("python", ENVIRONMENT, dependencies=["six"], environment={"PYTHONUTF8": "1"})).check()
    assert result.stdout == "read-only\n"


async def test_pth_files_and_share_and_scripts(engine: ExecutionEngine) -> None:
    """What packages bring beside modules: setuptools has a .pth file, jupyter data in share/, cowsay a script."""
    code = """
import os, subprocess, sys
assert os.path.exists(sys.prefix + "/share/jupyter/kernels/python3/kernel.json")
import _distutils_hack
assert any(type(each).__name__ == "DistutilsMetaFinder" for each in sys.meta_path)
script = subprocess.run(["cowsay", "-t", "hi"], capture_output=True, text=True, check=True)
print("hi" in script.stdout, open(sys.prefix + "/bin/cowsay").readline().startswith("#!" + sys.prefix + "/bin/python"))
"""
    result = (await engine.run("python", code, dependencies=["setuptools<81", "ipykernel", "cowsay"])).check()
    assert result.stdout == "True True\n"


# -- packages of the distribution


async def test_system_packages_beside_those_of_a_language(engine: ExecutionEngine) -> None:
    """In one run; the image is made once, also for another language's packages."""
    code = "import six, subprocess; print(six.__name__, subprocess.run(['tree', '--version']).returncode)"
    result = (await engine.run("python", code, dependencies=["six"], system_dependencies=["tree"])).check()
    assert (result.stdout.splitlines()[-1], result.system_dependencies) == ("six 0", ("tree",))
    result = (await engine.run("python", code, dependencies=["six"], system_dependencies=["tree"])).check()
    assert result.dependency_time == 0


async def test_known_packages_bring_what_they_need(engine: ExecutionEngine) -> None:
    """Unless nothing is to be brought."""
    code = "import git; print(git.Git().version_info[0] >= 2)"
    result = (await engine.run("python", code, dependencies=["gitpython"])).check()
    assert (result.stdout, result.system_dependencies) == ("True\n", ("git",))
    assert "'gitpython' needs 'git'" in result.notes[0]
    result = await engine.run("python", code, dependencies=["gitpython"], system_dependencies=())
    assert (result.outcome, result.system_dependencies) == ("error", ())


# -- installers in a program without a network


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (
            "python",
            "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', 'six']))",
        ),
        ("javascript", "process.exit(require('child_process').spawnSync('npm', ['install', 'ms']).status)"),
    ],
)
async def test_installers_without_a_network_fail_at_once(engine: ExecutionEngine, language: str, code: str) -> None:
    """Not after retries of eight seconds and more."""
    result = await engine.run(language, code)
    assert result.outcome == "error"
    assert "Retrying" not in result.stderr
    assert result.cpu_time < 6
    assert result.execution_time < 40
