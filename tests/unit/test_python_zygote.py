"""The Python that forks for each run, without its supervisor."""

from __future__ import annotations

import ast
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

from interpreter_tools._languages import python

PARENT = """
import posix, resource, select, socket, sys, time, _signal
_in_boxes = {}
"""
LOOP = """
control = socket.socket(fileno=int(sys.argv[1]))
events = _await_events(control)
while True:
    if control.fileno() not in events():
        _bury(control)
        continue
    asked = control.recv(4)
    if not asked:
        break
    if posix.fork() == 0:
        end = time.perf_counter() + int.from_bytes(asked, "little") / 1e6
        while time.perf_counter() < end:
            pass
        posix._exit(0)
"""


def test_end_of_a_child_is_told_whenever_it_comes() -> None:
    """Also one that comes just before the parent begins to wait: with a signal alone, some in a thousand were lost."""
    source = ast.parse(Path(python.__file__).with_name("boot.py").read_text("utf-8"))
    functions = [node for node in source.body if isinstance(node, ast.FunctionDef)]
    parts = [ast.unparse(node) for node in functions if node.name in {"_await_events", "_bury"}]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(30)
        command = [sys.executable, "-c", "\n".join([PARENT, *parts, LOOP]), str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as parent:
            theirs.close()
            chance = random.Random(1)
            for _ in range(3000):
                ours.send(chance.randrange(200).to_bytes(4, "little"))
                assert len(ours.recv(100)) == 25
            ours.shutdown(socket.SHUT_WR)
            assert parent.wait(30) == os.EX_OK
