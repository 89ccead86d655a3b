"""Python booted ahead of need against ``python3 main.py`` in the same image: a program cannot tell them apart.

``PYTHON_TEST_IMAGE=python:3.14-slim pytest tests/docker/test_python.py`` compares another image's Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, RunOptions
from tests.docker.stores import image_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ExecutionEngine, ExecutionResult
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
IMAGE = os.environ.get("PYTHON_TEST_IMAGE", "interpreter-tools/python:1")
"""The image whose Python is compared; another one is named by the variable."""

# A section is "### kind: name" and a program, in a file of its own as the text of a program matters to the last byte.
_SECTION = re.compile(r"^### (\w+): (.+)\n((?:(?!###).*\n)*)", re.MULTILINE)
PROGRAMS = [
    pytest.param(program, id=f"{kind}-{name}")
    for kind, name, program in _SECTION.findall(Path(__file__).with_name("python_programs.txt").read_text("utf-8"))
]

VARIABLES = {
    "PYTHONHASHSEED": ("7", "print(hash('a'))"),
    "PYTHONOPTIMIZE": ("2", "assert False\nprint(__debug__)"),
    "PYTHONPATH": ("/workspace/lib", "import given, sys; print(given.value, sys.path)"),
    "PYTHONIOENCODING": ("latin-1:replace", "import sys; print('é日', sys.stdin.encoding, sys.stdout.errors)"),
    "PYTHONUTF8": ("0", "import sys; print(sys.flags.utf8_mode)"),
    "PYTHONWARNINGS": ("error", "import warnings; warnings.warn('now an error')"),
    "PYTHONDONTWRITEBYTECODE": (
        "",
        "import sys; sys.path.append('lib'); import given; print(sys.dont_write_bytecode)",
    ),
    "PYTHONUNBUFFERED": ("1", "import sys; print(sys.flags.unbuffered, sys.stdout.write_through)"),
    "PYTHONFAULTHANDLER": ("1", "import faulthandler; print(faulthandler.is_enabled())"),
    "PYTHONSAFEPATH": ("1", "import sys; print(sys.path)"),
    "PYTHONDEVMODE": ("1", "import sys; print(sys.flags.dev_mode)"),
    "PYTHONINTMAXSTRDIGITS": ("640", "print(10 ** 1000)"),
    "LC_ALL": ("C", "import sys; print(sys.flags.utf8_mode, sys.stdout.encoding)"),
    "TZ": ("Asia/Tokyo", "import time; print(time.tzname, time.localtime(0).tm_hour)"),
    "HOME": ("/workspace", "import os; print(os.path.expanduser('~'))"),
    "PATH": ("/nowhere", "import sys, shutil; print(sys.executable, shutil.which('sh'))"),
}


def visible(result: ExecutionResult) -> dict[str, object]:
    """What a caller sees of a run, without addresses in memory."""
    return {
        "stdout": re.sub(r"0x[0-9a-f]{8,}", "0x", result.stdout),
        "stderr": re.sub(r"0x[0-9a-f]{8,}", "0x", result.stderr),
        "end": (result.outcome, result.exit_code, result.signal),
        "files": result.generated_files,
    }


async def assert_alike(
    engine: ExecutionEngine, code: str, environment: dict[str, str] | None = None, *, image: str = IMAGE
) -> None:
    """Run code both ways."""
    environment, library = environment or {}, {"lib/given.py": b"value = 42"}
    # The shell itself is told no variables of the test: it may not survive its PATH.
    variables = {"PYTHONDONTWRITEBYTECODE": "1", **environment}
    words = " ".join(f"'{name}={value}'" for name, value in variables.items())
    bare = f"#!/bin/sh\nunset PWD; exec /usr/bin/env {words} $(command -v python3) /workspace/main.py"
    ours, theirs = await asyncio.gather(
        engine.run(
            "python", code.encode(), image=image, files=library, environment=environment, strategy=POOL, timeout=30
        ),
        engine.run("shell", bare, image=image, files={**library, "main.py": code.encode()}, strategy=POOL, timeout=30),
    )
    assert visible(ours) == visible(theirs)


@pytest.mark.parametrize("program", PROGRAMS)
async def test_program_cannot_tell_the_difference(engine: ExecutionEngine, program: str) -> None:
    """Exit codes, signals and tracebacks; what it finds around it; what happens at its end, in the same order."""
    await assert_alike(engine, program)


@pytest.mark.parametrize("name", VARIABLES)
async def test_variables_of_python_are_honoured(engine: ExecutionEngine, name: str) -> None:
    """Also those that Python reads only while it starts."""
    value, code = VARIABLES[name]
    await assert_alike(engine, code, {name: value})


async def test_program_of_any_length(engine: ExecutionEngine) -> None:
    """It is read piece by piece."""
    for size in (65_535, 65_536, 65_537, 3_000_000):
        end = "\nprint('end')"
        code = "#" * (size - len(end)) + end
        assert (await engine.run("python", code, strategy=POOL, image=IMAGE)).stdout == "end\n"


async def test_every_run_has_other_random_numbers(engine: ExecutionEngine) -> None:
    """Though all come from one process that forks."""
    code = "import os, random, secrets, uuid; print(random.random(), secrets.token_hex(), uuid.uuid4(), os.urandom(9))"
    results = await asyncio.gather(*(engine.run("python", code, strategy=POOL, image=IMAGE) for _ in range(8)))
    assert len({result.check().stdout for result in results}) == 8


async def test_no_run_changes_the_interpreter_of_the_next(engine: ExecutionEngine) -> None:
    """Modules, built-ins, path and environment are pristine each time."""
    code = """
