"""Installs a wheel alone in a new environment and runs code with it: ``python tests/wheel.py DIRECTORY``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

WANTED = (
    "interpreter_tools/py.typed",
    "interpreter_tools/_docker/seccomp.json",
    "interpreter_tools/_languages/node/boot.js",
    "interpreter_tools/_languages/node/tools.js",
    "interpreter_tools/_languages/node/typescript.js",
    "interpreter_tools/supervisor/protocol.h",
    "interpreter_tools/supervisor/bin/supervisor-x86_64",
    "interpreter_tools/supervisor/bin/supervisor-aarch64",
)
MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine, elf(5)
MOST_BYTES = 3 << 19


def main(directory: str) -> None:
    """Look into the wheel, install it, and run a program through its command."""
    (wheel,) = Path(directory).glob("interpreter_tools-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        missing = [name for name in WANTED if name not in names]
        assert not missing, f"{wheel.name} lacks {missing}"
        unwanted = [name for name in names if name.endswith((".c", ".stamp")) or name.startswith("tests/")]
        assert not unwanted, f"{wheel.name} holds {unwanted}"
        for machine, number in MACHINES.items():
            program = archive.read(f"interpreter_tools/supervisor/bin/supervisor-{machine}")
            assert program[:4] == b"\x7fELF"
            assert int.from_bytes(program[18:20], "little") == number, f"the supervisor for {machine} is not for it"
    assert wheel.stat().st_size < MOST_BYTES, f"{wheel.name} is larger than {MOST_BYTES} bytes"
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        programs = Path(scratch, "bin")
        subprocess.run([programs / "pip", "install", "--quiet", f"{wheel}[cli]"], check=True)
        command = [programs / "interpreter-tools", "run", "--code", "print(6 * 7)"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=scratch).stdout
        assert printed == "42\n", printed
    sys.stdout.write(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size} bytes; runs\n")


if __name__ == "__main__":
    main(sys.argv[1])
