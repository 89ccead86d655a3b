"""The start-up time of the package: ``python -m bench.startup [rounds]``. Run it on an idle machine.

Each figure is the time of a whole process. A process of Python that does nothing is shown beside what is imported;
``docker run`` of the same image beside a run from the command line, which makes its container first, too.
"""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import time

from bench._report import difference_at_most, heading, ratio_at_most, rounds, run
from interpreter_tools import LanguageRegistry
from interpreter_tools._container.images import image_name

COMMAND = ("-c", "from interpreter_tools.cli import main; main()")  # what the installed script does
CODE = "print(1)"
# A user's Python keeps what it has compiled; the first round, which warms up, writes it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def program(*command: str) -> float:
    """Return the milliseconds of a program from its start to its end."""
    nowhere = subprocess.DEVNULL
    started = time.perf_counter()
    child = await asyncio.create_subprocess_exec(*command, stdin=nowhere, stdout=nowhere, env=ENVIRONMENT)
    status = await child.wait()
    taken = (time.perf_counter() - started) * 1e3
    assert status == 0
    return taken


async def process(*arguments: str) -> float:
    """Return the milliseconds of a Python from its start to its end."""
    return await program(sys.executable, *arguments)


async def settle() -> None:
    """Let the kernel finish what the last process has left to it."""
    await asyncio.sleep(0.02)


async def main(count: int) -> None:
    """Run every comparison."""
    nothing, shown, run_help, package, engine, aiohttp = await rounds(
        functools.partial(process, "-c", "pass"),
        functools.partial(process, *COMMAND, "--help"),
        functools.partial(process, *COMMAND, "run", "--help"),
        functools.partial(process, "-c", "import interpreter_tools"),
        functools.partial(process, "-c", "from interpreter_tools import ExecutionEngine"),
        functools.partial(process, "-c", "import aiohttp"),
        count=count,
        settle=settle,
    )
    heading()
    difference_at_most("interpreter-tools --help - python3 -c pass", shown, nothing, unit="ms", target=110)
    difference_at_most("interpreter-tools run --help - python3 -c pass", run_help, nothing, unit="ms", target=120)
    ratio_at_most("import interpreter_tools / import aiohttp", package, aiohttp, unit="ms", target=1.2)
    ratio_at_most("import its ExecutionEngine / import aiohttp", engine, aiohttp, unit="ms", target=1.2)
    image = image_name(LanguageRegistry.get("python"), override=None, images={})
    ours, docker = await rounds(
        functools.partial(process, *COMMAND, "run", "-c", CODE),
        functools.partial(program, "docker", "run", "--rm", image, "python3", "-c", CODE),
        count=count,
        settle=functools.partial(asyncio.sleep, 0.3),  # what removes the last container ends
    )
    ratio_at_most(f"interpreter-tools run -c {CODE!r} / docker run --rm", ours, docker, unit="ms", target=1)


if __name__ == "__main__":
    run(main, rounds=21)
