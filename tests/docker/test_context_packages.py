"""Packages that come into a context while it lives: real ones, from their indexes."""

from __future__ import annotations

import pytest

from interpreter_tools import ConfigurationError, ExecutionEngine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def engine(store_engine: ExecutionEngine) -> ExecutionEngine:
    """An engine with a store of its own."""
    return store_engine


async def test_cell_installs_packages(engine: ExecutionEngine) -> None:
    """By `%pip` and `!pip`, seen at once, also by what a cell starts; variables stay, and there is no network."""
    async with engine.context("python") as context:
        await context.run("x = 41")
        result = (await context.run("%pip install -q six==1.16.0  # pinned\nimport six\nsix.__version__, x")).check()
        assert (result.text, result.dependencies, result.notes) == ("('1.16.0', 41)", ("six==1.16.0",), ())
        assert result.dependency_time > 0
        result = (await context.run("!pip install toolz\nimport toolz\ntoolz.identity(x), six.PY3")).check()
        assert (result.text, result.dependencies) == ("(41, True)", ("six==1.16.0", "toolz"))
        result = (await context.run("!python3 -c 'import six, toolz; print(six.__version__)'")).check()
        assert result.stdout == "1.16.0\n"
        result = await context.run("import socket; socket.create_connection(('1.1.1.1', 53), 3)")
        assert result.outcome == "error"
        await context.restart()
        assert (await context.run("import six, toolz; six.__version__")).text == "'1.16.0'"


async def test_first_cell_of_all_installs_packages(engine: ExecutionEngine) -> None:
    """Before the process starts."""
    async with engine.context("python") as context:
        assert (await context.run("%pip install six\nimport six; six.PY3")).text == "True"


async def test_imports_of_cells_are_installed(engine: ExecutionEngine) -> None:
    """Where the context or the cell wants that; names that nobody knows are not tried."""
    async with engine.context("python", auto_dependencies=True) as context:
        assert (await context.run("import yaml; yaml.safe_load('a: 1')")).text == "{'a': 1}"
        assert (await context.run("import qrcode")).dependencies == ("pyyaml", "qrcode")
        result = await context.run("type(qrcode.make('x').get_image()).__module__")  # needs what qrcode does not bring
        assert (result.text, result.dependencies) == ("'PIL.Image'", ("pillow", "pyyaml", "qrcode"))
        result = await context.run("import interpreter_tools_nobody_knows")
        assert result.outcome == "error"
        assert "interpreter_tools_nobody_knows" in result.notes[0]
        assert (await context.run("import six", auto_dependencies=False)).outcome == "error"
    async with engine.context("python") as context:
        assert (await context.run("import six")).outcome == "error"
        assert (await context.run("import six", auto_dependencies=True)).dependencies == ("six",)


async def test_packages_that_cannot_be_installed_are_told(engine: ExecutionEngine) -> None:
    """The cell does not run, and the context goes on; a line that cannot be read is told of, and left to pip."""
    async with engine.context("python") as context:
        await context.run("x = 1")
        result = await context.run("%pip install interpreter-tools-nobody-has-this\nx = 2")
        assert (result.outcome, result.exit_code, result.dependencies) == (
            "dependency_error",
            1,
            ("interpreter-tools-nobody-has-this",),
        )
        assert "interpreter-tools-nobody-has-this" in result.dependency_stderr + result.dependency_stdout
        result = await context.run("%pip install -r list.txt")
        assert "'-r' is not read" in result.notes[0]
        assert (await context.run("x")).text == "1"
        with pytest.raises(ConfigurationError, match="dependencies"):
            await context.run("1", dependencies=["not a package"])
        assert (await context.run("%pip install six", auto_dependencies=False)).outcome == "error"
        assert (await context.run("x")).text == "1"


async def test_program_names_no_package(engine: ExecutionEngine) -> None:
    """What a cell computes reaches no index: only what its author wrote is read."""
    async with engine.context("python") as context:
        result = await context.run("name = 'toolz'\n%pip install {name}")
        assert (result.outcome, result.dependencies) == ("error", ())
        result = await context.run("get_ipython().run_line_magic('pip', 'install toolz')")
        assert (result.outcome, result.dependencies) == ("error", ())


async def test_javascript_finds_new_packages(engine: ExecutionEngine) -> None:
    """By `import` and `require`, beside the variables that there are."""
    async with engine.context("javascript") as context:
        await context.run("let a = 1")
        result = (await context.run("import ms from 'ms'; [ms('1h'), a]", auto_dependencies=True)).check()
        assert (result.text, result.dependencies) == ("[ 3600000, 1 ]", ("ms",))
        result = (await context.run("[require('is-odd')(3), a]", dependencies=["is-odd"])).check()
        assert (result.text, result.dependencies) == ("[ true, 1 ]", ("is-odd", "ms"))


async def test_shell_says_that_a_living_bash_gets_no_packages(engine: ExecutionEngine) -> None:
    """They are in its image, so a new process has them."""
    async with engine.context("shell") as context:
        assert (await context.run("x=1; echo $x")).stdout == "1\n"
        with pytest.raises(ConfigurationError, match="cannot come into a process that runs"):
            await context.run("sl", dependencies=["jq"])
        assert (await context.run("echo $x")).stdout == "1\n"
