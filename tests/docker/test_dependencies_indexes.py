"""Where packages come from, and the way there: settings of the engine and variables of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import uuid
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from interpreter_tools import ConfigurationError, RunApp
from interpreter_tools._docker.build import build_image
from tests.cli.command import call
from tests.docker.index import NAME, Certificates, Index, find_gateway, make_authority, make_wheel, serving
from tests.docker.stores import remove_image
from tests.docker.toy import make_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools import ExecutionEngine, ExecutionResult, RunOptions
    from interpreter_tools._docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


class Servers(NamedTuple):
    """What listens on the gateway of Docker's bridge; the authority behind ``tls`` is known to nobody."""

    plain: Index
    tls: Index
    certificates: Certificates

    @property
    def bundle(self) -> str:
        """The authority's file."""
        return str(self.certificates.authority)


@pytest.fixture(scope="module")
async def servers(shared_engine: ExecutionEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Both of them."""
    address = await find_gateway(shared_engine)
    certificates = await asyncio.to_thread(make_authority, tmp_path_factory.mktemp("authority"), address)
    with serving(address, certificates) as plain, serving(address, certificates, tls=True) as tls:
        yield Servers(plain, tls, certificates)


@pytest.fixture(scope="module")
async def without_uv(docker_client: DockerClient) -> AsyncIterator[str]:
    """An image whose Python has pip only."""
    tag = f"it-test-{uuid.uuid4().hex[:12]}:1"
    dockerfile = "FROM interpreter-tools/python:1\nRUN rm /usr/local/bin/uv\n"
    await build_image(docker_client, dockerfile, tag=tag, files={}, arguments={}, on_line=lambda _: None)
    yield tag
    await remove_image(docker_client, tag)


USES = {
    "python": "import {name}; print({name}.X)",
    "javascript": "console.log(require('{name}').X)",
}
VARIABLES = frozenset(
    {"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"}
)


def fresh() -> str:
    """A package of the servers that was never installed."""
    return f"itest{uuid.uuid4().hex[:10]}"


async def install(
    store: str, language: str, *more: str, image: str | None = None, **settings: object
) -> ExecutionResult:
    """A run that uses a fresh package, in an engine with the settings."""
    name = fresh()
    options: dict[str, str] = {} if image is None or language != "python" else {"image": image}
    async with make_engine(store, size=1, dependency_network="bridge", dependency_timeout=60.0, **settings) as engine:
        return await engine.run(language, USES[language].format(name=name), dependencies=[name, *more], **options)  # pyright: ignore[reportArgumentType]


async def install_elsewhere(store: str, language: str, variables: dict[str, str]) -> tuple[str, str]:
    """The same in a process with the variables, beside which none names a certificate: what it printed, and said."""
    name = fresh()
    environment = {
        **dict.fromkeys(VARIABLES & os.environ.keys(), ""),
        "INTERPRETER_TOOLS_DEPENDENCY_STORE": store,
        "INTERPRETER_TOOLS_DEPENDENCY_TIMEOUT": "60",
        **variables,
    }
    words = ["run", "-l", language, "-c", USES[language].format(name=name), "--dep", name]
    done = await asyncio.to_thread(call, *words, environment=environment)
    return done.stdout.decode(), done.stderr.decode()


# -- indexes


@pytest.mark.parametrize(
    ("language", "setting"),
    [("python", "index_url"), ("python", "extra_index_urls"), ("javascript", "npm_registry")],
)
async def test_index_of_the_configuration(store: str, servers: Servers, language: str, setting: str) -> None:
    """Packages come from there."""
    url = servers.plain.npm if language == "javascript" else servers.plain.python
    settings: dict[str, object] = {setting: (url,) if setting == "extra_index_urls" else url}
    result = await install(store, language, image=None, **settings)
    assert result.stdout == "1\n", result.dependency_stderr


@pytest.mark.parametrize(
    ("language", "variable"),
    [
        ("python", "PIP_INDEX_URL"),
        ("python", "UV_DEFAULT_INDEX"),
        ("python", "PIP_EXTRA_INDEX_URL"),
        ("javascript", "npm_config_registry"),
    ],
)
async def test_index_of_a_variable(store: str, servers: Servers, language: str, variable: str) -> None:
    """As pip, uv and npm read it on this machine."""
    url = servers.plain.npm if language == "javascript" else servers.plain.python
    printed, said = await install_elsewhere(store, language, {variable: url})
    assert printed == "1\n", said


async def test_pip_installs_where_there_is_no_uv(store: str, servers: Servers, without_uv: str) -> None:
    """From the same index, and by pip's own rules: it takes nothing from a host that it need not trust."""
    settings = {"index_url": servers.tls.python, "ca_bundle": servers.bundle}
    result = await install(store, "python", image=without_uv, **settings)
    assert result.stdout == "1\n", result.dependency_stderr
    assert "Successfully installed itest" in result.dependency_stdout
    refused = await install(store, "python", image=without_uv, index_url=servers.plain.python)
    assert "not a trusted or secure host" in refused.dependency_stderr


# -- proxies


OPTIONS = {
    "a further index": "--extra-index-url {index}\n{name}\n",
    "another index": "-i {index}\n{name}>=1\n",
    "a page of links": "--find-links {index}{name}/\n--no-index\n{name}==1.0.0\n",
    "a wheel's address": "{wheel}\n",
    "a name for a wheel's address": "{name} @ {wheel}\n",
    "a hash": "--index-url={index}\n{name}==1.0.0 \\\n    --hash=sha256:{digest}\n",
    "a list within the list": "-r more/list.txt\n",
    "a constraint": "--extra-index-url {index}\n-c more/limits.txt\n{name}\n",
    "forms": "--extra-index-url {index}\n--only-binary :all:\n--pre\n--prefer-binary\n{name}  # a comment\n",
}


async def run_with_list(
    store: str, servers: Servers, text: str, *, image: str | None = None, hosts: bool = True
) -> ExecutionResult:
    """A run of an app whose list of packages is the text."""
    name = fresh()
    index = servers.plain
    wheel = f"{name}-1.0.0-py3-none-any.whl"
    values = {
        "name": name,
        "index": index.python,
        "wheel": f"{index.origin}/wheel/{wheel}",
        "digest": hashlib.sha256(make_wheel(wheel)).hexdigest(),
    }
    files = {
        "requirements.txt": text.format(**values),
        "more/list.txt": f"--extra-index-url {index.python}\n{name}\n",
        "more/limits.txt": f"{name}==1.0.0\n",
        "main.py": USES["python"].format(name=name),
    }
    host = urlsplit(index.origin).hostname
    settings: dict[str, object] = {"allowed_index_hosts": (host,)} if hosts else {}
    options: RunOptions = {"files": files, "run_app": RunApp(entry_file="main.py")}
    if image is not None:
        options["image"] = image
    async with make_engine(store, size=1, dependency_network="bridge", dependency_timeout=60.0, **settings) as engine:
        return await engine.run("python", "", **options)


@pytest.mark.parametrize("program", ["uv", "pip"])
@pytest.mark.parametrize("kind", OPTIONS)
async def test_options_in_a_list_of_packages(
    store: str, servers: Servers, without_uv: str, kind: str, program: str
) -> None:
    """They mean to an index what they mean to pip, for a host that is allowed."""
    image = without_uv if program == "pip" else None
    result = await run_with_list(store, servers, OPTIONS[kind], image=image)
    assert result.stdout == "1\n", result.dependency_stderr


@pytest.mark.parametrize("program", ["uv", "pip"])
async def test_wrong_hash_in_a_list_installs_nothing(
    store: str, servers: Servers, without_uv: str, program: str
) -> None:
    """What an index serves is not what the list asked for."""
    text = "--extra-index-url {index}\n{name}==1.0.0 --hash=sha256:" + "0" * 64 + "\n"
    result = await run_with_list(store, servers, text, image=without_uv if program == "pip" else None)
    assert (result.outcome, result.stdout) == ("dependency_error", "")
    assert "hash" in result.dependency_stderr.lower()


@pytest.mark.parametrize("kind", ["a further index", "another index", "a page of links", "a wheel's address"])
async def test_host_in_a_list_must_be_allowed(store: str, servers: Servers, kind: str) -> None:
    """The error has the line and the way out, and nobody was asked."""
    before = len(servers.plain.requests)
    with pytest.raises(ConfigurationError, match="allowed_index_hosts") as caught:
        await run_with_list(store, servers, OPTIONS[kind], hosts=False)
    assert caught.value.field.startswith("run_app.requirements.txt:")
    assert len(servers.plain.requests) == before


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_proxies_of_the_configuration(store: str, servers: Servers, language: str) -> None:
    """The host of the index is one that only the proxy knows; with TLS it is a tunnel."""
    for scheme in ("http", "https"):
        place = {"index_url": f"{scheme}://{NAME}/simple/", "npm_registry": f"{scheme}://{NAME}/npm/"}
        proxy = {f"{scheme}_proxy": servers.plain.origin, "ca_bundle": servers.bundle, "no_proxy": "nowhere.invalid"}
        servers.plain.requests.clear()
        result = await install(store, language, **place, **proxy)
        assert result.stdout == "1\n", result.dependency_stderr
        expected = f"http://{NAME}/" if scheme == "http" and language == "python" else ""
        assert any(path.startswith((expected or "CONNECT ", f"http://{NAME}/")) for path in servers.plain.requests)


async def test_proxy_of_a_variable(store: str, servers: Servers) -> None:
    """One that is not on this machine's loopback."""
    variables = {"PIP_INDEX_URL": f"http://{NAME}/simple/", "http_proxy": servers.plain.origin}
    printed, said = await install_elsewhere(store, "python", variables)
    assert printed == "1\n", said


async def test_hosts_that_are_reached_without_a_proxy(store: str, servers: Servers) -> None:
    """Also where a proxy is configured that would answer."""
    settings = {"index_url": servers.plain.python, "http_proxy": servers.plain.origin}
    servers.plain.requests.clear()
    host = servers.plain.origin.split("/")[2].partition(":")[0]
    result = await install(store, "python", **settings, no_proxy=host)
    assert result.stdout == "1\n", result.dependency_stderr
    assert all(path.startswith("/") for path in servers.plain.requests)


# -- certificate authorities


@pytest.mark.parametrize(("language", "program"), [("python", "uv"), ("python", "pip"), ("javascript", "npm")])
async def test_authority_of_the_configuration(
    store: str, servers: Servers, without_uv: str, language: str, program: str
) -> None:
    """Without it the index is not to be trusted."""
    image = without_uv if program == "pip" else "interpreter-tools/python:1"
    variables = {
        "INTERPRETER_TOOLS_IMAGE_PYTHON": image,
        "PIP_INDEX_URL": servers.tls.python,
        "PIP_RETRIES": "0",
        "npm_config_registry": servers.tls.npm,
        "npm_config_fetch_retries": "0",
    }
    printed, said = await install_elsewhere(store, language, variables)
    assert printed == ""
    assert "certificate" in said
    settings = {"index_url": servers.tls.python, "npm_registry": servers.tls.npm, "ca_bundle": servers.bundle}
    result = await install(store, language, image=image, **settings)
    assert result.stdout == "1\n", result.dependency_stderr


@pytest.mark.parametrize("program", ["uv", "pip"])
async def test_authority_is_trusted_beside_those_of_the_image(
    store: str, servers: Servers, without_uv: str, program: str
) -> None:
    """One package of the private index and one of the usual one, in one installation."""
    image = without_uv if program == "pip" else "interpreter-tools/python:1"
    settings = {"extra_index_urls": (servers.tls.python,), "ca_bundle": servers.bundle}
    result = await install(store, "python", "six", image=image, **settings)
    assert result.stdout == "1\n", result.dependency_stderr


async def test_npm_trusts_the_authorities_of_its_image_still(store: str, servers: Servers) -> None:
    """The usual registry answers where a private authority is configured."""
    async with make_engine(store, size=1, dependency_network="bridge", ca_bundle=servers.bundle) as engine:
        result = await engine.run("javascript", "console.log(require('is-odd')(7))", dependencies=["is-odd@3"])
    assert result.stdout == "true\n", result.dependency_stderr


@pytest.mark.parametrize(
    ("language", "variable"),
    [
        ("python", "SSL_CERT_FILE"),
        ("python", "PIP_CERT"),
        ("python", "REQUESTS_CA_BUNDLE"),
        ("javascript", "NODE_EXTRA_CA_CERTS"),
        ("javascript", "npm_config_cafile"),
    ],
)
async def test_authority_of_a_variable(store: str, servers: Servers, language: str, variable: str) -> None:
    """The contents of the file get there; another variable that leads nowhere is told of."""
    other = "CURL_CA_BUNDLE"
    place = {"PIP_INDEX_URL": servers.tls.python, "npm_config_registry": servers.tls.npm}
    printed, said = await install_elsewhere(
        store, language, {**place, variable: servers.bundle, other: "/no/such/file"}
    )
    assert printed == "1\n", said
    assert f"{other}=/no/such/file cannot be read: No such file or directory; left out" in said


@pytest.mark.parametrize("variable", ["PIP_TRUSTED_HOST", "UV_INSECURE_HOST"])
@pytest.mark.parametrize("program", ["uv", "pip"])
async def test_host_that_is_trusted_without(
    store: str, servers: Servers, without_uv: str, program: str, variable: str
) -> None:
    """As pip and uv read it on this machine, whichever of them installs."""
    variables = {"PIP_INDEX_URL": servers.tls.python, variable: servers.tls.origin.partition("://")[2]}
    if program == "pip":
        variables["INTERPRETER_TOOLS_IMAGE_PYTHON"] = without_uv
    printed, said = await install_elsewhere(store, "python", variables)
    assert printed == "1\n", said


async def test_bundle_that_goes_away_is_an_error(store: str, servers: Servers, tmp_path: Path) -> None:
    """Of the configuration, not a failed installation."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(servers.certificates.authority.read_bytes())
    async with make_engine(store, size=1, ca_bundle=str(bundle)) as engine:
        bundle.unlink()
        with pytest.raises(ConfigurationError, match=r"ca_bundle.*cannot be read"):
            await engine.run("python", "", dependencies=[fresh()])


async def test_image_without_a_shell_trusts_what_is_given(
    docker_client: DockerClient, store: str, servers: Servers
) -> None:
    """Those of the image cannot be joined to it, which is said."""
    tag = f"it-test-{uuid.uuid4().hex[:12]}:1"
    dockerfile = "FROM interpreter-tools/python:1\nRUN rm /bin/sh\n"
    await build_image(docker_client, dockerfile, tag=tag, files={}, arguments={}, on_line=lambda _: None)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(remove_image, docker_client, tag)
        result = await install(store, "python", image=tag, index_url=servers.tls.python, ca_bundle=servers.bundle)
    assert result.stdout == "1\n", result.dependency_stderr
    assert "only the given ones are trusted" in result.dependency_stderr


async def test_system_packages_come_from_a_private_repository(
    docker_client: DockerClient, store: str, servers: Servers
) -> None:
    """The authority is there while they are installed, and not in the image that results."""
    tag = f"it-test-{uuid.uuid4().hex[:12]}:1"
    setting = "/etc/apt/sources.list"
    source = f"deb [trusted=yes] {servers.tls.origin}/apt/ ./"
    dockerfile = f"FROM interpreter-tools/shell:1\nRUN rm -rf {setting}.d && echo {source!r} >{setting}\n"
    await build_image(docker_client, dockerfile, tag=tag, files={}, arguments={}, on_line=lambda _: None)
    code = "itest-tool; ls -A / | grep pem"
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(remove_image, docker_client, tag)
        async with make_engine(store, size=1, dependency_network="bridge") as engine:
            refused = await engine.run("shell", code, image=tag, dependencies=["itest-tool"])
        assert refused.outcome == "dependency_error"
        assert "certificate" in refused.dependency_stdout + refused.dependency_stderr
        async with make_engine(store, size=1, dependency_network="bridge", ca_bundle=servers.bundle) as engine:
            result = await engine.run("shell", code, image=tag, dependencies=["itest-tool"])
        assert result.stdout == "1\n", result.dependency_stderr
