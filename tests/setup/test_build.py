"""Images built from the distribution's packages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools.setup import Progress, refuse
from interpreter_tools.setup.build import ImageBuilder
from interpreter_tools.setup.cache import BuildCache, default_cache
from interpreter_tools.setup.errors import ProgramFailed
from interpreter_tools.setup.host import find_bundle, split_certificates
from interpreter_tools.setup.recipes import SHELL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools._docker import DockerClient

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(600),  # the first of them makes the base system
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can build images"),
]

IMAGE = "interpreter-tools-test/built:1"
RECIPE = msgspec.structs.replace(
    SHELL, image=IMAGE, packages=("ca-certificates", "jq"), checks=(("jq", "--version"),), unwanted=("etc/debian_*",)
)
PROBE = """
jq --version
cat /etc/hosts
ls -d /etc/debian_version /root/.npmrc /etc/apt/apt.conf.d/91host-passing 2>/dev/null
ls /dev/null /proc/1/status
grep -c BEGIN /etc/ssl/certs/ca-certificates.crt
"""
BUILDER = """
import sys, anyio
from pathlib import Path
from interpreter_tools._docker import DockerClient
from interpreter_tools.setup import refuse
from interpreter_tools.setup.build import ImageBuilder
from interpreter_tools.setup.cache import BuildCache
from tests.setup.test_build import RECIPE

async def main():
    cache = BuildCache(Path(sys.argv[1]))
    async with await DockerClient.connect() as client, cache.locked(on_wait=lambda: None):
        builder = await ImageBuilder.prepare(client, cache, consent=refuse, report=lambda event: None)
        print("building", flush=True)
        await builder.build(RECIPE)

anyio.run(main)
"""


@pytest.fixture(scope="module")
async def cache(docker_client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    """A cache of the tests' own, with the base system of the user's."""
    shared = BuildCache(default_cache())
    async with shared.locked(on_wait=lambda: None):
        await ImageBuilder.prepare(docker_client, shared, consent=refuse, report=lambda _event: None)
    own = BuildCache(tmp_path_factory.mktemp("cache"))
    for archive in shared.root.glob("base-*.tar"):
        (own.root / archive.name).symlink_to(archive)
    return own


@pytest.fixture(autouse=True)
async def _no_image(docker_client: DockerClient) -> AsyncIterator[None]:
    await docker_client.remove_image(IMAGE)
    yield
    await docker_client.remove_image(IMAGE)


async def make_builder(client: DockerClient, cache: BuildCache, events: list[Progress]) -> ImageBuilder:
    """A builder whose events are collected."""
    return await ImageBuilder.prepare(client, cache, consent=refuse, report=events.append)


def trees(cache: BuildCache) -> list[Path]:
    """What builds have left in a cache."""
    return list(cache.root.glob("work-*"))


def mounts_beneath(cache: BuildCache) -> list[str]:
    """Mounts on this machine that belong to a build."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(cache.root) in line]


def programs_beneath(cache: BuildCache) -> list[str]:
    """Programs that run in a build's tree, or name it."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                root = str((entry / "root").readlink())
            except OSError:
                continue
            if str(cache.root) in root or str(cache.root) in words:
                found.append(words)
    return found


async def test_built_image_runs_code_in_a_sandbox(docker_client: DockerClient, cache: BuildCache):
    """It holds what the recipe says, trusts what the host trusts, and nothing of the build."""
    events: list[Progress] = []
    async with cache.locked(on_wait=lambda: None):
        await (await make_builder(docker_client, cache, events)).build(RECIPE)
    async with ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0))) as engine:
        result = await engine.run("shell", PROBE, image=IMAGE)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("jq-")
    assert "127.0.0.1 localhost" in result.stdout or "127.0.0.1\tlocalhost" in result.stdout
    assert lines[-3:-1] == ["/dev/null", "/proc/1/status"]
    assert "91host" not in result.stdout
    assert "debian_version" not in result.stdout
    bundle = find_bundle()
    assert bundle is not None
    assert int(lines[-1]) >= len(split_certificates(bundle.read_text()))
    assert not trees(cache)
    fractions = [event.fraction for event in events if event.step == IMAGE and event.fraction is not None]
    assert fractions == sorted(fractions)


async def test_failed_build_leaves_nothing(docker_client: DockerClient, cache: BuildCache):
    """No image, no tree, no mount; the error is the program's."""
    recipe = msgspec.structs.replace(RECIPE, packages=("ca-certificates", "no-such-package"))
    async with cache.locked(on_wait=lambda: None):
        builder = await make_builder(docker_client, cache, [])
        with pytest.raises(ProgramFailed, match="no-such-package"):
            await builder.build(recipe)
    assert (trees(cache), mounts_beneath(cache)) == ([], [])
    assert await docker_client.inspect_image(IMAGE) is None


async def test_image_that_fails_its_check_is_not_used(docker_client: DockerClient, cache: BuildCache):
    """Whatever else went well."""
    recipe = msgspec.structs.replace(RECIPE, checks=(("jq", "--no-such-option"),))
    async with cache.locked(on_wait=lambda: None):
        builder = await make_builder(docker_client, cache, [])
        with pytest.raises(ProgramFailed, match="no-such-option"):
            await builder.build(recipe)
    assert await docker_client.inspect_image(IMAGE) is None


async def test_cancelled_build_leaves_nothing(docker_client: DockerClient, cache: BuildCache):
    """Its programs are dead and its tree is gone when the cancellation is over."""
    async with cache.locked(on_wait=lambda: None):
        builder = await make_builder(docker_client, cache, [])
        with anyio.move_on_after(3):
            await builder.build(RECIPE)
    assert (trees(cache), mounts_beneath(cache), programs_beneath(cache)) == ([], [], [])


def test_killed_build_leaves_only_files_and_the_next_removes_them(cache: BuildCache):
    """Its programs and mounts go with it, though nobody could clean up."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", BUILDER, str(cache.root)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, start_new_session=True) as build:
        assert build.stdout is not None
        assert build.stdout.readline() == b"building\n"
        time.sleep(2)
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
    deadline = time.monotonic() + 5
    while programs_beneath(cache) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (programs_beneath(cache), mounts_beneath(cache)) == ([], [])
    assert trees(cache)

    async def lock() -> None:
        async with cache.locked(on_wait=lambda: None):
            pass

    anyio.run(lock)
    assert not trees(cache)
