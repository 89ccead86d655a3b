"""Installs packages of the distribution on this machine, when somebody agreed to that."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from interpreter_tools.setup.apt import APT_GET, AptMeter
from interpreter_tools.setup.errors import ProgramFailed, SetupFailed
from interpreter_tools.setup.process import run_program
from interpreter_tools.setup.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools.setup.progress import Reporter

Consent: TypeAlias = Callable[[str], Awaitable[bool]]
"""Asks whoever owns this machine a question before it is changed; True means yes."""

# Another apt may be at work, on a fresh machine nearly always; without a terminal nothing may ask or restart services.
_APT_HERE = (*APT_GET, "-o", "DPkg::Lock::Timeout=300")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}


async def refuse(_question: str) -> bool:
    """Refuse the consent."""
    return False


async def install_packages(
    packages: Sequence[str], *, question: str, step: str, consent: Consent, report: Reporter
) -> None:
    """Install packages on this machine with apt-get.

    Args:
        packages: their names.
        question: is put to whoever owns the machine; the command is added.
        step: the step that events belong to.
        consent: is asked first.
        report: is told how it goes.

    Raises:
        SetupFailed: nobody agreed.
        ProgramFailed: apt-get failed.
    """
    names = " ".join(packages)
    command = f"apt-get install {names}"
    if not await consent(f"{question} (`{command}`)?"):
        raise SetupFailed(
            f"these packages are not installed: {names}", hint=f"run `{command}`, or `interpreter-tools setup --yes`"
        )
    environment = {**os.environ, **_QUIET}
    meter = AptMeter()

    def on_line(line: str) -> None:
        done = meter.feed(line)
        if done is not None:
            report(Progress(step, "working", done[1], done[0]))

    async def install() -> None:
        arguments = [*_APT_HERE, "install", "--no-install-recommends", "--no-remove", *packages]
        await run_program(arguments, environment=environment, on_line=on_line)

    report(Progress(step, "working", command, 0.0))
    # An earlier installation may have been cut off
    await run_program(["dpkg", "--configure", "-a"], environment=environment)
    try:
        await install()
    except ProgramFailed:  # the package lists are missing or out of date more often than anything else
        report(Progress(step, "working", "apt-get update", 0.0))
        not_updated = await _update(environment)
        try:
            await install()
        except ProgramFailed as error:
            raise not_updated or error from error


async def _update(environment: Mapping[str, str]) -> ProgramFailed | None:
    """Fetch the package lists. What failed is no error yet: it may be about a repository that is not needed."""
    try:
        await run_program([*_APT_HERE, "-o", "APT::Update::Error-Mode=any", "update"], environment=environment)
    except ProgramFailed as error:
        return error
    return None
