"""``interpreter-tools mcp``: serves until its client goes away, or it is interrupted."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.cli._errors import tell, tell_missing
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools.cli._limits import Limits

_FAILED = 1
_TERMINATED = 143  # 128 + SIGTERM, as shells report it


async def run_mcp(
    *, http: str | None, tools_from: Path | None, limits: Limits, config_file: Path | None, docker_host: str | None
) -> int:
    """Serve, and return the command's status. Standard output belongs to the protocol."""
    try:
        from interpreter_tools.mcp import (  # noqa: PLC0415 - optional
            HttpAddress,
            create_server,
            serve_http,
            serve_stdio,
            tools_of_servers,
        )
    except ModuleNotFoundError as error:
        return tell_missing("mcp", error, extras="cli,mcp")
    try:
        address = None if http is None else HttpAddress.parse(http)
        config = limits.over(load_settings("mcp", config_file))
        if docker_host is not None:
            config = msgspec.structs.replace(config, docker_host=docker_host)
        async with AsyncExitStack() as stack:
            tools = () if tools_from is None else await stack.enter_async_context(tools_of_servers(tools_from))
            server = create_server(config, code_tools=tools)
            if address is None:
                return _TERMINATED if await serve_stdio(server) else 0
            await serve_http(server, address)
    except InterpreterToolsError as error:
        return tell("mcp", error, given=limits.given, failed=_FAILED)
    return 0
