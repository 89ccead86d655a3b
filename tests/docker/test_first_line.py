"""What runs a file: its first line, and the shell that people mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, InterpreterMissing, RunApp
from tests.docker.stores import image_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ExecutionEngine
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
PYTHON_IMAGE = "interpreter-tools/python:1"
WHICH = 'echo "${BASH_VERSION:+bash} $-"'

LINES = {
    "none": ("shell", "a=(1 2 3); echo ${a[1]}; [[ 1 == 1 ]] && echo yes", "2\nyes\n"),
    "bash": ("shell", f"#!/bin/bash\n{WHICH}", "bash hB\n"),
    "another place": ("shell", f"#!/usr/local/bin/bash\n{WHICH}", "bash hB\n"),
    "options": ("shell", f"#!/bin/bash -eu\n{WHICH}", "bash ehuB\n"),
    "env": ("shell", f"#! /usr/bin/env bash\n{WHICH}", "bash hB\n"),
    "env -S": ("shell", f"#!/usr/bin/env -S bash -eu\n{WHICH}", "bash ehuB\n"),
    "env with a variable": ("shell", '#!/usr/bin/env -S A=b bash\necho "$A"', "b\n"),
    "sh": ("bash", '#!/bin/sh\necho "${BASH_VERSION:-none}"', "none\n"),
    "python": ("shell", "#!/usr/bin/python3\nimport sys; print(sys.argv[1:])", "['a b']\n"),
    "python by env": ("bash", "#!/usr/bin/env python3\nprint('yes')", "yes\n"),
    "its own": ("python", "#!/usr/bin/env python3\nprint(1)", "1\n"),
    "its own, of a version": ("python", "#!/usr/local/bin/python3.9 -u\nprint(1)", "1\n"),
    "its own with options": ("python", "#!/usr/bin/env -S python3 -O\nassert False\nprint(__debug__)", "False\n"),
    "bash in Python": ("python", f"#!/bin/bash\n{WHICH}", "bash hB\n"),
    "awk": ("shell", "#!/usr/bin/awk -f\nBEGIN { print ARGC }", "2\n"),
    "not the first": ("shell", "\n#!/bin/false\necho yes", "yes\n"),
    "CRLF": ("shell", "#!/bin/bash\r\nset -e\r\nif true; then\r\necho yes\r\nfi\r\nfalse\r\necho no\r\n", "yes\n"),
    "BOM": ("bash", "\ufeff#!/bin/bash\necho yes", "yes\n"),
    "BOM and CRLF in Python": ("python", "\ufeffif 1:\r\n    print('yes')\r\n", "yes\n"),
    "data with CRLF": ("shell", "printf '%s' 'a\r\nb' | wc -c\ntrue\ntrue\ntrue\n", "4\n"),
}


@pytest.mark.parametrize("name", LINES)
async def test_first_line_says_what_runs_the_file(engine: ExecutionEngine, name: str) -> None:
    """In every language; without one, a shell is bash. Line ends and marks of other systems are no part of it."""
    language, code, told = LINES[name]
    result = await engine.run(language, code, args=["a b"], image=PYTHON_IMAGE, strategy=POOL)
    assert (result.stdout, result.stderr) == (told, "")


async def test_first_line_of_a_file_that_comes_with_the_run(engine: ExecutionEngine) -> None:
    """An app may be any script."""
    app, files = RunApp(entry_file="bin/app"), {"bin/app": b"#!/usr/bin/env python3\nprint('app')\n"}
    result = await engine.run("shell", "", run_app=app, files=files, image=PYTHON_IMAGE, strategy=POOL)
    assert result.check().stdout == "app\n"


async def test_crlf_does_not_hide_a_failure(engine: ExecutionEngine) -> None:
    """``set -e`` holds."""
    result = await engine.run("bash", "set -e\r\nfalse\r\necho never\r\n", strategy=POOL)
    assert (result.outcome, result.exit_code, result.stdout) == ("error", 1, "")


async def test_first_line_names_what_the_image_lacks(engine: ExecutionEngine) -> None:
    """The error says which program, where, and what to do: give another language, or a package of the system."""
    for program, hint in (("zsh", "system_dependencies=['zsh']"), ("node", "language='javascript'"), ("x", "image")):
        with pytest.raises(InterpreterMissing, match=f"'{program}' cannot be started in the image") as caught:
            await engine.run("shell", f"#!/usr/bin/env {program}\necho", strategy=POOL)
        assert caught.value.program == program
        assert hint in caught.value.hint


@pytest.fixture
async def without_bash(docker_client: DockerClient) -> AsyncIterator[str]:
    """An image that has no bash."""
    async with image_with(docker_client, "interpreter-tools/shell:1", "RUN rm /bin/bash /usr/bin/bash || true") as tag:
        yield tag


async def test_shell_is_sh_where_there_is_no_bash(without_bash: str, own_engine: ExecutionEngine) -> None:
    """And ``bash`` stays bash: what is not there is told."""
    result = await own_engine.run("shell", 'echo "${BASH_VERSION:-sh}"', image=without_bash)
    assert result.check().stdout == "sh\n"
    with pytest.raises(InterpreterMissing, match="'bash' cannot be started"):
        await own_engine.run("bash", "echo", image=without_bash)
