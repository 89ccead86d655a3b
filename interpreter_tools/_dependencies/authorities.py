"""Certificate authorities that installers trust beside those of their image.

A file of this machine means nothing in a container, so its certificates go there, in one file with those that the image
has: most programs that are told of a file trust nothing else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.certificates import read_certificates
from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._dependencies.sink import Sink

FILE = "interpreter-tools-authorities.pem"
"""The name of the file in a container."""

CONFIGURED = "ca_bundle"

_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_NPM = ("npm_config_cafile", "NPM_CONFIG_CAFILE")  # puts an end to what Node.js trusts by itself: never set needlessly
_USUAL = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # OpenSSL's own
)

JOIN = (
    "target=$1; shift; "
    'for file; do if [ -f "$file" ] && [ -r "$file" ]; then cat -- "$file" && echo || exit; fi; done >>"$target"'
)
"""A script of sh that adds the image's authorities; its arguments are that file, and those that ``of_image`` names."""


class Authorities(msgspec.Struct, frozen=True):
    """The files that certificate authorities come from.

    Attributes:
        files: paths on this machine, by the setting or variable that names them.
    """

    files: dict[str, str] = {}

    @classmethod
    def of(cls, configured: str | None, environment: Mapping[str, str]) -> Authorities:
        """Return the files of the configuration, else those of every variable that programs of this machine use."""
        if configured is not None:
            return cls({CONFIGURED: configured})
        files: dict[str, str] = {}
        for name in (*_VARIABLES, *_NPM):
            path = environment.get(name)
            if path and path not in files.values():
                files[name] = path
        return cls(files)

    async def read(self, sink: Sink) -> bytes:
        """Return the certificates, each once; empty when there are none. The sink gets a note about a missing file.

        Raises:
            ConfigurationError: the file of the configuration cannot be read any more.
        """
        found: dict[bytes, None] = {}
        for name, path in self.files.items():
            try:
                found |= dict.fromkeys(await asyncio.to_thread(read_certificates, path))
            except ValueError as error:
                if name == CONFIGURED:
                    raise ConfigurationError(name, path, str(error)) from None
                sink("dependency_stderr", f"interpreter-tools: {name}={path} {error}; left out\n".encode())
        return b"".join(certificate + b"\n" for certificate in found)


def of_image(image_environment: Mapping[str, str]) -> list[str]:
    """Return the files in which an image may have its own authorities."""
    named = (image_environment.get(name) for name in (*_VARIABLES, *_NPM))
    return list(dict.fromkeys(filter(None, (*named, *_USUAL))))


def variables(path: str, image_environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make programs trust the authorities in a file of the container."""
    return dict.fromkeys((*_VARIABLES, *(name for name in _NPM if name in image_environment)), path)
