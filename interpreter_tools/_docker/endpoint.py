"""Addresses of Docker engines: that of the Docker command line first, then the usual sockets."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

_T = TypeVar("_T")

_PORT = 2375
_TLS_PORT = 2376
_SSH_HINT = "forward its socket: ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST, then unix:///tmp/docker.sock"


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The TLS settings for an engine.

    Attributes:
        ca: file with the authorities to trust; None means the system's.
        cert: file with the client's certificate; None means that no certificate is sent.
        key: file with its key.
        verify: True when the engine must have a certificate that an authority signed.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection. The method reads files, so call it off the event loop.

        Raises:
            OSError: a file cannot be read, or does not hold what it should (``ssl.SSLError``).
        """
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a Docker engine, which may or may not answer.

    Attributes:
        url: ``unix:///path``, ``tcp://host:port`` or whatever was configured.
        source: the origin of the address, in words for an error message.
        tls: the TLS settings; None means plain.
        problem: the reason why the address cannot be used; empty when it can.
    """

    url: str
    source: str
    tls: Tls | None = None
    problem: str = ""

    @property
    def socket_path(self) -> str | None:
        """The path of the Unix socket; None when the engine is reached over TCP."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of an engine that is reached over TCP."""
        parts = urlsplit(self.url)
        return parts.hostname or "localhost", parts.port or (_TLS_PORT if self.tls else _PORT)

    @property
    def base_url(self) -> str:
        """The first part of the URL of requests; for a Unix socket, the host in it is a dummy."""
        if self.socket_path is not None:
            return "unix://localhost"
        host, port = self.address
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def find_endpoints(docker_host: str | None = None) -> list[Endpoint]:
    """Return the addresses to try, in order. The function reads files, so call it off the event loop.

    A chosen address (the argument, ``DOCKER_HOST``, a Docker context) is the only one: running code on another engine
    than the chosen one would be a surprise. Otherwise the addresses are the usual sockets of Docker, then of Podman.

    Args:
        docker_host: ``unix://`` or ``tcp://`` address, or the path of a socket.
    """
    if docker_host:
        return [_chosen(docker_host, "docker_host", _tls_of_environment())]
    if host := os.environ.get("DOCKER_HOST"):
        return [_chosen(host, "DOCKER_HOST", _tls_of_environment())]
    context = _current_context()
    if context is not None:
        return [context]
    home = Path.home()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = (
        (Path("/var/run/docker.sock"), "Docker's socket"),
        (runtime / "docker.sock", "rootless Docker's socket"),
        (home / ".docker/run/docker.sock", "Docker Desktop's socket"),
        (Path("/run/podman/podman.sock"), "Podman's socket"),
        (runtime / "podman/podman.sock", "rootless Podman's socket"),
    )
    return [Endpoint(url=f"unix://{path}", source=source) for path, source in sockets]


def _chosen(url: str, source: str, tls: Tls | None) -> Endpoint:
    """Return the chosen address, with its problem if it has one."""
    if url.startswith("/"):
        url = f"unix://{url}"
    scheme = url.partition("://")[0]
    if scheme == "unix":
        return Endpoint(url=url, source=source)
    if scheme == "ssh":
        return Endpoint(url=url, source=source, problem=f"ssh:// is not supported; {_SSH_HINT}")
    if scheme not in {"tcp", "http", "https"}:
        return Endpoint(url=url, source=source, problem="is not an address such as unix:///var/run/docker.sock")
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        return Endpoint(url=url, source=source, problem=f"is not an address: {error}")
    if not host:
        return Endpoint(url=url, source=source, problem="names no host")
    if tls is None and (scheme == "https" or port == _TLS_PORT):
        tls = Tls()
    return Endpoint(url=url, source=source, tls=None if scheme == "http" else tls)


def _tls_of_environment() -> Tls | None:
    """Read ``DOCKER_TLS_VERIFY``, ``DOCKER_TLS`` and ``DOCKER_CERT_PATH`` as the Docker command line does."""
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (verify or os.environ.get("DOCKER_TLS") or os.environ.get("DOCKER_CERT_PATH")):
        return None
    return _tls_of_directory(Path(os.environ.get("DOCKER_CERT_PATH") or _config_directory()), verify=verify)


def _tls_of_directory(directory: Path, *, verify: bool) -> Tls:
    """Return the TLS settings with the files of the usual names that a directory holds."""
    ca, cert, key = (
        str(path) if path.is_file() else None
        for path in (directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    )
    return Tls(ca=ca, cert=cert, key=key, verify=verify)


def _config_directory() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _current_context() -> Endpoint | None:
    """Return the engine of the current Docker context; None when that is ``default`` or there is none."""
    directory = _config_directory()
    name = os.environ.get("DOCKER_CONTEXT") or ""
    if not name:
        name = _read(directory / "config.json", _ConfigFile, _ConfigFile()).current_context
    if name in {"", "default"}:
        return None
    source = f"Docker context {name!r}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts/meta" / digest / "meta.json"
    docker = _read(meta, _Context, _Context()).endpoints.get("docker")
    if docker is None:
        return Endpoint(url="", source=source, problem=f"{meta} does not name an engine")
    tls = _tls_of_directory(directory / "contexts/tls" / digest / "docker", verify=not docker.skip_tls_verify)
    return _chosen(docker.host, source, tls if tls != Tls() else None)


class _ConfigFile(msgspec.Struct, rename="camel"):
    current_context: str = ""


class _ContextEndpoint(msgspec.Struct, rename="pascal"):
    host: str
    skip_tls_verify: bool = msgspec.field(name="SkipTLSVerify", default=False)


class _Context(msgspec.Struct, rename="pascal"):
    endpoints: dict[str, _ContextEndpoint] = {}


def _read(path: Path, type_: type[_T], default: _T) -> _T:
    """Return the content of a JSON file, or the default when it cannot be read, as the Docker command line does."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except (OSError, msgspec.DecodeError):
        return default
