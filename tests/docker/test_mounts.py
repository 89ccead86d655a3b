"""What is mounted: it is there, is as writable as was asked for, and outlives no reset that should end it."""

from __future__ import annotations

import asyncio
import zipfile
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    Mount,
    PoolConfig,
)
from tests.watch import ONE_SHOT, containers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
BOTH = ONE_SHOT


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[ExecutionEngine]:
    """An engine that keeps no more containers than are asked for."""
    async with ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))) as engine:
        yield engine


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with a file in it, which everybody may write."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "in.txt").write_text("from the host")
    directory.chmod(0o777)
    (directory / "in.txt").chmod(0o666)
    return directory


def names(directory: Path) -> list[str]:
    """What is in a directory of the host."""
    return sorted(path.name for path in directory.iterdir())


TRY_TO_WRITE = """
import errno, os
def attempt(path):
    try:
        open(path, "a").write("x")
        return "written"
    except OSError as error:
        return errno.errorcode[error.errno]
"""


@pytest.mark.parametrize("strategy", BOTH)
@pytest.mark.parametrize("target", ["data", "/data", "/opt/deep/in/it"])
async def test_directory_is_read_only(
    engine: ExecutionEngine, data: Path, strategy: ContainerStrategy, target: str
) -> None:
    """Unless asked for otherwise; wherever it lies."""
    mount = Mount(source=data, target=target)
    code = f"{TRY_TO_WRITE}\nat = {mount.path!r}\nprint(open(at + '/in.txt').read())"
    code += "\nprint(attempt(at + '/in.txt'), attempt(at + '/new'))"
    for _ in range(2):
        result = await engine.run("python", code, mounts=(mount,), strategy=strategy)
        assert result.check().stdout == "from the host\nEROFS EROFS\n"
        assert result.generated_files == ()
    assert names(data) == ["in.txt"]
    assert (data / "in.txt").read_text() == "from the host"


@pytest.mark.parametrize("strategy", BOTH)
@pytest.mark.parametrize("target", ["out", "/out", "/tmp/out"])
async def test_writable_directory_is_the_hosts(
    engine: ExecutionEngine, data: Path, strategy: ContainerStrategy, target: str
) -> None:
    """What is written there stays, and no reset takes it away, nor gives the container up for it."""
    mount = Mount(source=str(data), target=target, read_only=False)
    code = f"""
import os
os.chdir({mount.path!r})
print(sorted(os.listdir()))
os.makedirs("deep/er", exist_ok=True)
name = str(len(os.listdir()))
open(name, "w").write("kept")
open("/workspace/own", "w").close()
"""
    lists: list[str] = []
    for _ in range(3):
        result = await engine.run("python", code, mounts=(mount,), strategy=strategy)
        lists.append(result.check().stdout.strip())
        assert result.generated_files == ("own",)
    assert lists == ["['in.txt']", "['2', 'deep', 'in.txt']", "['2', '3', 'deep', 'in.txt']"]
    assert names(data) == ["2", "3", "4", "deep", "in.txt"]
    assert (data / "2").read_text() == "kept"
    assert not any(cause.startswith("reset") for cause in engine.stats().discards)


async def test_directory_that_root_alone_may_write_is_as_good_as_read_only(engine: ExecutionEngine, data: Path) -> None:
    """Programs are nobody's users: the host's permissions hold for them."""
    await asyncio.to_thread(data.chmod, 0o755)
    mount = Mount(source=str(data), target="out", read_only=False)
    code = f"{TRY_TO_WRITE}\nprint(attempt('out/new'))"
    assert (await engine.run("python", code, mounts=(mount,))).stdout == "EACCES\n"


async def test_file_is_mounted_alone(engine: ExecutionEngine, data: Path) -> None:
    """With its own name or another one."""
    mounts = (
        Mount(source=str(data / "in.txt"), target="/opt/settings/a.txt"),
        Mount(source=str(data / "in.txt"), target="b.txt", kind="file", read_only=False),
    )
    code = f"""{TRY_TO_WRITE}
print(open("/opt/settings/a.txt").read(), open("b.txt").read(), os.listdir("/opt/settings"))
print(attempt("/opt/settings/a.txt"), attempt("b.txt"))
"""
    result = await engine.run("python", code, mounts=mounts)
    assert result.check().stdout == "from the host from the host ['a.txt']\nEROFS written\n"
    assert (data / "in.txt").read_text() == "from the hostx"


async def test_file_that_was_replaced_is_seen(engine: ExecutionEngine, data: Path) -> None:
    """A container that is warm already holds the old one."""
    mount = Mount(source=str(data / "in.txt"), target="in.txt")
    read = "print(open('in.txt').read())"
    assert (await engine.run("python", read, mounts=(mount,), strategy=POOL)).stdout == "from the host\n"
    (data / "other").write_text("replaced")
    (data / "other").rename(data / "in.txt")
    assert (await engine.run("python", read, mounts=(mount,), strategy=POOL)).stdout == "replaced\n"


@pytest.mark.parametrize("target", ["room", "/room", "/workspace/deep/room"])
async def test_tmpfs_is_wiped_like_the_workspace(engine: ExecutionEngine, target: str) -> None:
    """With all that is in it, and no more than its size."""
    mount = Mount(target=target, size="2m")
    code = f"""
import errno, os
os.chdir({mount.path!r})
before, written = os.listdir(), 0
os.makedirs("a/b/c")
open("a/b/c/f", "w").close()
try:
    with open("full", "wb", 0) as file:
        while True: written += file.write(bytes(4096))
except OSError as error:
    assert error.errno == errno.ENOSPC, error
print(before, 1_900_000 < written <= 2 << 20, os.stat(".").st_mode & 0o7777 == 0o1777)
"""
    uids: list[str] = []
    for _ in range(3):
        result = await engine.run("python", code + "print(os.getuid())", mounts=(mount,), strategy=POOL)
        seen, uid = result.check().stdout.splitlines()
        assert seen == "[] True True"
        uids.append(uid)
    assert uids[0] != uids[1] != uids[2]
    assert not any(cause.startswith("reset") for cause in engine.stats().discards)


