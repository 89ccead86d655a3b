"""A certificate authority of this machine, for servers whose clients reach each sandbox by a host name of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trustme

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRIVATE = 0o600


class LocalAuthority:
    """An authority whose certificate clients trust, and that makes the certificates of servers.

    It stays the same from start to start, so that it is trusted once. Its key lets whoever reads it pretend to be any
    server to these clients: only its user may read it.

    Attributes:
        file: the PEM file of its certificate.
    """

    def __init__(self, authority: trustme.CA, file: Path) -> None:
        self._authority = authority
        self.file = file

    @classmethod
    def open(cls, directory: Path | None = None) -> Self:
        """Return the authority of a directory, made where there is none. The call blocks.

        Args:
            directory: the directory; None means the user's data directory.

        Raises:
            ConfigurationError: the files cannot be read or written.
        """
        base = Path(os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser())
        directory = directory or base / "interpreter-tools" / "authority"
        file, key = directory / "authority.pem", directory / "authority.key"
        try:
            if file.exists():
                return cls(trustme.CA.from_pem(file.read_bytes(), key.read_bytes()), file)
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            authority = trustme.CA(organization_name="interpreter-tools", organization_unit_name=str(directory))
            _write(key, authority.private_key_pem.bytes(), _PRIVATE)
            _write(file, authority.cert_pem.bytes(), 0o644)
        except (OSError, ValueError) as error:
            hint = "remove its files to have a new one, or give --tls-cert and --tls-key"
            raise ConfigurationError("--domain", str(directory), f"holds no authority: {error}", hint=hint) from None
        return cls(authority, file)

    def certify(self, names: Sequence[str], directory: Path) -> tuple[Path, Path]:
        """Write a certificate for names or addresses, and its key, into a directory, and return both paths."""
        leaf = self._authority.issue_cert(*names, common_name=names[0])
        cert, key = directory / "server.pem", directory / "server.key"
        _write(cert, b"".join(pem.bytes() for pem in leaf.cert_chain_pems), 0o644)
        _write(key, leaf.private_key_pem.bytes(), _PRIVATE)
        return cert, key


def _write(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:  # noqa: PTH123 - with a mode
        file.write(data)
