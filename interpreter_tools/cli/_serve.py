"""``interpreter-tools serve``: serves until it is interrupted or terminated."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.cli._errors import tell, tell_missing
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools.cli._limits import Limits

_FAILED = 1
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


@dataclass(frozen=True, kw_only=True)
class ServeCall:
    """The options of the command, other than limits; None for one that was not given."""

    host: str
    port: int
    wires: tuple[str, ...] | None
    api_key_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    domain: str
    proxied: bool
    runs: int | None
    queue: int | None
    sandboxes: int | None
    log: Literal["text", "json", "none"]


async def run_serve(call: ServeCall, *, limits: Limits, config_file: Path | None, docker_host: str | None) -> int:
    """Serve, and return the command's status."""
    try:
        from interpreter_tools.server._serve import Address, serve  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        return tell_missing("serve", error, extras="cli,server")
    from interpreter_tools.server import ServerConfig  # noqa: PLC0415 - optional

    given = {"runs": call.runs, "queue": call.queue, "sandboxes": call.sandboxes}
    try:
        config = limits.over(load_settings("serve", config_file))
        if docker_host is not None:
            config = msgspec.structs.replace(config, docker_host=docker_host)
        own = {name: value for name, value in given.items() if value is not None}
        address = Address(
            host=call.host,
            port=call.port,
            cert=call.tls_cert,
            key=call.tls_key,
            domain=call.domain,
            is_proxied=call.proxied,
        )
        ended_by = await serve(
            config,
            address,
            server=msgspec.structs.replace(ServerConfig(domain=call.domain.partition(":")[0]), **own),
            wires=call.wires,
            key_file=call.api_key_file,
            log=call.log,
        )
    except InterpreterToolsError as error:
        return tell("serve", error, given=limits.given, failed=_FAILED)
    return _INTERRUPTED if ended_by == signal.SIGINT else 0
