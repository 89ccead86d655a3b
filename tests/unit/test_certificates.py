"""Proxies and certificate authorities, as they are configured."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ConfigurationError, EngineConfig
from interpreter_tools._config.certificates import MOST_BYTES, read_certificates
from interpreter_tools._dependencies.authorities import JOIN, Authorities, of_image, variables

if TYPE_CHECKING:
    from pathlib import Path

ONE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
TWO = "-----BEGIN CERTIFICATE-----\r\nMIIC\r\n-----END CERTIFICATE-----"
KEY = "-----BEGIN PRIVATE KEY-----\nMIID\n-----END PRIVATE KEY-----"


def test_only_certificates_of_a_file_are_taken(tmp_path: Path) -> None:
    """Keys and comments stay here."""
    file = tmp_path / "x.pem"
    file.write_bytes(f"\ufeff# an authority\n{ONE}\n{KEY}\n{TWO}".encode())
    assert read_certificates(str(file)) == [ONE.encode(), TWO.encode()]
    EngineConfig(ca_bundle=str(file))


@pytest.mark.parametrize(
    ("contents", "reason"),
    [(None, "No such file"), (KEY, "no certificate"), ("", "no certificate"), (ONE + "#" * MOST_BYTES, "larger than")],
)
def test_bundle_that_is_of_no_use_is_refused(tmp_path: Path, contents: str | None, reason: str) -> None:
    """When it is configured, before anything is made."""
    file = tmp_path / "x.pem"
    if contents is not None:
        file.write_text(contents)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        EngineConfig(ca_bundle=str(file))
    assert caught.value.field == "ca_bundle"


def test_bundle_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """One without a writer must not make anybody wait."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ConfigurationError, match="is not a file"):
            EngineConfig(ca_bundle=str(path))


@pytest.mark.parametrize("field", ["http_proxy", "https_proxy"])
@pytest.mark.parametrize("url", ["", "proxy.example:3128", "ftp://proxy.example", "http://x:y", "http://a b"])
def test_proxy_that_is_no_url_is_refused(field: str, url: str) -> None:
    """Named by its field."""
    with pytest.raises(ConfigurationError, match=field):
        EngineConfig(**{field: url})  # pyright: ignore[reportArgumentType]


def test_password_of_a_proxy_is_not_told() -> None:
    """An error may end in a log."""
    with pytest.raises(ConfigurationError) as caught:
        EngineConfig(http_proxy="ftp://me:secret@proxy.example")
    assert "secret" not in str(caught.value)
    EngineConfig(http_proxy="http://me:secret@proxy.example:3128", https_proxy="socks5h://proxy.example")


def test_proxies_come_from_a_file_and_variables() -> None:
    """As every other setting."""
    environ = {"INTERPRETER_TOOLS_HTTPS_PROXY": "http://proxy.example:3128", "INTERPRETER_TOOLS_NO_PROXY": "a,.b"}
    config = EngineConfig.load(environ=environ)
    assert (config.https_proxy, config.no_proxy, config.http_proxy) == ("http://proxy.example:3128", "a,.b", None)


async def test_authorities_of_all_variables_together(tmp_path: Path) -> None:
    """Each certificate once; what is configured goes before all of them."""
    one, two, told = tmp_path / "1", tmp_path / "2", list[bytes]()
    one.write_text(f"{ONE}\n")
    two.write_text(f"{ONE}\n{TWO}\n")
    environment = {"SSL_CERT_FILE": str(one), "PIP_CERT": str(one), "npm_config_cafile": str(two)}
    authorities = Authorities.of(None, {**environment, "CURL_CA_BUNDLE": "/no/such", "REQUESTS_CA_BUNDLE": ""})
    assert await authorities.read(lambda _, data: told.append(data)) == f"{ONE}\n{TWO}\n".encode()
    assert told == [b"interpreter-tools: CURL_CA_BUNDLE=/no/such cannot be read: No such file or directory; left out\n"]
    configured = Authorities.of(str(one), environment)
    assert await configured.read(lambda _, data: told.append(data)) == f"{ONE}\n".encode()


def test_npm_is_told_of_a_file_only_where_it_had_one() -> None:
    """Else it would trust nothing that Node.js trusts by itself."""
    assert "npm_config_cafile" not in variables("/x", {"SSL_CERT_FILE": "/y"})
    assert variables("/x", {"npm_config_cafile": "/y"})["npm_config_cafile"] == "/x"
    assert of_image({"npm_config_cafile": "/y", "SSL_CERT_FILE": "/z", "PIP_CERT": "/z"})[:2] == ["/z", "/y"]


def test_files_of_an_image_are_joined_line_by_line(tmp_path: Path) -> None:
    """Also where one does not end its last line; what is not there, or no file, is passed over."""
    for name, text in (("target", f"{ONE}\n"), ("a", ONE), ("b", TWO)):
        (tmp_path / name).write_bytes(text.encode())
    files = [tmp_path / "target", tmp_path / "a", tmp_path / "none", tmp_path, tmp_path / "b"]
    subprocess.run(["sh", "-c", JOIN, "sh", *map(str, files)], check=True)
    assert read_certificates(str(files[0])) == [ONE.encode(), ONE.encode(), TWO.encode()]