import builtins, json, os, sys
print(json.dumps([hasattr(builtins, "x"), hasattr(json, "x"), "x" in sys.path, "x" in os.environ, "x" in globals()]))
builtins.x = json.x = x = 1
sys.path.append("x")
os.environ["x"] = "1"
os.umask(0)
"""
    for _ in range(12):  # more than there are containers
        assert json.loads((await engine.run("python", code, strategy=POOL, image=IMAGE)).stdout) == [False] * 5


LIKE_AN_IMAGE = {
    "safe path": ("ENV PYTHONSAFEPATH=1", "import sys; print(sys.path)"),
    "no ctypes": (
        "RUN rm -f $(python3 -c 'import _ctypes; print(_ctypes.__file__)')",
        "import sys; print(sys.argv, sys.path[0], __file__, sys.stdin.read()); sys.exit(3)",
    ),
}


@pytest.fixture
async def image_of(docker_client: DockerClient, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """An image with one more line in its recipe."""
    async with image_with(docker_client, IMAGE, request.param) as tag:
        yield tag


@pytest.mark.parametrize(("image_of", "code"), LIKE_AN_IMAGE.values(), ids=LIKE_AN_IMAGE, indirect=["image_of"])
async def test_images_of_another_kind_are_honoured(image_of: str, own_engine: ExecutionEngine, code: str) -> None:
    """A setting of the image's stays in force; without ctypes a Python is started, as output would be lost else."""
    await assert_alike(own_engine, code, image=image_of)


async def test_rewritten_module_is_imported_anew(engine: ExecutionEngine) -> None:
    """Whoever rewrote it, within the second and at the same size; no bytecode is told as a file."""
    write = "import pathlib; pathlib.Path('own.py').write_text('VALUE = 4')"
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        for value in range(4):
            await session.write_file("helper.py", f"VALUE = {value}".encode())
            wrote = await session.run("python", write.replace("4", str(value)))
            result = await session.run("python", "import helper, own; print(helper.VALUE, own.VALUE)")
            assert result.check().stdout == f"{value} {value}\n"
            assert {*wrote.generated_files, *result.generated_files} == {"own.py"}


@pytest.mark.parametrize("name", ["de_DE.UTF-8", "en_US.utf8", "fr_FR.UTF-8", "zh_CN.UTF-8", "C.UTF-8"])
async def test_common_locales_are_there(engine: ExecutionEngine, name: str) -> None:
    """For numbers, and for the names of days."""
    code = "import locale, sys; locale.setlocale(locale.LC_ALL, sys.argv[1]); print(locale.getlocale()[1].upper())"
    assert (await engine.run("python", code, args=[name])).check().stdout == "UTF-8\n"


async def test_german_numbers_and_days(engine: ExecutionEngine) -> None:
    """As a German reads them."""
    code = """
import locale, time
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
print(locale.format_string("%.1f", 1234567.8, grouping=True), time.strftime("%A", (2024, 1, 1, 0, 0, 0, 0, 1, 0)))
"""
    assert (await engine.run("python", code)).check().stdout == "1.234.567,8 Montag\n"


async def test_hash_seed_may_be_drawn_anew(engine: ExecutionEngine) -> None:
    """The runs of one container share it, unless one asks for a Python of its own."""
    code, environment = "print(hash('a'))", {"PYTHONHASHSEED": "random"}
    results = [await engine.run("python", code, environment=environment, image=IMAGE) for _ in range(3)]
    assert len({result.check().stdout for result in results}) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (RunOptions(cpu_limit=1.5), "2 2 2"),
        (RunOptions(cpu_limit="0.5", environment={"MKL_NUM_THREADS": "7"}), "1 1 7"),
        (RunOptions(), "None None None"),
    ],
)
async def test_threads_of_libraries_follow_the_limit(engine: ExecutionEngine, options: RunOptions, told: str) -> None:
    """Rounded up to whole cores; what a run sets stays; without a limit nothing is set."""
    code = "import os; print(*(os.environ.get(f'{name}_NUM_THREADS') for name in ('OMP', 'OPENBLAS', 'MKL')))"
    assert (await engine.run("python", code, **options)).check().stdout == told + "\n"
