"""Builds the supervisor, the program that is PID 1 in every sandbox, before a wheel or an editable install is made.

It is C, linked statically against musl, once for each kind of processor that a Docker host may have: the client may run
on another. Both binaries are data to the client, so one wheel serves every platform. The compiler is the ``ziglang``
package, which brings musl and its headers for every target; ``INTERPRETER_TOOLS_CC_X86_64`` and
``INTERPRETER_TOOLS_CC_AARCH64`` name another one, with its arguments, for example ``aarch64-linux-musl-gcc``.

``python hatch_build.py`` compiles what has changed and does nothing else: for developers, after editing the C sources.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_ARCHITECTURES = ("x86_64", "aarch64")
_FLAGS = (
    *("-static", "-Os", "-s", "-std=gnu11", "-D_GNU_SOURCE"),
    *("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"),
)


class SupervisorBuildHook(BuildHookInterface[Any]):
    """Compiles what has changed and adds the binaries, which are not under version control, to what is built."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before each wheel is built; an editable one finds the binaries beside the sources."""
        sources = Path(self.root, "interpreter_tools", "supervisor")
        for binary in build_all(sources):
            build_data["artifacts"].append(f"/{binary.relative_to(self.root).as_posix()}")


def build_all(sources: Path) -> list[Path]:
    """Compile the supervisor for every processor, where its sources have changed, and return the binaries.

    Raises:
        RuntimeError: the compiler is missing, or refused.
    """
    binaries: list[Path] = []
    for architecture in _ARCHITECTURES:
        binary = sources / "bin" / f"supervisor-{architecture}"
        if _build(sources, architecture, binary):
            sys.stderr.write(f"compiled {binary.name}: {binary.stat().st_size} bytes\n")
        binaries.append(binary)
    return binaries


def _build(sources: Path, architecture: str, binary: Path) -> bool:
    """True when it was compiled, False when the one that is there came from the same sources by the same command.

    Raises:
        RuntimeError: the compiler is missing, or refused.
    """
    compiler = os.environ.get(f"INTERPRETER_TOOLS_CC_{architecture.upper()}") or "ziglang"
    inputs = hashlib.sha256(repr((compiler, _FLAGS)).encode())
    units = sorted(sources.glob("*.c"))
    for file in (*units, *sorted(sources.glob("*.h"))):
        inputs.update(f"\0{file.name}\0".encode() + file.read_bytes())
    stamp = binary.with_name(f"{binary.name}.stamp")
    if binary.exists() and stamp.exists() and stamp.read_text("ascii") == _stamp(inputs.hexdigest(), binary):
        return False
    command = shlex.split(compiler)
    if compiler == "ziglang":
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl"]
    binary.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as scratch:  # a build that breaks leaves no half a binary
        output = Path(scratch, binary.name)
        _compile([*command, *_FLAGS, *map(str, units), "-o", str(output)], cwd=scratch)
        output.replace(binary)
    stamp.write_text(_stamp(inputs.hexdigest(), binary), "ascii")
    return True


def _compile(command: list[str], *, cwd: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd)
    except OSError as error:
        raise RuntimeError(f"the supervisor was not compiled, {command[0]!r} cannot be started: {error}") from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"the supervisor was not compiled:\n{shlex.join(command)}\n{error.stderr}") from error


def _stamp(inputs: str, binary: Path) -> str:
    """Holds the binary's own hash as well: it may have been replaced by hand."""
    return f"{inputs} {hashlib.sha256(binary.read_bytes()).hexdigest()}\n"


if __name__ == "__main__":
    build_all(Path(__file__).with_name("interpreter_tools") / "supervisor")
