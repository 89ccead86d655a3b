"""The command server: the program that runs commands side by side in a sandbox, sent there as one text."""

from __future__ import annotations

from pathlib import Path

_MODULES = ("output", "entries", "observing", "files", "spawning", "server")  # each imports from earlier ones only
_FRAME = """\
import sys

if not sys.flags.isolated:
    del sys.path[0]  # the workspace, where commands may have put a json.py

import os
import types

for name, text in {sources}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
if not sys.flags.isolated:
    os.unlink(__file__)
module.main()
"""


def program() -> str:
    """Return the text of the program, for a Python of the image.

    Reads files: not for the event loop.
    """
    here = Path(__file__).parent
    sources = [(f"{__name__}.{name}", here.joinpath(f"{name}.py").read_text("utf-8")) for name in _MODULES]
    return _FRAME.format(sources=repr(sources))
