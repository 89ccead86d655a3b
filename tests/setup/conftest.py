"""A registry on loopback, and an engine to fill it."""

from __future__ import annotations

import io
import re
import shutil
import socket
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import aiodocker
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:0"}}
"""


def free_port() -> int:
    """A port on loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pack(files: dict[str, bytes]) -> bytes:
    """A tar archive of executable files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Debian's registry, installed when it is not there."""
    if shutil.which("docker-registry") is None:
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "docker-registry"],
            env={"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            check=True,
        )
    root: Path = tmp_path_factory.mktemp("registry")
    config, log = root / "config.yml", root / "log"
    config.write_text(_CONFIG.format(directory=root / "data"))
    with log.open("wb") as sink, subprocess.Popen(["docker-registry", "serve", str(config)], stderr=sink) as server:
        try:
            address = wait_for_address(log)
            yield address
            remove_images_of(address)
        finally:
            server.kill()


def remove_images_of(registry: str) -> None:
    """Remove the images that a test which failed has left on the engine."""
    find = ["docker", "images", "--quiet", "--no-trunc", "--filter", f"reference={registry}/*/*"]
    left = {*subprocess.run(find, check=True, capture_output=True, text=True).stdout.split()}
    if left:
        subprocess.run(["docker", "rmi", "--force", *left], check=True, capture_output=True)


def wait_for_address(log: Path) -> str:
    """Return where a registry listens, as soon as it says so in its log."""
    deadline = time.monotonic() + 60
    while (found := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())) is None:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return found[1]


async def publish(client: DockerClient, image: str, files: dict[str, bytes]) -> None:
    """Put an image of the given files into a registry, and leave none on the engine."""
    await client.import_image(pack(files), tag=image)
    async with aiodocker.Docker(url=client.endpoint.url) as docker:
        await docker.images.push(image)
    await client.remove_image(image)
