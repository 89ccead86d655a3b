"""Finding and clearing up after engines, as far as none has to be started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from interpreter_tools.setup import daemon, log
from interpreter_tools.setup.daemon import find_process, remove_leftovers

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAMER = "import ctypes, sys; ctypes.CDLL(None).prctl(15, sys.argv[1].encode()); print(); sys.stdin.read()"


def start_named(name: str) -> subprocess.Popen[bytes]:
    """A process that bears a name."""
    process = subprocess.Popen([sys.executable, "-c", NAMER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_process_is_found_by_name_until_it_ends():
    """A zombie does not count, nor does a name that is hard to parse hide anything."""
    with start_named("it) R (odd") as odd, start_named("it-test-daemon") as process:
        assert find_process("it-test-daemon") == process.pid
        assert find_process("it) R (odd") == odd.pid
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but not reaped
        assert find_process("it-test-daemon") is None
        odd.kill()


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A PID file is stale when its number belongs to nobody, or to another program."""
    files = {name: tmp_path / name for name in ("reused", "gone", "garbage", "alive")}
    pid_files = dict.fromkeys((*files.values(), tmp_path / "none"), "it-test-daemon")
    monkeypatch.setattr(daemon, "_PID_FILES", pid_files)
    sockets = tuple(tmp_path / f"{name}.sock" for name in ("dead", "live", "no"))
    monkeypatch.setattr(daemon, "_CONTAINERD_SOCKETS", sockets)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    with start_named("it-test-daemon") as process, socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "live.sock"))
        live.listen()
        files["reused"].write_text(str(os.getpid()))
        files["gone"].write_text("4194305\n")  # above any pid_max
        files["garbage"].write_text("")
        files["alive"].write_text(f"{process.pid}\n")
        removed = remove_leftovers()
        process.kill()
    assert removed == [str(tmp_path / name) for name in ("reused", "gone", "garbage", "dead.sock")]
    assert files["alive"].exists()
    assert (tmp_path / "live.sock").exists()


def test_log_of_an_engine_stays_within_bounds(tmp_path: Path):
    """The newest words are in the file, those before in one beside it, and no third is ever there."""
    path = tmp_path / "engine.log"
    path.write_text("from an earlier engine\n")
    command = [sys.executable, "-I", "-S", log.__file__, str(path), "10000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as keeper:
        assert keeper.stdin is not None
        for number in range(20_000):
            keeper.stdin.write(b"line %d\n" % number)
        keeper.stdin.close()
        assert keeper.wait(10) == 0
    assert path.read_text().endswith("line 19999\n")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["engine.log", "engine.log.1"]
    assert sum(entry.stat().st_size for entry in tmp_path.iterdir()) <= 20_000 + (1 << 17)
