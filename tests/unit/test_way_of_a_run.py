"""The way of one run from the call to the wire, as ARCHITECTURE.md tells it."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import interpreter_tools
from interpreter_tools import ContainerStrategy, EngineConfig, PoolConfig
from interpreter_tools.testing import ScriptedEngine

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = Path(interpreter_tools.__file__).parent
STEPS = re.findall(
    r"^\| \d+ \| `([\w/]+\.py)`: `(\w+)` \|", (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(), re.MULTILINE
)
MOST_FILES = 15


class Walk:
    """The calls between functions of the package, until the first bytes are written to a container."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.callees: dict[str, set[str]] = defaultdict(set)
        self.written = False

    def file_of(self, frame: FrameType | None) -> str | None:
        """Return the file of a frame, relative to the package; None for another package's."""
        path = "" if frame is None else frame.f_code.co_filename
        return path.removeprefix(f"{PACKAGE}/") if path.startswith(f"{PACKAGE}/") else None

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Note a call, for ``sys.setprofile``."""
        file = self.file_of(frame)
        if event != "call" or file is None or self.written:
            return
        if file.startswith("testing/"):
            self.written = frame.f_code.co_name == "write"
            return
        self.calls.append((file, frame.f_code.co_name))
        caller = frame.f_back
        while caller is not None and self.file_of(caller) is None:
            caller = caller.f_back
        if (above := self.file_of(caller)) is not None and above != file:
            self.callees[above].add(file)


async def walk(strategy: ContainerStrategy) -> Walk:
    """Follow a run that finds a warm container."""
    found = Walk()
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=1, max_size=2))
    async with ScriptedEngine(config=config) as engine:
        await engine.run("python", "", strategy=strategy)
        await engine.warm("python", strategy=strategy)
        before = sys.getprofile()
        sys.setprofile(found)
        try:
            await engine.run("python", "", strategy=strategy)
        finally:
            sys.setprofile(before)
    return found


async def test_a_run_takes_the_steps_of_the_table_in_order() -> None:
    """Each in a file of its own, of which there are fifteen at most."""
    files = [file for file, _ in STEPS]
    assert len(set(files)) == len(files)
    assert 10 < len(files) <= MOST_FILES
    found = await walk(ContainerStrategy.PER_EXECUTION)
    assert found.written
    taken = [call for call in dict.fromkeys(found.calls) if call in STEPS]
    assert taken == STEPS


async def test_files_beside_the_steps_only_answer_questions() -> None:
    """None of them takes the run on: none calls a file of the table."""
    files = {file for file, _ in STEPS}
    for strategy in (ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL):
        found = await walk(strategy)
        astray = {file: called & files for file, called in found.callees.items() if file not in files}
        assert not {file: called for file, called in astray.items() if called}
