"""Packages are downloaded once for all sets of packages, into a cache that no package can change or look through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import RunApp
from interpreter_tools._config.model import EngineConfig
from interpreter_tools._dependencies.indexes import IndexSettings
from interpreter_tools._dependencies.installer import CACHE_UID
from interpreter_tools._dependencies.public_store import DependencyStore
from tests.docker.index import Index, find_gateway, make_authority, serving
from tests.docker.stores import image_with, own_store
from tests.docker.toy import make_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from interpreter_tools import ExecutionEngine, RunOptions
    from interpreter_tools._docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
async def index(shared_engine: ExecutionEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Index]:
    """An index that notes what it is asked for."""
    address = await find_gateway(shared_engine)
    certificates = await asyncio.to_thread(make_authority, tmp_path_factory.mktemp("authority"), address)
    with serving(address, certificates) as plain:
        yield plain


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, index: Index) -> None:
    """Let pip take packages from the index, which speaks no TLS."""
    monkeypatch.setenv("PIP_TRUSTED_HOST", index.origin.partition("://")[2])


@pytest.fixture(scope="module")
async def without_uv(docker_client: DockerClient) -> AsyncIterator[str]:
    """An image whose Python has pip only."""
    async with image_with(docker_client, "interpreter-tools/python:1", "RUN rm /usr/local/bin/uv") as image:
        yield image


@pytest.fixture
async def make(docker_client: DockerClient, index: Index) -> AsyncIterator[Callable[..., ExecutionEngine]]:
    """Make an engine with that index and a store that nobody else uses."""
    async with own_store(docker_client) as name:

        def make(index_url: str = index.python, **settings: object) -> ExecutionEngine:
            network = {"dependency_network": "bridge", "dependency_timeout": 120.0, **settings}
            return make_engine(name, index_url=index_url, npm_registry=index.npm, **network)  # pyright: ignore[reportArgumentType]

        yield make


def downloads(index: Index, package: str) -> int:
    """How often a wheel or a tarball was fetched."""
    return sum(path.startswith((f"/wheel/{package}-", f"/npm/{package}.tgz")) for path in index.requests)


def key_of(index: Index) -> str:
    """The key of the cache of packages from an index."""
    key = IndexSettings.of(EngineConfig(index_url=index.python, npm_registry=index.npm), {}).cache_key
    assert key is not None
    return key


USES = {
    "uv": ("python", "import {0}; print({0}.X);"),
    "pip": ("python", "import {0}; print({0}.X);"),
    "npm": ("javascript", "console.log(require('{0}').X);"),
}


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("program", USES)
async def test_common_package_is_downloaded_once(
    make: Callable[..., ExecutionEngine], index: Index, without_uv: str, program: str
) -> None:
    """By whatever engine: the second set has it from the first."""
    language, use = USES[program]
    counts: list[tuple[int, int]] = []
    options: RunOptions = {"image": without_uv} if program == "pip" else {}
    for packages in (["itesta"], ["itesta", "itestb"], ["itestb"]):
        options["dependencies"] = packages
        async with make() as engine:
            code = "".join(use.format(name) for name in packages)
            result = await engine.run(language, code, **options)
            assert result.stdout == "1\n" * len(packages), result.dependency_stderr
        counts.append((downloads(index, "itesta"), downloads(index, "itestb")))
    first, second, third = counts
    assert first[0] == second[0] > 0 == first[1]
    assert third == second


async def test_many_sets_at_once_share_the_cache(make: Callable[..., ExecutionEngine], index: Index) -> None:
    """None waits for another, and none gets less."""
    async with make() as engine:
        await engine.run("python", "", dependencies=["itesta"])
        once = downloads(index, "itesta")
        sets = [["itesta", f"itest{letter}"] for letter in "bcde"]
        code = "import itesta; print(itesta.X)"
        results = await asyncio.gather(*(engine.run("python", code, dependencies=each) for each in sets))
    assert [result.stdout for result in results] == ["1\n"] * 4
    assert downloads(index, "itesta") == once


async def test_build_can_neither_change_nor_look_through_the_cache(
    make: Callable[..., ExecutionEngine], index: Index
) -> None:
    """It runs as another user, to whom nothing there has a name that can be guessed."""
    key = key_of(index)
    async with make(no_proxy=key) as engine:
        await engine.run("python", "", dependencies=["itesta"])
        code = "import itestbuilt as i; print(i.X, i.FOUND, i.ASKED, i.UID)"
        result = await engine.run("python", code, dependencies=["itestbuilt", "itesta"])
        x, found, asked, uid = result.stdout.split()
        assert (x, found, asked) == ("1", "[]", "7"), result.dependency_stderr
        assert int(uid) != CACHE_UID
        again = await engine.run("python", "import itesta; print(itesta.X)", dependencies=["itesta", "itestc"])
        assert again.stdout == "1\n"
        inside = f"""
