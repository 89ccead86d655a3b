"""What a program may display, and what of its files comes along: so much, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpreter_tools import EngineConfig
from interpreter_tools._config.patterns import check_patterns
from interpreter_tools._container.file_list import FileList
from interpreter_tools._execution import calls, collecting, displays
from interpreter_tools._execution.collecting import Collected
from interpreter_tools._execution.displays import Displays
from interpreter_tools._protocol import Files
from interpreter_tools.testing import Answer, ScriptedEngine

ROOT = Path(__file__).parents[2]
SHOWN = b'd\0{"data":{"text/plain":"x"}}'
SIZE = len(SHOWN) - 2


def test_displays_are_counted() -> None:
    """The first thousand count; that others came is told."""
    shown = Displays()
    for _ in range(1000):
        assert shown.feed(1, SHOWN) is not None
    assert not shown.truncated
    assert shown.feed(1, SHOWN) is None
    assert shown.feed(2, SHOWN) is None
    assert (len(shown.results), shown.truncated) == (1000, True)


def test_displays_have_so_many_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all connections, whole or not; nothing is kept of one that does not fit."""
    monkeypatch.setattr(displays, "_MOST_BYTES", 2 * SIZE + 10)
    shown = Displays()
    assert shown.feed(1, SHOWN) is not None
    assert shown.feed(2, b"d\1" + bytes(10)) is None
    assert shown.feed(3, SHOWN) is not None
    assert not shown.truncated
    assert shown.feed(2, b"d\1x") is None
    assert (shown.truncated, shown._parts) == (True, {2: None})
    assert shown.feed(4, SHOWN) is None
    assert len(shown.results) == 2


def test_files_that_come_along_are_counted() -> None:
    """The first thousand of those that match; others do not count."""
    files = FileList()
    names = [b"%04d.png" % number for number in range(1001)]
    files.add(Files(tuple((1, name) for name in (b"0.txt", *names)), partial=False))
    wanted = Collected(check_patterns(["*.png"], field="collect"))
    assert wanted.wanted(files) == names[:1000]
    assert wanted.partial
    fewer = Collected(check_patterns(["0*.png"], field="collect"))
    assert fewer.wanted(files) == names[:1000]
    assert not fewer.partial


async def test_files_that_come_along_have_so_many_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that finds no room is left out, and smaller ones behind it come."""
    monkeypatch.setattr(collecting, "MOST_BYTES", 10)
    answer = Answer(files={name: name.encode() * size for name, size in (("a", 6), ("b", 5), ("c", 4), ("d", 1))})
    async with ScriptedEngine(lambda _: answer, config=EngineConfig(prewarm=())) as engine:
        result = await engine.run("python", "", collect=["*"])
        assert (result.files, result.files_partial) == ({"a": b"a" * 6, "c": b"c" * 4}, True)
        assert result.generated_files == ("a", "b", "c", "d")
        result = await engine.run("python", "", collect=["[ac]"])
        assert (set(result.files), result.files_partial) == ({"a", "c"}, False)


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        ("bytes of one call, as JSON", (calls._MOST_MESSAGE,)),
        ("bytes of all calls that are still coming", (calls._MOST_PARTS,)),
        ("bytes of one answer", (calls._MOST_MESSAGE,)),
        ("calls at once", (calls._MOST_AT_ONCE,)),
        ("calls of one function", (calls._MOST_OF_TOOL,)),
        ("calls in all", (calls._MOST_CALLS,)),
        ("calls that the result lists", (calls._MOST_NOTED,)),
        ("answers that wait to be sent, besides those of calls that run", (calls._MOST_ANSWERS,)),
        ("displays", (displays._MOST_RESULTS, displays._MOST_BYTES)),
    ],
)
def test_the_table_in_security_has_the_bounds(row: str, figures: tuple[int, ...]) -> None:
    """Bytes in MiB, all else in plain figures."""
    (line,) = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith(f"| {row} |")]
    for figure in figures:
        text = f"{figure >> 20} MiB" if figure >= 1 << 20 else f"{figure:,}"
        assert text in line


def test_files_md_has_the_bounds_of_files_that_come_along() -> None:
    """And README's option of runs leads there."""
    text = (ROOT / "docs" / "files.md").read_text()
    assert f"at most {collecting.MOST_FILES:,} files and {collecting.MOST_BYTES >> 20} MiB" in text.replace("\n", " ")
