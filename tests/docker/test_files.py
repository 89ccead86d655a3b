"""The files that a run leaves: the new and the changed ones, by their true names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL

CHANGES = {
    "nothing": ("pass", ()),
    "new file": ("open('new.txt', 'w').write('1')", ("new.txt",)),
    "empty file": ("open('empty', 'w')", ("empty",)),
    "in directories": ("import os; os.makedirs('a/b'); open('a/b/c', 'w')", ("a/b/c",)),
    "empty directory": ("import os; os.mkdir('a')", ()),
    "appended": ("open('given', 'a').write('more')", ("given",)),
    "overwritten with as many bytes": ("open('given', 'r+').write('CONTENT')", ("given",)),
    "overwritten with the same bytes": ("open('given', 'r+').write('content')", ("given",)),
    "truncated": ("open('given', 'w')", ("given",)),
    "mapped": (
        "import mmap; f = open('given', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:3] = b'CON'; m.close()",
        ("given",),
    ),
    "changed with its times set back": (
        "import os; s = os.stat('given'); open('given', 'r+').write('CONTENT'); os.utime('given', (0, s.st_mtime))",
        ("given",),
    ),
    "only read": ("open('given').read()", ()),
    "replaced": ("import os; open('x', 'w').write('content'); os.rename('x', 'given')", ("given",)),
    "renamed": ("import os; os.rename('given', 'taken')", ("taken",)),
    "deleted": ("import os; os.remove('given'); open('x', 'w'); os.remove('x')", ()),
    "the code itself": ("open('main.py', 'a').write('# more')", ("main.py",)),
    "sparse": ("open('huge', 'wb').truncate(1 << 50)", ("huge",)),
    "links": (
        "import os; os.symlink('given', 'soft'); os.symlink('/proc/1/environ', 'evil'); os.symlink('.', 'loop')",
        (),
    ),
    "hard link": ("import os; os.link('given', 'hard')", ("given", "hard")),
    "fifo and socket": ("import os, socket; os.mkfifo('f'); socket.socket(socket.AF_UNIX).bind('s')", ()),
    "by a child": ("import subprocess; subprocess.run(['sh', '-c', 'echo 1 > child'])", ("child",)),
    "without permissions": (
        "import os; open('x', 'w'); os.chmod('x', 0); os.mkdir('d'); open('d/y', 'w'); os.chmod('d', 0)",
        ("d/y", "x"),
    ),
    "elsewhere": ("open('/tmp/x', 'w'); open('/dev/shm/x', 'w')", ()),
    "and a crash": ("open('x', 'w').write('1'); import ctypes; ctypes.string_at(0)", ("x",)),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_new_and_changed_files_are_listed(engine: ExecutionEngine, name: str) -> None:
    """Whatever the clock's grain is, and whatever times the program sets; what was only given is not listed."""
    code, expected = CHANGES[name]
    given = {"given": b"content", "untouched": b"1", "a.dir/untouched": b"2"}
    result = await engine.run("python", code, files=given, strategy=POOL)
    assert result.outcome == ("error" if name == "and a crash" else "ok"), result.stderr
    assert result.generated_files == expected
    assert not result.generated_files_partial


NAMES = [
    b"\xff\xfe",
    b"new\nline",
    b"-rf",
    "\u202eevil.txt".encode(),
    b" ",
    b"tab\t",
    b"back\\slash",
    b"..cache",
    b"...",
    b"*?[]",
    b"'\"$(id)`id`",
    b"\x1b[31mred",
    "日本語 é".encode(),
    "e\u0301".encode(),
    b"x" * 255,
]


async def test_names_are_listed_as_they_are(engine: ExecutionEngine) -> None:
    """Those that are not UTF-8 as ``os.fsencode`` turns them back."""
    code = f"import os\nfor name in {NAMES!r}:\n    os.close(os.open(name, os.O_CREAT))"
    result = await engine.run("python", code, strategy=POOL)
    assert sorted(os.fsencode(name) for name in result.generated_files) == sorted(NAMES)


async def test_files_of_other_runs_are_not_listed(engine: ExecutionEngine) -> None:
    """Though one follows the other in the same tick of the clock."""
    for number in range(10):
        result = await engine.run("shell", f"echo > file{number}", strategy=POOL)
        assert result.generated_files == (f"file{number}",)


async def test_many_files_are_listed(engine: ExecutionEngine) -> None:
    """More than fit into one frame, or could be remembered one by one."""
    given = {f"given/{number}": b"" for number in range(2000)}
    code = """
import os
for directory in range(50):
    os.mkdir(f"d{directory}")
    for number in range(200):
        open(f"d{directory}/{number:0100}", "w").close()
"""
    result = await engine.run("python", code, files=given, strategy=POOL)
    assert result.generated_files == tuple(sorted(f"d{d}/{number:0100}" for d in range(50) for number in range(200)))
    assert not result.generated_files_partial


async def test_list_that_is_not_whole_says_so(engine: ExecutionEngine) -> None:
    """What lies deeper than anybody means it to is not followed."""
    code = """
import os
open("shallow", "w")
for _ in range(1000):
    os.mkdir("d")
    os.chdir("d")
open("deep", "w")
"""
    result = await engine.run("python", code, strategy=POOL)
    assert result.generated_files == ("shallow",)
    assert result.generated_files_partial
