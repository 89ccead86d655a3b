"""Images that declare how they want to be run: it does not matter here."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerConfig, ContainerStrategy, EngineConfig, ExecutionEngine, Mount, PoolConfig
from interpreter_tools._docker.build import build_image
from tests.watch import ONE_SHOT, idle_container, inspect_container

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL

DOCKERFILE = """
FROM {base}
RUN mkdir -p /data /workspace/deep && echo kept > /data/file && chmod -R 0777 /data && ln -s /data /link
ENV FROM_IMAGE=yes HOME=/data
WORKDIR /data
VOLUME /data /workspace /tmp /workspace/deep /srv/new
EXPOSE 80 443/udp
HEALTHCHECK --interval=1s CMD touch /tmp/unhealthy; exit 1
STOPSIGNAL SIGQUIT
ONBUILD RUN exit 1
SHELL ["/bin/false", "-c"]
USER nobody
ENTRYPOINT ["/bin/false", "entrypoint"]
CMD ["cmd"]
"""

LOOK = """
import errno, json, os
def attempt(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return errno.errorcode[error.errno]
print(json.dumps({
    "cwd": os.getcwd(),
    "image": os.environ["FROM_IMAGE"],
    "written": {
        path: attempt(path + "/new")
        for path in ("/data", "/link", "/srv/new", "/workspace/deep", "/workspace", "/tmp")
    },
    "workspace": sorted(os.listdir("/workspace")),
    "tmp": sorted(os.listdir("/tmp")),
    "processes": sorted(open(f"/proc/{pid}/comm").read().strip() for pid in os.listdir("/proc") if pid.isdigit()),
    "uid": os.getuid() >= 10000,
}))
"""


@pytest.fixture(scope="module")
async def image(docker_client: DockerClient) -> AsyncIterator[str]:
    """An image that wants to be everything but a sandbox."""
    tag = f"it-test-{uuid.uuid4().hex[:12]}:1"
    dockerfile = DOCKERFILE.format(base="interpreter-tools/python:1")
    await build_image(docker_client, dockerfile, tag=tag, files={}, arguments={}, on_line=lambda _: None)
    yield tag
    await docker_client.remove_image(tag)


@pytest.fixture
async def engine(image: str) -> AsyncIterator[ExecutionEngine]:
    """An engine that uses it."""
    config = EngineConfig(
        container=ContainerConfig(image=image), prewarm=(), pool=PoolConfig(min_size=0, max_size=1, wait_timeout=60)
    )
    async with ExecutionEngine(config) as engine:
        yield engine


async def test_declarations_are_read(docker_client: DockerClient, image: str) -> None:
    """As far as they matter: places for volumes."""
    info = await docker_client.inspect_image(image)
    assert info is not None
    assert info.volumes == ("/data", "/srv/new", "/tmp", "/workspace", "/workspace/deep")


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_code_runs_as_in_any_image(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """No entry point, user, directory or health check of the image's; its variables count."""
    for _ in range(2):
        result = await engine.run("python", LOOK, strategy=strategy)
        found = json.loads(result.check().stdout)
        assert found["cwd"] == "/workspace"
        assert found["image"] == "yes"
        assert found["uid"]
        booted_ahead = [] if result.isolation == "sandbox" else ["python3"]  # which a sandbox does not see
        assert found["processes"] == [*booted_ahead, "python3", "supervisor"]
        assert found["workspace"] == ["deep", "main.py", "new"]
        assert "unhealthy" not in found["tmp"]
        assert found["written"] == {
            "/data": "EROFS",
            "/link": "EROFS",
            "/srv/new": "EROFS",
            "/workspace/deep": "EROFS",
            "/workspace": "written",
            "/tmp": "written",
        }
    assert not any(cause.startswith("reset") for cause in engine.stats().discards)


@pytest.mark.parametrize("language", ["shell", "bash"])
async def test_programs_that_are_started_for_the_run_are_as_free(engine: ExecutionEngine, language: str) -> None:
    """The entry point is nobody's prefix."""
    result = await engine.run(language, "pwd; echo $0 $FROM_IMAGE; id -u")
    lines = result.check().stdout.split()
    assert lines[0] == "/workspace"
    assert lines[2] == "yes"
    assert int(lines[3]) >= 10_000


async def test_volumes_of_the_image_are_not_made(
    engine: ExecutionEngine, docker_client: DockerClient, image: str
) -> None:
    """They would be directories on the host, without a limit."""
    await engine.run("python", "", strategy=POOL)
    container = await idle_container(engine)
    inspected = await inspect_container(docker_client, container.id)
    assert inspected is not None
    mounts = inspected["Mounts"]
    kinds = {mount["Destination"]: mount["Type"] for mount in mounts}
    ours = {"/.interpreter-tools", "/.interpreter-tools-store", "/dev/pts"}
    assert {place for place, kind in kinds.items() if kind == "volume"} == ours, mounts
    assert image in container.shape.image


async def test_mounts_go_before_volumes_of_the_image(engine: ExecutionEngine, tmp_path: Path) -> None:
    """At the same place, and within it."""
    (tmp_path / "a").write_text("mounted")
    await asyncio.to_thread(tmp_path.chmod, 0o755)
    mounts = (Mount(source=str(tmp_path), target="/data"), Mount(target="/srv/new/room", size="1m"))
    code = "open('/srv/new/room/x', 'w').close(); print(open('/data/a').read())"
    for _ in range(2):
        result = await engine.run("python", code, mounts=mounts, strategy=POOL)
        assert result.check().stdout == "mounted\n"
