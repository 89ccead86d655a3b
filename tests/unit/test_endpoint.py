"""Where a Docker engine is looked for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._docker.endpoint import Endpoint, Tls, find_endpoints

if TYPE_CHECKING:
    from pathlib import Path

_VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "XDG_RUNTIME_DIR")


@pytest.fixture(autouse=True)
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty configuration directory of Docker's command line, and no variables of it."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def write_context(config: Path, name: str, host: str, *, skip_verify: bool = False, tls: bool = False) -> Path:
    """A Docker context, as ``docker context create`` lays it down; returns the directory of its TLS files."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts/meta" / digest
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_verify}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    directory = config / "contexts/tls" / digest / "docker"
    if tls:
        directory.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (directory / file).write_text("")
    return directory


def test_usual_sockets_where_nothing_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's sockets come before Podman's, the system's before the user's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert [endpoint.url for endpoint in find_endpoints()] == [
        "unix:///var/run/docker.sock",
        "unix:///run/user/7/docker.sock",
        "unix:///home/somebody/.docker/run/docker.sock",
        "unix:///run/podman/podman.sock",
        "unix:///run/user/7/podman/podman.sock",
    ]


def test_chosen_address_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another variable nor a usual socket stands in for an engine that somebody chose."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    assert find_endpoints("unix:///tmp/mine.sock") == [Endpoint(url="unix:///tmp/mine.sock", source="docker_host")]
    assert find_endpoints("/tmp/mine.sock")[0].socket_path == "/tmp/mine.sock"


def test_docker_host_comes_before_the_context(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    """As in Docker's command line."""
    write_context(config, "work", "unix:///work.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "work")
    assert [endpoint.url for endpoint in find_endpoints()] == ["unix:///work.sock"]
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    assert find_endpoints() == [Endpoint(url="tcp://elsewhere:2375", source="DOCKER_HOST")]


def test_current_context_of_the_configuration(config: Path) -> None:
    """``docker context use`` counts, with the context's TLS files."""
    directory = write_context(config, "work", "tcp://engine:2376", tls=True)
    (config / "config.json").write_text('{"auths": {}, "currentContext": "work"}')
    (endpoint,) = find_endpoints()
    files = [str(directory / name) for name in ("ca.pem", "cert.pem", "key.pem")]
    assert endpoint.source == "Docker context 'work'"
    assert endpoint.tls == Tls(ca=files[0], cert=files[1], key=files[2])
    assert endpoint.base_url == "https://engine:2376"


def test_context_may_skip_verification(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``skip-tls-verify`` of a context is respected."""
    write_context(config, "lab", "tcp://engine:2376", skip_verify=True)
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    assert find_endpoints()[0].tls == Tls(verify=False)


def test_default_context_means_the_usual_sockets(config: Path) -> None:
    """``default`` is a context without a file."""
    (config / "config.json").write_text('{"currentContext": "default"}')
    assert len(find_endpoints()) == 5


def test_broken_context_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context that does not exist is a problem to be told, not a reason to run somewhere else."""
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    (endpoint,) = find_endpoints()
    assert endpoint.source == "Docker context 'gone'"
    assert "meta.json does not name an engine" in endpoint.problem


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://me@host", "forward its socket"),
        ("npipe:////./pipe/docker_engine", "is not an address"),
        ("tcp://", "names no host"),
        ("tcp://host:port", "is not an address"),
        ("engine:2375", "is not an address"),
    ],
)
def test_unusable_address_says_why(url: str, words: str) -> None:
    """What cannot be used is listed with its reason."""
    assert words in find_endpoints(url)[0].problem


def test_tls_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` work as in Docker's command line."""
    (tmp_path / "ca.pem").write_text("")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert find_endpoints("tcp://engine")[0].tls == Tls(ca=str(tmp_path / "ca.pem"), verify=False)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    (endpoint,) = find_endpoints("tcp://engine")
    assert endpoint.tls == Tls(ca=str(tmp_path / "ca.pem"))
    assert endpoint.address == ("engine", 2376)
    assert find_endpoints("unix:///a.sock")[0].tls is None


def test_base_url_of_an_ipv6_address() -> None:
    """The brackets stay."""
    assert find_endpoints("tcp://[::1]:99")[0].base_url == "http://[::1]:99"
