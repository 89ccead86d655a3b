"""What is read from the machine's own configuration."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from interpreter_tools.setup.host import (
    build_environment,
    choose_sources,
    dearmor,
    find_bundle,
    parse_apt_settings,
    parse_sources,
    read_os_release,
    split_certificates,
)

if TYPE_CHECKING:
    from pathlib import Path

UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nID_LIKE=debian\n'
MINT = 'PRETTY_NAME="Linux Mint 22"\nID=linuxmint\nID_LIKE="ubuntu debian"\n'


@pytest.mark.parametrize(
    ("text", "identifier", "has_apt"),
    [
        (UBUNTU, "ubuntu", True),
        (MINT, "linuxmint", True),
        ("ID=debian\n", "debian", True),
        ('ID="fedora"\nPRETTY_NAME="Fedora Linux 41"\n', "fedora", False),
    ],
)
def test_distributions_with_apt_are_known_by_their_family(text: str, identifier: str, has_apt: bool):
    """A derivative counts as what it descends from."""
    release = read_os_release(text)
    assert (release.identifier, release.has_apt) == (identifier, has_apt)


def test_settings_with_secrets_do_not_stay_in_an_image():
    """Credentials, files of the host and proxies on its loopback are for the build only; hooks are for neither."""
    settings = parse_apt_settings(
        'Acquire::Check-Date "false";\n'
        'Acquire::http::Proxy "http://user:password@proxy.example:3128";\n'
        'Acquire::https::Proxy "http://proxy.example:3128";\n'
        'Acquire::http::Proxy::mirror.example "DIRECT";\n'
        'Acquire::ftp::Proxy "http://127.0.0.1:3142";\n'
        'Acquire::https::CAInfo "/etc/company.pem";\n'
        'Acquire::http::Proxy-Auto-Detect "/usr/local/bin/find-proxy";\n'
        'Acquire::IndexTargets::deb::Packages::Optional "0";\n'
        'DPkg::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb";\n'
        'Acquire::http "";\n'
    )
    assert settings.lasting == (
        'Acquire::Check-Date "false";',
        'Acquire::https::Proxy "http://proxy.example:3128";',
        'Acquire::http::Proxy::mirror.example "DIRECT";',
    )
    assert settings.passing == (
        'Acquire::http::Proxy "http://user:password@proxy.example:3128";',
        'Acquire::ftp::Proxy "http://127.0.0.1:3142";',
        'Acquire::https::CAInfo "/etc/company.pem";',
    )
    assert settings.proxies == {
        "http_proxy": "http://user:password@proxy.example:3128",
        "https_proxy": "http://proxy.example:3128",
    }


def test_only_the_distributions_own_repositories_are_chosen():
    """What a third party adds to the host, and what was never fetched, is left out."""
    sources = parse_sources(
        "Debian|http://mirror.example/debian/|bookworm|main\n"
        "Debian|http://mirror.example/debian-security/|bookworm-security|main\n"
        "Vendor|https://apt.example/|bookworm|main\n"
        "$(ORIGIN)|https://new.example/|bookworm|main\n"
        "N: a line of another kind\n"
    )
    assert len(sources) == 4
    chosen = choose_sources(sources, frozenset({"debian"}))
    assert [source.release for source in chosen] == ["bookworm", "bookworm-security"]


def test_armoured_keys_become_binary():
    """Both forms end up as the bytes that gpgv reads; the checksum line is no part of them."""
    key = bytes(range(200))
    text = base64.encodebytes(key).replace(b"\n", b"\r\n")
    for head in (b"", b"Version: 1\r\nComment: two lines\r\n"):
        armoured = (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n"
            + head
            + b"\r\n"
            + text
            + b"=abcd\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n"
        )
        assert dearmor(armoured) == key
    assert dearmor(key) == key


def test_certificates_are_split_one_by_one():
    """Comments between them do not matter."""
    one = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    two = one.replace("MIIB", "MIIC")
    assert split_certificates(f"# a name\n{one}\n# another\n{two}") == [one, two]


def test_bundle_named_by_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """SSL_CERT_FILE wins where it names a file, and is ignored where it does not."""
    bundle = tmp_path / "bundle.crt"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert find_bundle() != bundle
    bundle.write_text("")
    assert find_bundle() == bundle


def test_builds_see_proxies_and_nothing_else_of_ours(monkeypatch: pytest.MonkeyPatch):
    """Secrets in the environment of whoever runs the set-up do not reach the scripts of packages."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://npm.example/")
    environment = build_environment("/root")
    assert "secret" not in environment.values()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["NPM_CONFIG_REGISTRY"] == "https://npm.example/"
