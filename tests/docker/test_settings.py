"""Configuration from a file and from environment variables, as the programs that run by it see it."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, cast

import aiohttp
import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    PoolTimeout,
    SessionConfig,
)
from tests.watch import LIMITS, containers_of, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

MIB = 1 << 20


def load(tmp_path: Path, toml: str, **variables: str) -> EngineConfig:
    """The configuration of a file, with variables over it."""
    path = tmp_path / "interpreter-tools.toml"
    path.write_text(toml)
    environ = {f"INTERPRETER_TOOLS_{name}": value for name, value in variables.items()}
    return EngineConfig.load(environ={**environ, "INTERPRETER_TOOLS_CONFIG": str(path)})


async def test_limits_and_mounts(tmp_path: Path) -> None:
    """A directory of each kind of access, an archive, room in memory; what a variable says goes before the file."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    (tmp_path / "in/data.txt").write_text("from the host")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner.txt", "from the archive")
    config = load(
        tmp_path,
        f"""
prewarm = []

[pool]
min_size = 0

[container]
memory_limit = "256m"
workspace_size = "16m"
pids_limit = 90
environment = {{A = "file", B = "file"}}
working_dir = "/data"

[[container.mounts]]
source = "{tmp_path}/in"
target = "/data"

[[container.mounts]]
source = "{tmp_path}/out"
target = "out"
read_only = false

[[container.mounts]]
source = "{tmp_path}/a.zip"
target = "archive"
kind = "zip"

[[container.mounts]]
target = "/room"
size = "2m"
""",
        CONTAINER__PIDS_LIMIT="60",
        CONTAINER__TMP_SIZE="4m",
        CONTAINER__ENVIRONMENT__B="variable",
    )
    code = (
        LIMITS
        + """
import errno, json
def attempt(path):
    try: open(path, "w").write("from the sandbox")
    except OSError as error: return errno.errorcode[error.errno]
print(json.dumps({
    "read": [open("data.txt").read(), open("/workspace/archive/inner.txt").read()],
    "written": [attempt("new"), attempt("/workspace/out/new"), attempt("/room/new")],
    "room": [room(path) for path in ("/workspace", "/tmp", "/room")],
    "limit": limit(),
    "variables": [os.environ["A"], os.environ["B"], os.getcwd()],
}))
"""
    )
    async with ExecutionEngine(config) as engine:
        assert json.loads((await engine.run("python", code)).check().stdout) == {
            "read": ["from the host", "from the archive"],
            "written": ["EROFS", None, None],
            "room": [16 * MIB, 4 * MIB, 2 * MIB],
            "limit": 60,
            "variables": ["file", "variable", "/data"],
        }
    assert (tmp_path / "out/new").read_text() == "from the sandbox"


async def test_mounts_and_images_of_a_variable(tmp_path: Path) -> None:
    """Mounts are JSON, instead of the file's; the name of an image's language is in upper case, as variables are."""
    (tmp_path / "data.txt").write_text("mounted")
    (tmp_path / "data.txt").chmod(0o644)
    mounts = [{"source": f"{tmp_path}/data.txt", "target": "/data.txt", "kind": "file"}]
    config = load(
        tmp_path,
        'prewarm = []\n[images]\nBash = "interpreter-tools/node:1"\n[[container.mounts]]\ntarget = "/room"',
        IMAGES__SHELL="interpreter-tools/python:1",
        CONTAINER__MOUNTS=json.dumps(mounts),
        POOL__MIN_SIZE="0",
    )
    async with ExecutionEngine(config) as engine, engine.session() as session:
        result = await session.run("shell", "cat /data.txt; ls -d /room")
        assert (result.stdout, "/room" in result.stderr) == ("mounted", True)
        await session.run("bash", "true")
        used = [container.image_name for container in session.info().container_history]
        assert used == ["interpreter-tools/python:1", "interpreter-tools/node:1"]


@pytest.mark.parametrize("name", ["pyhton", "ruby"])
async def test_image_that_would_never_be_used_is_refused_at_the_start(name: str) -> None:
    """A configuration may be made before a language is registered; the engine may not."""
    engine = ExecutionEngine(EngineConfig(images={name: "mine:1"}))
    with pytest.raises(ConfigurationError, match="is for a language that is not registered") as caught:
        await engine.start()
    assert caught.value.field == f"images.{name}"


async def test_ports(tmp_path: Path) -> None:
    """Named in a variable, in the network of the file."""
    config = load(
        tmp_path, 'prewarm = []\n[container]\nnetwork = "bridge"\nports = [9000]', CONTAINER__PORTS="8000, 8001"
    )
    code = """
import http.server
server = http.server.HTTPServer(("0.0.0.0", 8000), http.server.SimpleHTTPRequestHandler)
print("ready", flush=True)
server.handle_request()
"""
    async with (
        ExecutionEngine(config) as engine,
        engine.stream("python", code, files={"a.txt": b"hello"}, timeout=60) as execution,
    ):
        assert execution.ports.keys() == {8000, 8001}
        await anext(execution)
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{execution.ports[8000]}/a.txt") as response,
        ):
            assert await response.text() == "hello"
        assert (await execution.result()).outcome == "ok"


async def test_pool(tmp_path: Path, docker_client: DockerClient) -> None:
    """As many are warm as the file says, as many alive as the variable does, and waiting has an end."""
    config = load(
        tmp_path,
        'prewarm = ["python"]\n[pool]\nmin_size = 2\nmax_size = 9\nwait_timeout = 0.5\n[container]\npids_limit = 50',
        POOL__MAX_SIZE="2",
    )
    async with ExecutionEngine(config) as engine:
        await engine.warm()
        assert len(await containers_of(docker_client, engine)) == 2
        async with engine.stream("python", "input()") as first, engine.stream("python", "input()") as second:
            with pytest.raises(PoolTimeout):
                await engine.run("python", "")
            for execution in (first, second):
                await execution.close_stdin()
                await execution.result()
        await eventually(lambda: containers_of(docker_client, engine), lambda found: len(found) == 2)


async def test_strategy_that_is_a_text(tmp_path: Path) -> None:
    """As it comes out of a file: the session is of that kind."""
    config = load(tmp_path, "prewarm = []\n[pool]\nmin_size = 0")
    named = SessionConfig(strategy=cast("ContainerStrategy", "per_session"), session_id="named")
    async with ExecutionEngine(config) as engine, engine.session(named) as session:
        assert repr(session) == "<Session named per_session [open]>"
        await session.run("shell", "echo kept > file")
        assert (await session.run("shell", "cat file")).stdout == "kept\n"
        assert len(session.info().container_history) == 1
        again = engine.session(strategy=ContainerStrategy.PER_SESSION, session_id="named")
        assert again is session
