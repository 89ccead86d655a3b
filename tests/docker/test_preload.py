"""Modules that the waiting Python has imported already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    EngineConfig,
    ExecutionEngine,
    LanguageRegistry,
    Mount,
    PoolConfig,
)
from tests.watch import ONE_SHOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools import ContainerStrategy

pytestmark = pytest.mark.docker

MODULES = ("decimal", "email.mime.text", "random")


@pytest.fixture(scope="module")
async def preloaded() -> AsyncIterator[ExecutionEngine]:
    """An engine whose Python has imported some modules of the standard library."""
    config = EngineConfig(
        container=ContainerConfig(preload=MODULES), prewarm=(), pool=PoolConfig(min_size=0, max_size=2)
    )
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_program_finds_them_imported(preloaded: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """And nothing else of how that came about: no variable, no file, no other home."""
    code = f"""
import os, sys
print([name in sys.modules for name in {MODULES!r}])
variables = [name for name in os.environ if "INTERPRETER" in name]
print(variables, os.listdir("/tmp"), os.environ["HOME"], os.environ["TMPDIR"])
import decimal, email.mime.text
print(decimal.Decimal(1) / 3, email.mime.text.MIMEText("x")["MIME-Version"])
"""
    result = await preloaded.run("python", code, strategy=strategy)
    first, second, third = result.stdout.splitlines()
    assert first == "[True, True, True]"
    assert second == "[] ['home'] /tmp/home /tmp"
    assert third == "0.3333333333333333333333333333 1.0"


async def test_runs_draw_other_random_numbers(preloaded: ExecutionEngine) -> None:
    """Though all of them come from one process."""
    drawn = {(await preloaded.run("python", "import random; print(random.random())")).stdout for _ in range(4)}
    assert len(drawn) == 4


@pytest.mark.parametrize("name", ["decimal.py", "email/__init__.py"])
async def test_modules_of_the_programs_own_come_first(preloaded: ExecutionEngine, name: str) -> None:
    """As they do in plain Python."""
    module = name.partition("/")[0].removesuffix(".py")
    files = {name: b"mine = True"}
    result = await preloaded.run("python", f"import {module}; print({module}.mine)", files=files)
    assert (result.stdout, result.stderr) == ("True\n", "")


async def test_end_of_a_program_is_pythons(preloaded: ExecutionEngine) -> None:
    """Its modules go first, and exit functions of what was imported ahead run."""
    code = """
import atexit
atexit.register(print, "exit")
class A:
    def __del__(self): print("del")
a = A()
print("end")
"""
    assert (await preloaded.run("python", code)).stdout == "end\nexit\ndel\n"


@pytest.fixture
def odd_modules(tmp_path: Path) -> Path:
    """A directory of modules that a process cannot share with its children, or that cannot be imported."""
    modules = {
        "starts": "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
        "opens": "kept = open('/dev/null')",
        "fails": "raise ValueError('no\\ngood')",
        "leaves": "raise SystemExit(3)",
    }
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    tmp_path.chmod(0o755)
    return tmp_path


async def test_module_that_cannot_be_shared_is_left_out_and_named(
    odd_modules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails, starts threads, leaves a file open, or is not there; the others are there all the same."""
    container = ContainerConfig(
        preload=("starts", "decimal", "opens", "fails", "leaves", "missing"),
        mounts=(Mount(source=odd_modules, target="/modules"),),
    )
    config = EngineConfig(container=container, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    python = LanguageRegistry.get("python")
    names = {"language": "python-modules", "aliases": (), "environment": {"PYTHONPATH": "/modules"}}
    LanguageRegistry.register(msgspec.structs.replace(python, **names))
    async with ExecutionEngine(config) as engine:
        code = "import sys; print('decimal' in sys.modules, 'starts' in sys.modules)"
        result = await engine.run("python-modules", code)
        assert (result.stdout, result.stderr) == ("True False\n", "")
        (pool,) = engine.stats().pools
    assert pool.left_out == (
        "starts: it starts threads",
        "opens: it leaves files open",
        "fails: ValueError: no",
        "leaves: SystemExit: 3",
        "missing: ModuleNotFoundError: No module named 'missing'",
    )
    assert "not imported ahead: starts: it starts threads" in caplog.text


@pytest.mark.parametrize("name", ["", "numpy as np", "a-b", "os; import x", "1a", "a..b"])
def test_what_is_no_name_of_a_module(name: str) -> None:
    """It is refused before a container is started for it."""
    with pytest.raises(ConfigurationError, match=r"container.preload\[0\]"):
        ContainerConfig(preload=(name,))