import os
for place in ("", "/cache", "/cache/.lock", "/archive"):
    for act in (os.listdir, open):
        try:
            print(act("/.interpreter-tools-store/.{key}/target" + place))
        except OSError:
            pass
"""
        assert (await engine.run("python", inside)).stdout == ""


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("program", ["uv", "pip"])
async def test_list_that_wants_a_build_has_none_in_the_cache(
    make: Callable[..., ExecutionEngine], index: Index, without_uv: str, program: str
) -> None:
    """``--no-binary`` would allow it there, as the cache's own user."""
    code = "import itestbuilt as i; print(i.X, i.UID)"
    files = {"requirements.txt": "--no-binary itestbuilt\nitestbuilt\n", "main.py": code}
    options: RunOptions = {"files": files, "run_app": RunApp(entry_file="main.py")}
    if program == "pip":
        options["image"] = without_uv
    async with make(no_proxy=key_of(index)) as engine:
        result = await engine.run("python", "", **options)
    x, uid = result.stdout.split()
    assert x == "1", result.dependency_stderr
    assert [path for path in index.requests if "built-by" in path] == [f"/simple/built-by-{uid}/"]


async def test_script_can_neither_change_nor_look_through_the_cache(
    make: Callable[..., ExecutionEngine], index: Index
) -> None:
    """What it writes into its own installation's cache is kept for nobody."""
    key = key_of(index)
    use = "console.log(require('itesta').X, require('itestb').X)"
    async with make(no_proxy=key) as engine:
        await engine.run("javascript", "", dependencies=["itesta"])
        code = "console.log(...require('itestscript').map((each) => JSON.stringify(each)))"
        result = await engine.run("javascript", code, dependencies=["itestscript", "itesta", "itestb"])
        found, asked, poisoned, uid = result.stdout.split()
        assert (found, asked, poisoned) == ("[]", "5", "3"), result.dependency_stderr
        assert int(uid) != CACHE_UID
        once = downloads(index, "itesta"), downloads(index, "itestb")
        assert (await engine.run("javascript", use, dependencies=["itesta", "itestb"])).stdout == "1 1\n"
        assert (await engine.run("javascript", use, dependencies=["itesta", "itestb", "itestc"])).stdout == "1 1\n"
    assert (downloads(index, "itesta"), downloads(index, "itestb")) == (once[0], once[1] + 1)


async def test_index_with_a_password_has_no_cache(make: Callable[..., ExecutionEngine], index: Index) -> None:
    """What it gives to one must not come to another who has the store only."""
    async with make(index.python.replace("://", "://user:secret@")) as engine:
        assert (await engine.run("python", "", dependencies=["itesta"])).outcome == "ok"
        once = downloads(index, "itesta")
        assert (await engine.run("python", "", dependencies=["itesta", "itestb"])).outcome == "ok"
        config = engine.config
    assert downloads(index, "itesta") > once
    async with DependencyStore(config) as opened:
        entries = await opened.entries()
    assert len(entries) == 2
    assert not any(entry.is_cache for entry in entries)


async def test_cache_is_listed_and_pruned(make: Callable[..., ExecutionEngine], index: Index) -> None:
    """It goes before the sets of packages; the next set downloads anew."""
    async with make() as engine:
        await engine.run("python", "", dependencies=["itesta"])
        async with DependencyStore(engine.config) as opened:
            (cache,) = [entry for entry in await opened.entries() if entry.is_cache]
            assert cache.size > 0
            removed = await opened.prune(max_size=sum(entry.size for entry in await opened.entries()) - 1)
            assert [entry.name for entry in removed] == [cache.name]
        once = downloads(index, "itesta")
        await engine.run("python", "", dependencies=["itesta", "itestb"])
    assert downloads(index, "itesta") > once
