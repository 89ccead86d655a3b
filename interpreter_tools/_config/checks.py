"""Checks of single values: amounts as people write them, variables, contents, networks, proxies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from interpreter_tools._exceptions import ConfigurationError

K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E", bound=Mapping[str, str])

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SCHEMES = ("http", "https", "socks4", "socks5", "socks5h")
_VARIABLE = re.compile(r"[^=\0\ud800-\udc7f\udd00-\udfff]+")  # of surrogates only those that stand for a byte
_VALUE = re.compile(r"[^\0\ud800-\udc7f\udd00-\udfff]*")
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")  # Docker's rule; also keeps away Podman's "ns:/path"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])i?)?b?", re.IGNORECASE)


def parse_size(value: str | int, *, field: str, least: int = 1) -> int:
    """Return the bytes of a number or a text such as ``"512m"``, ``"1.5g"`` or ``"64 KiB"`` (powers of 1024).

    Raises:
        ConfigurationError: the value is not an amount, or is below ``least`` bytes.
    """
    hint = "give bytes, or a text such as '512m' or '1.5g'"
    if isinstance(value, bool) or not isinstance(value, (int, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, value, "is not a size", hint=hint)
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ConfigurationError(field, value, "is not a size", hint=hint)
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    else:
        size = value
    if size < least:
        raise ConfigurationError(field, value, f"is too small: the least is {least} bytes", hint=hint)
    if size > 1 << 50:
        raise ConfigurationError(field, value, "is larger than any machine", hint=hint)
    return math.floor(size)


def parse_cpus(value: str | float, *, field: str) -> float:
    """Return the cores of a number or a text such as ``"0.5"``.

    Raises:
        ConfigurationError: the value is not a number of cores, or not at least 0.01 of one.
    """
    hint = "give a number of cores such as 0.5 or '2'"
    try:
        cpus = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        cpus = math.nan
    if not 0.01 <= cpus <= 4096:
        raise ConfigurationError(field, value, "is not a number of cores", hint=hint)
    return cpus


def check_seconds(value: float | None, *, field: str) -> float | None:
    """Return a number of seconds unchanged; None means no limit.

    Raises:
        ConfigurationError: the value is not a number above zero and below 40 days.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not 0 < value < 40 * 86400:
        hint = "give seconds above 0, or None for no limit"
        raise ConfigurationError(field, value, "is not a time in seconds", hint=hint)
    return float(value)


def check_count(value: int, *, field: str, least: int) -> int:
    """Return a count unchanged.

    Raises:
        ConfigurationError: the value is not a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, value, f"is not a whole number of at least {least}")
    return value


def check_mapping(value: Mapping[K, V], *, field: str) -> Mapping[K, V]:
    """Return a dictionary unchanged.

    Raises:
        ConfigurationError: the value is not a dictionary.
    """
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, value, "is not a dictionary", hint="leave it out, or give {} for none")
    return value


def as_bytes(value: str | bytes | bytearray | memoryview, *, field: str) -> bytes:
    """Return contents as bytes; a text is encoded as UTF-8.

    Raises:
        ConfigurationError: the value is neither text nor bytes, or the text holds a lone surrogate.
    """
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            hint = "give bytes: text.encode('utf-8', 'surrogateescape')"
            raise ConfigurationError(field, "...", "holds a lone surrogate, which UTF-8 cannot", hint=hint) from None
    if not isinstance(value, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, type(value).__name__, "is neither text nor bytes")
    return bytes(value)


def check_environment(environment: E, *, field: str) -> E:
    """Return environment variables unchanged.

    Raises:
        ConfigurationError: a name is empty or holds ``=``, or a name or value holds NUL or a lone surrogate.
    """
    check_mapping(environment, field=field)
    for name, value in environment.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"{field}.{name}", name, "is not a name of a variable", hint="give a text without = and NUL"
            )
        if not isinstance(value, str) or not _VALUE.fullmatch(value):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"{field}.{name}", value, "is not a value of a variable: a text without NUL")
    return environment


def check_directory(path: str, *, field: str) -> None:
    """Refuse a value that is not an absolute path in a container.

    Raises:
        ConfigurationError: the value is not such a path, or holds NUL or a lone surrogate.
    """
    if not path.startswith("/") or not _VALUE.fullmatch(path):
        raise ConfigurationError(field, path, "is not an absolute path", hint="give one such as '/workspace/sub'")


def check_text(text: str, *, field: str) -> None:
    """Refuse a text that no system call takes.

    Raises:
        ConfigurationError: the text holds NUL or a lone surrogate.
    """
    if not _VALUE.fullmatch(text):
        raise ConfigurationError(field, text, "holds NUL or a lone surrogate")


def check_choice(value: str, choices: tuple[str, ...], *, field: str) -> None:
    """Refuse a value that is not among the choices.

    Raises:
        ConfigurationError: the value is not among them.
    """
    if value not in choices:
        raise ConfigurationError(field, value, "is not a choice", hint=f"known: {', '.join(map(repr, choices))}")


def check_network(name: str, *, field: str) -> None:
    """Refuse a value that is not the name of a Docker network, or that opens the host to the sandbox.

    Raises:
        ConfigurationError: the value is such a one.
    """
    if not name:
        raise ConfigurationError(field, name, "is empty", hint="use 'none' for no network")
    if name == "host" or name.startswith(("container:", "ns:")):
        raise ConfigurationError(field, name, "would open the host to the sandbox", hint="use 'bridge', or 'none'")
    if not _NETWORK.fullmatch(name):
        hint = "`docker network ls` lists them"
        raise ConfigurationError(field, name, "is not a name of a Docker network", hint=hint)


def check_proxy(url: str | None, *, field: str) -> None:
    """Refuse a text that is no address of a proxy.

    Raises:
        ConfigurationError: the text is no such address.
    """
    if url is None:
        return
    hint = "give a URL, such as 'http://proxy.example:3128'; None means what the variables say"
    if not isinstance(url, str) or not url.isprintable() or " " in url:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, url, "is not a URL", hint=hint)
    try:
        parts = urlsplit(url)
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(field, _without_password(url), "is not a URL of a proxy", hint=hint)


def check_no_proxy(hosts: str | None, *, field: str) -> None:
    """Refuse a text that is no list of hosts.

    Raises:
        ConfigurationError: the text is no such list.
    """
    if hosts is not None and (not isinstance(hosts, str) or not hosts.isprintable()):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "give names between commas, such as 'localhost,.example'; '*' means no proxy at all"
        raise ConfigurationError(field, hosts, "is not a list of hosts in one text", hint=hint)


def _without_password(url: str) -> str:
    before, at, host = url.rpartition("@")
    return f"{before.partition('://')[0]}://...@{host}" if at else url
