"""``interpreter-tools doctor``: the checks, as they are done."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape

from interpreter_tools.setup import diagnose

if TYPE_CHECKING:
    from interpreter_tools.setup import Check

_NAME_WIDTH = 13


async def run_doctor(*, as_json: bool, docker_host: str | None) -> int:
    """Check this machine, print what was found, and return the command's status."""
    console = Console(highlight=False, soft_wrap=True)
    checks: list[Check] = []
    async with contextlib.aclosing(diagnose(docker_host)) as diagnosis:
        async for check in diagnosis:
            checks.append(check)
            if not as_json:
                _show(console, check)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(checks)).decode() + "\n")
    return 0 if all(check.ok for check in checks if check.needed) else 1


def _show(console: Console, check: Check) -> None:
    mark = "[green]ok     [/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]warning[/]"
    console.print(f"{mark} {escape(check.name):{_NAME_WIDTH}} {escape(check.detail)}")
    if check.remedy:
        console.print(f"{'':{_NAME_WIDTH + 9}}[bold]-> {escape(check.remedy)}[/]")
