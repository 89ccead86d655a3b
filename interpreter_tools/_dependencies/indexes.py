"""The settings for package indexes: the configuration's, else the host's own.

Of those, only what means the same in a container, which the host's loopback does not; nor does a file of the host,
but the certificates in it do.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import msgspec

from interpreter_tools._dependencies.authorities import Authorities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._config.model import EngineConfig

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_AS_THEY_ARE = (
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "UV_HTTP_TIMEOUT",
    "npm_config_fetch_timeout",
    "npm_config_fetch_retries",
    "npm_config_strict_ssl",
    "NPM_CONFIG_STRICT_SSL",
)
_PIP_INDEX = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
_PIP_EXTRA = ("PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
_PIP_TRUSTED = ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST")
_NPM_REGISTRY = ("npm_config_registry", "NPM_CONFIG_REGISTRY")


CACHE_MARK = "0" * 16
"""The first digits of the key of a cache of packages in the store, by which it is told from the sets of packages."""


class IndexSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an installer, beside the packages.

    Attributes:
        index: where packages come from, which decides what they are: part of the key.
        network: how it gets there.
        authorities: who vouches for it. As the way there, no part of the key: another one leads to the same packages,
            and a bundle that is renewed must not have everything installed again.
    """

    index: dict[str, str]
    network: dict[str, str]
    authorities: Authorities = Authorities()

    @property
    def proxies(self) -> dict[str, str]:
        """The proxies for builds of images."""
        return {name: value for name, value in self.network.items() if name.lower() in {*_PROXIES, "no_proxy"}}

    @property
    def cache_key(self) -> str | None:
        """The key of the cache of packages from these indexes; None where one needs a password."""
        if any("@" in url for url in self.index.values()):
            return None
        return CACHE_MARK + hashlib.sha256(repr(sorted(self.index.items())).encode()).hexdigest()[len(CACHE_MARK) :]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the installer."""
        return {**self.network, **self.index}

    @classmethod
    def of(cls, config: EngineConfig, environment: Mapping[str, str] | None = None) -> Self:
        """Return the settings of an engine on this host.

        Args:
            config: its configuration, which goes before the variables.
            environment: the host's variables; None means this process's.
        """
        environment = os.environ if environment is None else environment
        index_url = config.index_url or _first(environment, _PIP_INDEX)
        extra = " ".join(config.extra_index_urls) or " ".join(
            url for url in _first_list(environment, _PIP_EXTRA).split() if _leads_away(url)
        )
        registry = config.npm_registry or _first(environment, _NPM_REGISTRY)
        index: dict[str, str] = {}
        if index_url:
            index |= dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), index_url)
        if extra:
            index |= dict.fromkeys(("PIP_EXTRA_INDEX_URL", "UV_INDEX"), extra)
        if registry:
            index["npm_config_registry"] = registry
        return cls(
            index=index,
            network=_network(config, environment),
            authorities=Authorities.of(config.ca_bundle, environment),
        )


def allowed_hosts(config: EngineConfig) -> frozenset[str]:
    """Return the hosts that a list of packages may name: those allowed, and those of the configured indexes."""
    urls = (config.index_url, *config.extra_index_urls, config.npm_registry)
    return frozenset({*config.allowed_index_hosts, *filter(None, (urlsplit(url or "").hostname for url in urls))})


def _network(config: EngineConfig, environment: Mapping[str, str]) -> dict[str, str]:
    configured = {"http_proxy": config.http_proxy, "https_proxy": config.https_proxy, "no_proxy": config.no_proxy}
    network: dict[str, str] = {}
    for name, value in environment.items():
        proxied = name.lower() in _PROXIES and _leads_away(value)
        if value and (proxied or name.lower() == "no_proxy" or name in _AS_THEY_ARE):
            network[name] = value
    for name, value in configured.items():
        if value is not None:  # in both spellings, as some programs read the one and some the other
            network |= {name: value, name.upper(): value}
    trusted = _first_list(environment, _PIP_TRUSTED)
    return network | (dict.fromkeys(_PIP_TRUSTED, trusted) if trusted else {})


def _first_list(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if _leads_away(environment.get(name, ""))), "")


def _leads_away(url: str) -> bool:
    """Return True when a URL means the same in a container: it names neither a file of this host nor its loopback."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in {"http", "https", "socks5", "socks5h", "socks4"} or not host or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return not host.endswith(".localhost")
