"""Files of certificate authorities, which vouch for a package index."""

from __future__ import annotations

import os
import re
import stat

from interpreter_tools._exceptions import ConfigurationError

MOST_BYTES = 2 << 20
"""Of a bundle; those of distributions have a quarter of a mebibyte."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)


def read_certificates(path: str) -> list[bytes]:
    """Return the certificates of a PEM file, without its other content. The function blocks.

    Raises:
        ValueError: the file holds no certificate; the message says why.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not make us wait
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ValueError("is not a file")
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES} bytes")
    found = [match[0] for match in _CERTIFICATE.finditer(data)]
    if not found:
        raise ValueError("holds no certificate: PEM is what is read, with lines of BEGIN CERTIFICATE")
    return found


def check_bundle(path: str | None, *, field: str) -> None:
    """Refuse a file of certificate authorities that cannot be used. The function reads the file.

    Raises:
        ConfigurationError: the file does not exist, cannot be read, or holds no certificate.
    """
    if path is None:
        return
    hint = "name a PEM file on this machine; None means those that SSL_CERT_FILE and its like name"
    if not isinstance(path, str) or not path or "\0" in path:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, path, "is not a path", hint=hint)
    try:
        read_certificates(path)
    except ValueError as error:
        raise ConfigurationError(field, path, str(error), hint=hint) from None