async def test_mount_in_a_tmpfs_outlives_its_wipe(engine: ExecutionEngine, data: Path) -> None:
    """The tmpfs is wiped, the host's directory in it is not."""
    mounts = (Mount(target="room", size="2m"), Mount(source=str(data), target="room/host", read_only=False))
    code = "import os; print(sorted(os.listdir('room')), os.listdir('room/host')); open('room/x', 'w').close()"
    for _ in range(3):
        result = await engine.run("python", code, mounts=mounts, strategy=POOL)
        assert result.check().stdout == "['host'] ['in.txt']\n"
    assert not any(cause.startswith("reset") for cause in engine.stats().discards)


async def test_planted_names_do_not_keep_a_reset_from_what_they_resemble(engine: ExecutionEngine, data: Path) -> None:
    """Everything around a mount goes, whatever it is called and wherever it leads."""
    mount = Mount(source=str(data), target="in/host")
    code = """
import os
print(sorted(os.listdir()))
for name in ("host", "in2", "In", "in ", "in\\\\040", ".in"):
    os.makedirs(name + "/host/in")
    open(name + "/host/file", "w").close()
os.symlink("in/host", "link")
for attempt in (lambda: os.rename("in", "out"), lambda: os.mkdir("in/x"), lambda: os.rmdir("in/host")):
    try: attempt()
    except OSError: pass
    else: print("done")
"""
    for _ in range(3):
        result = await engine.run("python", code, mounts=(mount,), strategy=POOL)
        assert result.check().stdout == "['in', 'main.py']\n"
    assert not any(cause.startswith("reset") for cause in engine.stats().discards)
    assert names(data) == ["in.txt"]


@pytest.mark.parametrize("strategy", BOTH)
async def test_archive_is_unpacked_inside(engine: ExecutionEngine, tmp_path: Path, strategy: ContainerStrategy) -> None:
    """Anew for each run, which may change it; none of it counts as generated until then."""
    with zipfile.ZipFile(tmp_path / "project.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/__init__.py", "value = 42")
        archive.writestr("data.csv", "1,2\n" * 100_000)
    mounts = (Mount(source=str(tmp_path / "project.zip"), target="/workspace", kind="zip"),)
    code = """
import package
data = open("data.csv").read()
open("data.csv", "w").write("changed")
print(package.value, len(data))
"""
    for _ in range(2):
        result = await engine.run("python", code, mounts=mounts, strategy=strategy, environment={"PYTHONPATH": "."})
        assert result.check().stdout == "42 400000\n"
        assert "data.csv" in result.generated_files
        assert "package/__init__.py" not in result.generated_files


async def test_archive_needs_no_container_of_its_own(engine: ExecutionEngine, tmp_path: Path) -> None:
    """Its files come with the run: a warm container does."""
    await engine.run("python", "", strategy=POOL)
    pools = len(engine.stats().pools)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "1")
    mounts = (Mount(source=str(tmp_path / "a.zip"), target="a", kind="zip"),)
    result = await engine.run("python", "print(open('a/x').read())", mounts=mounts, strategy=POOL)
    assert result.stdout == "1\n"
    assert len(engine.stats().pools) == pools


async def test_nothing_is_made_for_a_source_that_is_not_there(docker_client: DockerClient, tmp_path: Path) -> None:
    """The field is named; the engine was not asked."""
    missing = str(tmp_path / "missing")
    async with ExecutionEngine(EngineConfig(prewarm=())) as engine:
        for mount in (Mount(source=missing, target="a"), Mount(source=missing, target="a", kind="zip")):
            with pytest.raises(ConfigurationError) as caught:
                await engine.run("python", "", mounts=(mount,))
            assert (caught.value.field, caught.value.value) == ("container.mounts[0].source", missing)
        assert not await containers_of(docker_client, engine)


async def test_socket_of_the_engine_is_never_mounted(engine: ExecutionEngine) -> None:
    """Nor a directory that it lies in."""
    for source in ("/var/run/docker.sock", "/run/docker.sock", "/var/run", "/run", "/"):
        with pytest.raises(ConfigurationError):
            await engine.run("python", "", mounts=(Mount(source=source, target="/opt/x"),))


async def test_working_directory_may_be_a_mount(engine: ExecutionEngine, data: Path) -> None:
    """Or one that comes with the run's files; one that is not there is told by its field."""
    mount = Mount(source=str(data), target="/opt/data")
    for language, code in (("python", "import os; print(os.getcwd(), *os.listdir())"), ("shell", "echo $PWD *")):
        result = await engine.run(language, code, mounts=(mount,), working_dir="/opt/data")
        assert result.stdout == "/opt/data in.txt\n"
        result = await engine.run(language, code, files={"src/a": b""}, working_dir="/workspace/src")
        assert result.stdout == "/workspace/src a\n"
        with pytest.raises(ConfigurationError) as caught:
            await engine.run(language, code, working_dir="/not/there")
        assert caught.value.field == "container.working_dir"


async def test_mounts_of_the_configuration_are_those_of_every_run(data: Path) -> None:
    """As its environment is."""
    container = ContainerConfig(mounts=(Mount(source=str(data), target="in"),), environment={"WHO": "me"})
    async with ExecutionEngine(EngineConfig(prewarm=(), container=container)) as engine:
        result = await engine.run("shell", "cat in/in.txt; echo; echo $WHO")
        assert result.check().stdout == "from the host\nme\n"
