"""The shell whose input is a pipe or a file."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import COMMAND, ENVIRONMENT, call, start
from tests.watch import CLIENTS, containers_of_process, eventually

from .terminal import SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools._docker import DockerClient


def shell(text: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """What a shell does with these lines."""
    return call("shell", *arguments, stdin=text.encode(), environment=SMALL)


@pytest.mark.docker
def test_lines_are_done_without_a_prompt():
    """Their output is theirs alone, byte for byte; blocks and fences take several lines."""
    done = shell(
        "print('\\x1b[2J')\n"
        "for n in range(2):\n    print(n)\nprint('end')\n"
        "```sh\ncd /tmp\npwd\n```\n"
        "js: console.error([\n1, 2].length)\n"
    )
    assert done.stdout == b"\x1b[2J\n0\n1\nend\n/tmp\n"
    assert done.stderr == b"2\n"
    assert done.returncode == 0


@pytest.mark.docker
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 0),
        ("!exit 7", 7),
        ("!exit 7\nprint(1)\n", 0),
        ("print(1)\nraise SystemExit(9)\n", 9),
        ("/nope", 2),
        ("/get nowhere\n", 125),
        ("!kill -9 $$\n", 137),
        ("!exit 7\n/quit\n!exit 8", 0),
    ],
)
def test_status_is_that_of_the_last_input(text: str, status: int):
    """As of other shells."""
    assert shell(text).returncode == status


@pytest.mark.docker
def test_packages_are_installed():
    """For the language they were asked for, and until they are forgotten."""
    done = shell("/deps six==1.16.0\nimport six; print(six.__version__)\n/deps none\nimport six\n")
    assert done.stdout.splitlines()[:2] == [b"python: six==1.16.0", b"1.16.0"]
    assert b"ModuleNotFoundError" in done.stderr
    assert done.returncode == 1


@pytest.mark.docker
def test_limits_hold():
    """What ends a run is told."""
    done = shell("while True: pass\n", "--timeout", "1")
    assert done.stderr == b"ended: it ran longer than it may\n"
    assert done.returncode == 137


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_it_and_leaves_nothing_behind(number: signal.Signals, docker_client: DockerClient):
    """Nobody could go on typing."""
    process = start("shell")
    CLIENTS.add(process.pid)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"import time; print('on', flush=True); time.sleep(600)\n")
    process.stdin.flush()
    assert await asyncio.to_thread(process.stdout.readline) == b"on\n"
    process.send_signal(number)
    _, stderr = await asyncio.to_thread(process.communicate)
    assert process.returncode == 128 + number
    assert b"Traceback" not in stderr

    async def left() -> list[str]:
        return await containers_of_process(docker_client, process.pid)

    await eventually(left, lambda names: not names, within=30)


def test_mistakes_are_told_before_anything_is_touched():
    """With the way out."""
    done = shell("", "--language", "cobol")
    assert done.returncode == 125
    assert done.stderr.startswith(b"interpreter-tools shell: unknown language 'cobol'")
    done = shell("", "--tries", "0")
    assert done.returncode == 125
    assert b"tries: 0" in done.stderr


@pytest.mark.parametrize("module", ["prompt_toolkit", "pydantic_ai"])
def test_missing_package_is_told_with_the_extra(module: str, tmp_path: Path):
    """A model needs one package more."""
    hidden = f"import sys; sys.modules[{module!r}] = None; from interpreter_tools.cli import main; main()"
    command = [sys.executable, "-c", hidden, "shell", "--model", "test"]
    done = subprocess.run(
        command, capture_output=True, check=False, env={**ENVIRONMENT, **SMALL}, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 1
    assert b'pip install "interpreter-tools[shell]"' in done.stderr


def test_help_teaches():
    """By examples."""
    done = subprocess.run([*COMMAND, "shell", "--help"], capture_output=True, check=True, env=ENVIRONMENT, timeout=60)
    assert b"\n  interpreter-tools shell --model " in done.stdout
