"""How soon the package is there: ``python -m bench.startup [rounds]``. Run it on an idle machine.

Each figure is the time of a whole process. A process of Python that does nothing is shown beside what is imported.
"""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import time

from bench._report import difference_at_most, heading, ratio_at_most, rounds, run

HELP = ("-c", "from interpreter_tools.cli import main; main()", "--help")  # what the installed script does


async def process(*arguments: str) -> float:
    """Milliseconds of a Python from its start to its end."""
    started = time.perf_counter()
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.DEVNULL)
    status = await child.wait()
    taken = (time.perf_counter() - started) * 1e3
    assert status == 0
    return taken


async def settle() -> None:
    """Lets what the last process has left to the kernel be done."""
    await asyncio.sleep(0.02)


async def main(count: int) -> None:
    """Run every comparison."""
    nothing, shown, run_help, package, engine, aiohttp = await rounds(
        functools.partial(process, "-c", "pass"),
        functools.partial(process, *HELP),
        functools.partial(process, *HELP[:2], "run", "--help"),
        functools.partial(process, "-c", "import interpreter_tools"),
        functools.partial(process, "-c", "from interpreter_tools import ExecutionEngine"),
        functools.partial(process, "-c", "import aiohttp"),
        count=count,
        settle=settle,
    )
    heading()
    difference_at_most("interpreter-tools --help - python3 -c pass", shown, nothing, unit="ms", target=120)
    difference_at_most("interpreter-tools run --help - python3 -c pass", run_help, nothing, unit="ms", target=120)
    ratio_at_most("import interpreter_tools / import aiohttp", package, aiohttp, unit="ms", target=1.2)
    ratio_at_most("import its ExecutionEngine / import aiohttp", engine, aiohttp, unit="ms", target=1.2)


if __name__ == "__main__":
    run(main, rounds=21)
