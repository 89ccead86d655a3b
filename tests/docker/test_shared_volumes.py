"""What sandboxes of one host can learn of each other through the volumes that they share, and what they cannot."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = [pytest.mark.docker]

_PRELUDE = """
import ctypes, errno, fcntl, json, os
libc = ctypes.CDLL(None, use_errno=True)
EVERYTHING = 0xfff
def watch(path):
    descriptor = libc.inotify_add_watch(libc.inotify_init1(0o4000), path.encode(), EVERYTHING)
    return "ok" if descriptor >= 0 else errno.errorcode[ctypes.get_errno()]
def lock(path):
    try: fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error: return errno.errorcode[error.errno]
    return "ok"
"""


async def probe(engine: ExecutionEngine, program: str, dependencies: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - JSON
    """What a program prints, as JSON."""
    result = await engine.run("python", _PRELUDE + textwrap.dedent(program), dependencies=dependencies)
    return json.loads(result.check().stdout)


async def test_starts_of_other_sandboxes_are_not_seen(engine: ExecutionEngine) -> None:
    """The supervisor's volume can be neither watched, listed nor locked, whatever file of it."""
    program = """
        paths = ["/.interpreter-tools" + name for name in ("", "/supervisor", "/hosts", "/seccomp.json")]
        try: listed = os.listdir(paths[0])
        except OSError as error: listed = errno.errorcode[error.errno]
        print(json.dumps([[watch(path) for path in paths], [lock(path) for path in paths], listed]))
    """
    watched, locked, listed = await probe(engine, program)
    assert watched == locked == ["EACCES"] * 4
    assert listed == "EACCES"


async def test_installations_of_others_are_not_seen(engine: ExecutionEngine) -> None:
    """The store itself can be neither watched nor listed nor locked."""
    program = """
        store = "/.interpreter-tools-store"
        try: listed = os.listdir(store)
        except OSError as error: listed = errno.errorcode[error.errno]
        print(json.dumps([watch(store), lock(store), listed]))
    """
    assert await probe(engine, program, ("six",)) == ["EACCES", "EACCES", "EACCES"]
