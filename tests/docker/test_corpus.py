"""Programs as people and models write them end as they end under the reference interpreter.

``tests/corpus/LANGUAGE.txt`` holds them: a line ``### name`` and the program, then ``### = STATUS`` and what it prints,
as recorded in an empty directory with ``python3``, ``bash``, ``node`` 24 and its ``--experimental-transform-types``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine, RunOptions

pytestmark = pytest.mark.docker

_CORPUS = Path(__file__).parents[1] / "corpus"
_PROGRAM = re.compile(r"^### (?!= )(.+)\n((?:(?!### ).*\n)*)### = (\d+)\n((?:(?!### ).*\n)*)", re.MULTILINE)
PROGRAMS = [
    pytest.param(path.stem, code, int(status), told, id=f"{path.stem}-{name}")
    for path in sorted(_CORPUS.glob("*.txt"))
    for name, code, status, told in _PROGRAM.findall(path.read_text("utf-8"))
]


def test_corpus_is_read_whole() -> None:
    """Twenty programs of each language at least."""
    languages = [str(program.values[0]) for program in PROGRAMS]
    assert {
        language: languages.count(language) >= 20 for language in ("python", "javascript", "typescript", "bash")
    } == {
        "python": True,
        "javascript": True,
        "typescript": True,
        "bash": True,
    }


@pytest.mark.parametrize(("language", "code", "status", "told"), PROGRAMS)
async def test_program_ends_as_under_its_own_interpreter(
    engine: ExecutionEngine, language: str, code: str, status: int, told: str
) -> None:
    """The same exit status, the same output."""
    options: RunOptions = {"strategy": ContainerStrategy.POOL, "timeout": 60}
    image = os.environ.get("NODE_TEST_IMAGE")
    if image and language in {"javascript", "typescript"}:
        options["image"] = image
    result = await engine.run("shell" if language == "bash" else language, code, **options)
    assert (result.stdout.rstrip("\n"), result.exit_code) == (told.rstrip("\n"), status), result.stderr
