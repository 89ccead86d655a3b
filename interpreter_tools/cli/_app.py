"""The commands and their options. What does the work is imported when it is needed: ``--help`` is to be quick."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import Annotated

from cyclopts import App, Parameter

STDIN = "/dev/stdin"
"""What ``-`` is replaced by: cyclopts takes it for an option."""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes longer than all the rest

    try:
        return version("interpreter-tools")
    except PackageNotFoundError:
        return "unknown (not installed)"


app = App(
    name="interpreter-tools",
    help="Run untrusted code in warm, locked-down containers.",
    version=_version,
    help_format="plaintext",  # Markdown's parser would take longer than all the rest
    suppress_keyboard_interrupt=False,
)


@app.command
async def setup(
    *names: str,
    yes: Annotated[bool, Parameter(alias="-y", negative="")] = False,
    update: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    docker_host: str | None = None,
) -> int:
    """Make this machine ready: the Docker engine and the images. What is ready is left alone.

    Args:
        names: Languages or images; without any, those of Python, JavaScript, TypeScript and shell.
        yes: Install and start whatever is missing without asking.
        update: Make images again that are there already.
        json: Print what was made ready as JSON.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._setup import run_setup  # noqa: PLC0415

    return await run_setup(names, yes=yes, update=update, as_json=json, docker_host=docker_host)


@app.command
async def doctor(*, json: Annotated[bool, Parameter(negative="")] = False, docker_host: str | None = None) -> int:
    """Check the machine, from the Docker engine to a timed run. The status is 1 when something needed is missing.

    Args:
        json: Print the checks as JSON.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._doctor import run_doctor  # noqa: PLC0415

    return await run_doctor(as_json=json, docker_host=docker_host)


@app.command
async def run(
    file: Path | None = None,
    /,
    *,
    code: Annotated[str | None, Parameter(alias="-c")] = None,
    language: Annotated[str | None, Parameter(alias="-l")] = None,
    timeout: float | None = 60.0,
    memory: str | None = None,
    cpus: str | None = None,
    env: Annotated[list[str] | None, Parameter(alias="-e", negative="")] = None,
    with_file: Annotated[list[str] | None, Parameter(name="--file", alias="-f", negative="")] = None,
    network: str | None = None,
    image: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    docker_host: str | None = None,
) -> int:
    """Run code in a fresh sandbox. Its output, input and exit status are this command's own.

    The status is 125 when the sandbox, rather than the code, fails.

    Args:
        file: The program; `-`, or nothing where input is piped, reads it from standard input.
        code: The program itself, instead of a file.
        language: Its language; otherwise known from the file's suffix, then its first line, then Python.
        timeout: Seconds that it may run; 0 means no limit.
        memory: Memory limit, such as 512m.
        cpus: Limit of processor cores, such as 0.5.
        env: NAME=VALUE, or NAME for this shell's value; may be repeated.
        with_file: PATH=LOCAL puts the local file at PATH beneath the working directory; may be repeated.
        network: A Docker network; otherwise there is none.
        image: The image to run in.
        json: Print the result as JSON instead of streaming the output.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._run import Request, run_code  # noqa: PLC0415

    if (file is not None and code is not None) or (file is None and code is None and sys.stdin.isatty()):
        sys.stderr.write("interpreter-tools run: give either a file (`-` for standard input) or --code\n")
        return 2
    request = Request(
        file=None if file is None or str(file) == STDIN else file,
        code=code,
        language=language,
        timeout=timeout or None,
        memory=memory,
        cpus=cpus,
        environment=tuple(env or ()),
        files=tuple(with_file or ()),
        network=network,
        image=image,
        docker_host=docker_host,
    )
    return await run_code(request, as_json=json)
