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
def test_languages_go_on_where_they_were():
    """Variables, modules, functions and what is open stay, also after an error, and values are shown."""
    done = shell(
        "import os, collections; x = 41\n"
        "def f(n=x):\n    return n + 1\n\n"
        "p = collections.Counter('aab'); g = (n for n in p)\n"
        "f(), os.sep, p['a']\n"
        "_[0] + 1\n"
        "None\n"
        "x = 1; raise ValueError(x)\n"
        "x, next(g)\n"
        "js: const y = 5\n"
        "js: y + await 1\n"
        "/files\n"
    )
    assert done.stdout.decode().splitlines() == ["(42, '/', 2)", "43", "(1, 'a')", "6", "no files"]
    assert "ValueError: 1" in done.stderr.decode()


@pytest.mark.docker
def test_commands_go_on_where_they_were():
    """Directory, variables, arrays and functions stay, also after one that fails."""
    done = shell(
        "!mkdir -p a/b; cd a/b; x=1; arr=(1 '2 3'); f() { echo \"f $1 $x\"; }; false\n"
        "pwd\n"
        "!f $((x + 1)); echo \"${arr[1]}\"; echo $'two\\nlines' > /workspace/z\n"
        "!exit 3\n"
        "!nonsense; echo $x; pwd\n"
    )
    assert done.stdout.decode().splitlines() == ["/workspace/a/b", "f 2 1", "2 3", "1", "/workspace/a/b"]
    assert b"nonsense: command not found" in done.stderr
    assert b"readonly" not in done.stderr


@pytest.mark.docker
def test_packages_are_installed():
    """For the language they were asked for, and until they are forgotten."""
    done = shell(
        "x = 5\n/deps py: six==1.16.0\nimport six; print(six.__version__, x)\n%pip install toolz\n"
        "import toolz; toolz.identity(x)\n/deps none\nx\n"
    )
    told = done.stdout.decode().splitlines()
    assert told == ["python: six==1.16.0", "1.16.0 5", "installed already: toolz", "5", "python: no packages"]
    assert b"NameError: name 'x' is not defined" in done.stderr  # nothing can leave a process that runs
    assert done.returncode == 1


@pytest.mark.docker
def test_imports_are_installed():
    """Well-known ones, without being asked for; variables stay."""
    done = shell("x = 5\nimport six; six.PY3, x\n")
    assert done.stdout == b"(True, 5)\n"
    assert done.returncode == 0


@pytest.mark.docker
def test_limits_hold():
    """What ends a run is told."""
    done = shell("x = 5\nwhile True: pass\n", "--timeout", "1")
    assert b"ended: it ran longer than it may\n" in done.stderr
    assert done.returncode in {130, 137}


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
    assert done.returncode == 2
    assert done.stderr.startswith(b"interpreter-tools shell: unknown language 'cobol'")
    done = shell("", "--tries", "0")
    assert done.returncode == 2
    assert b"tries: 0" in done.stderr


def without(module: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A shell where a package is missing."""
    hidden = f"import sys; sys.modules[{module!r}] = None; from interpreter_tools.cli import main; main()"
    command = [sys.executable, "-c", hidden, "shell", *arguments]
    environment = {**ENVIRONMENT, **SMALL}
    return subprocess.run(command, input=stdin, capture_output=True, check=False, env=environment, timeout=60)


def test_missing_package_is_told_with_the_extra():
    """Before anything is started."""
    done = without("prompt_toolkit")
    assert done.returncode == 1
    assert done.stderr.endswith(b'pip install "interpreter-tools[shell]"\n')


@pytest.mark.docker
def test_missing_package_of_models_is_told():
    """And the shell goes on without a model."""
    done = without("pydantic_ai", "--model", "test", stdin=b"print(1)\n")
    assert b'pip install "interpreter-tools[shell]"' in done.stderr
    assert done.stdout == b"1\n"
    assert done.returncode == 0


def test_help_teaches():
    """By examples."""
    done = subprocess.run([*COMMAND, "shell", "--help"], capture_output=True, check=True, env=ENVIRONMENT, timeout=60)
    assert b"\n  interpreter-tools shell --model " in done.stdout
