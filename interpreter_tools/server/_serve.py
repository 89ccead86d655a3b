"""The server as a process of its own: where it listens, what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvicorn

from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._listening import is_loopback, listen
from interpreter_tools.server._app import create_app
from interpreter_tools.server._authority import LocalAuthority
from interpreter_tools.server._http import BoundedHttp
from interpreter_tools.server._keys import Keys
from interpreter_tools.server._logs import LogForm, log_to_stderr
from interpreter_tools.server._wire import Site
from interpreter_tools.server.wires import WIRES, load_wire

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools.server._config import ServerConfig

_BACKLOG = 2048
_WAIT = 60.0  # seconds for a container; then the client is told to come again
_UNKNOWN_KEY = "YOUR_KEY"
_ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared only
_THRESHOLDS = (10_000, 20, 20)  # objects, and collections of the younger generation


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a server.

    Attributes:
        host: the name or address to listen on.
        port: the port; 0 means a free one.
        cert: the PEM file of its certificate; None means none, or one by an authority of this machine for ``domain``.
        key: the PEM file of the certificate's key.
        domain: the domain whose hosts lead to sandboxes; empty means none.
        is_proxied: True when a proxy in front does TLS for the domain.
    """

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    domain: str = ""
    is_proxied: bool = False

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def shown(self) -> str:
        """The host as URLs have it; for all addresses of this machine, its name."""
        host = socket.gethostname() if self.host in _ANY else self.host
        return f"[{host}]" if ":" in host else host

    def listen(self) -> socket.socket:
        """Return a socket that listens.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        return listen(self.host, self.port, backlog=_BACKLOG)


class _Server(uvicorn.Server):
    """Prints a text once it can be reached, and ends by SIGINT or SIGTERM without dying of it: the engine is to close.

    Attributes:
        signal: the signal that ended it; 0 before.
    """

    def __init__(self, config: uvicorn.Config, text: str) -> None:
        super().__init__(config)
        self._text = text
        self.signal = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take the signals that stop the server."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        self.signal = number
        self.handle_exit(number, None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print."""
        await super().startup(sockets)
        sys.stdout.write(self._text)
        sys.stdout.flush()


@contextlib.contextmanager
def rare_collections() -> Generator[None]:
    """Have Python look for garbage in cycles seldom, and not among the objects that are there already.

    The process is the server's own. With Python's thresholds a third of the wire's processor time for a run was spent
    on these looks (90 of 310 us).
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def serve(
    engine_config: EngineConfig,
    address: Address,
    *,
    server: ServerConfig,
    wires: Sequence[str] | None = None,
    key_file: Path | None = None,
    log: LogForm = "text",
) -> int:
    """Serve until SIGINT or SIGTERM: then new runs are refused, those that run end, and all sandboxes are removed.

    Returns:
        The signal that ended it.

    Raises:
        ConfigurationError: a value cannot work, or the address cannot be listened on.
        MachineError: the engine cannot be started.
    """
    keys, key = await asyncio.to_thread(_keys, address, key_file)
    for name in wires or ():
        load_wire(name)
    pool = engine_config.pool
    if pool.max_size is None:  # each sandbox holds a container
        pool = msgspec.structs.replace(pool, max_size=server.slots + server.sandboxes)
    pool = msgspec.structs.replace(pool, wait_timeout=pool.wait_timeout or _WAIT)
    engine_config = msgspec.structs.replace(
        engine_config, pool=pool, max_sessions=max(engine_config.max_sessions, server.slots + server.sandboxes)
    )
    log_to_stderr(log)
    with address.listen() as listener:
        port = listener.getsockname()[1]
        engine = ExecutionEngine(engine_config)
        # A server may be killed while it serves. The certificate's key is read by then, and its file is removed.
        with tempfile.TemporaryDirectory(prefix="interpreter-tools-") as scratch:
            cert, private_key, authority = await asyncio.to_thread(_certificate, address, Path(scratch))
            config = uvicorn.Config(
                create_app(engine, wires=wires, keys=keys, config=server),
                http=BoundedHttp,
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=max(1, round(server.drain)),
                ssl_certfile=cert,
                ssl_keyfile=None if private_key is None else str(private_key),
            )
            config.load()
        domain = address.domain.partition(":")[0]
        site = Site(
            scheme="http" if cert is None and not address.is_proxied else "https",
            host=address.domain if address.is_proxied else f"{address.shown}:{port}",
            key=key or _UNKNOWN_KEY,
            domain=address.domain if address.is_proxied else f"{domain}:{port}" if domain else "",
            authority="" if authority is None else str(authority.file),
        )
        async with engine:
            text = _greeting(site, address, wires or WIRES, is_own_key=key is not None)
            running = _Server(config, text)
            with rare_collections():
                await running.serve(sockets=[listener])
        return running.signal


def _keys(address: Address, file: Path | None) -> tuple[Keys, str | None]:
    """Return the keys of a file, or a new one and its text."""
    if file is not None:
        return Keys.load(file), None
    if not address.is_loopback:
        hint = "give --api-key-file FILE with one key a line, such as `openssl rand -hex 20` prints"
        reason = "can be reached from other machines, so it needs keys of your own"
        raise ConfigurationError("--host", address.host, reason, hint=hint)
    return Keys.generate()


def _certificate(address: Address, scratch: Path) -> tuple[Path | None, Path | None, LocalAuthority | None]:
    """Return the certificate, its key, and the authority of this machine that has made it; None where there is none."""
    if (address.cert is None) != (address.key is None):
        raise ConfigurationError("--tls-cert", str(address.cert), "and --tls-key are given together, or not at all")
    if address.is_proxied and (address.cert is not None or not address.domain):
        hint = "with --proxied, give --domain and no --tls-cert"
        raise ConfigurationError("--proxied", address.domain, "is a domain that a proxy does TLS for", hint=hint)
    if address.cert is not None or not address.domain or address.is_proxied:
        for file in (address.cert, address.key):
            if file is not None and not file.is_file():
                raise ConfigurationError("--tls-cert", str(file), "is not a file")
        return address.cert, address.key, None
    authority = LocalAuthority.open()
    domain = address.domain.partition(":")[0]
    names = [domain, f"*.{domain}", "localhost", "127.0.0.1", "::1"]
    if not address.is_loopback and address.host not in _ANY:
        names.append(address.host)
    return *authority.certify(names, scratch), authority


def _greeting(site: Site, address: Address, wires: Sequence[str], *, is_own_key: bool) -> str:
    """Return what to paste into a shell for each kind of client."""
    lines = [f"interpreter-tools serve: {site.url} (status page: {site.url}/{f'#{site.key}' if is_own_key else ''})"]
    if not address.is_loopback:
        lines.append(
            "# whoever has a key can run code here"
            + ("" if site.scheme == "https" else ", and keys travel unencrypted: use --tls-cert, or a proxy with TLS")
        )
    if site.authority:
        lines += [f"export SSL_CERT_FILE={site.authority}", f"export NODE_EXTRA_CA_CERTS={site.authority}"]
    for name in wires:
        exports = load_wire(name).exports(site)
        if exports:
            lines += ["", f"# {name}", *(f"export {variable}={value}" for variable, value in exports.items())]
    return "\n".join(lines) + "\n"
