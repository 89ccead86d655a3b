"""``interpreter-tools shell``: a prompt over a sandbox, until its input ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.model import PoolConfig
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._exit_status import BROKEN_PIPE
from interpreter_tools.cli._errors import tell, tell_missing
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools.cli._limits import Limits

_VARIABLE = "INTERPRETER_TOOLS_MODEL"


async def run_interactive(
    *,
    model: str | None,
    language: str,
    tries: int,
    limits: Limits,
    config_file: Path | None,
    docker_host: str | None,
) -> int:
    """Run the shell, and return the command's status."""
    try:
        from interpreter_tools.shell import ShellOptions, run_shell  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        return tell_missing("shell", error, extras="shell")
    try:
        options = ShellOptions(language=language, tries=tries)
        config = _config(limits.over(load_settings("shell", config_file)), docker_host)
        return await run_shell(config, options, model=model or os.environ.get(_VARIABLE) or None)
    except BrokenPipeError:
        return BROKEN_PIPE
    except InterpreterToolsError as error:
        return tell("shell", error, given=limits.given)


def _config(loaded: EngineConfig, docker_host: str | None) -> EngineConfig:
    """Return the configuration of one session: nothing is warmed that it would not use."""
    return msgspec.structs.replace(
        loaded,
        docker_host=docker_host or loaded.docker_host,
        prewarm=(),
        pool=PoolConfig(min_size=0, max_size=loaded.pool.max_size, wait_timeout=loaded.pool.wait_timeout),
    )
