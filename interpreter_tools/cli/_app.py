"""The commands and their options. What does the work is imported when it is needed: ``--help`` is to be quick."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import Annotated

from cyclopts import App, Parameter

STDIN = "/dev/stdin"
"""What ``-`` is replaced by: cyclopts takes it for an option."""


def _version() -> str:
    try:
        return version("interpreter-tools")
    except PackageNotFoundError:
        return "unknown (not installed)"


app = App(
    name="interpreter-tools",
    help="Run untrusted code in warm, locked-down containers.",
    version=_version,
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


deps = App(name="deps", help="Packages that runs have asked for, kept on the Docker host.")
app.command(deps)


@deps.command(name="list")
async def list_deps(
    *, json: Annotated[bool, Parameter(negative="")] = False, store: str | None = None, docker_host: str | None = None
) -> int:
    """List what is kept, the oldest first.

    Args:
        json: Print the list as JSON.
        store: The Docker volume that keeps it; otherwise the usual one.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._deps import run_list  # noqa: PLC0415

    return await run_list(as_json=json, store=store, docker_host=docker_host)


@deps.command
async def prune(
    *,
    older_than: str | None = None,
    max_size: str | None = None,
    all: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002 - the option's name
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    store: str | None = None,
    docker_host: str | None = None,
) -> int:
    """Remove what is old, then the oldest while all together is too large. What is needed again is installed again.

    Args:
        older_than: Remove what was installed longer ago, such as 30d, 12h or 90m.
        max_size: Remove the oldest until the rest is smaller, such as 2g.
        all: Remove everything.
        dry_run: Only tell what would be removed.
        store: The Docker volume that keeps it; otherwise the usual one.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._deps import run_prune  # noqa: PLC0415

    if not (older_than or max_size or all):
        sys.stderr.write("interpreter-tools deps prune: say what goes: --older-than, --max-size or --all\n")
        return 2
    return await run_prune(
        older_than=older_than, max_size=max_size, everything=all, dry_run=dry_run, store=store, docker_host=docker_host
    )


@deps.command
async def warm(
    *packages: str,
    language: Annotated[str, Parameter(alias="-l")] = "python",
    requirements: Annotated[Path | None, Parameter(alias="-r")] = None,
    image: str | None = None,
    store: str | None = None,
    docker_host: str | None = None,
) -> int:
    """Install packages ahead of the first run that asks for exactly these.

    Args:
        packages: Their names, as the language's installer takes them.
        language: The language that they are for.
        requirements: A file with one package a line, as pip's requirements files; its options are not taken.
        image: The image that they are for; otherwise the language's own.
        store: The Docker volume that keeps them; otherwise the usual one.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._deps import run_warm  # noqa: PLC0415

    if not packages and requirements is None:
        sys.stderr.write("interpreter-tools deps warm: give packages, or a file of them with -r\n")
        return 2
    return await run_warm(
        packages, language=language, requirements=requirements, image=image, store=store, docker_host=docker_host
    )
