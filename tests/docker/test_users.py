"""The user that programs run as: its name, its home, and how they are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerConfig, ContainerStrategy, ExecutionEngine, Mount

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker

STRATEGIES = [ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL, ContainerStrategy.PER_SESSION]
PROGRAMS = {
    "python": """
import getpass, grp, os, pathlib, pwd
user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
pathlib.Path("made").touch()
homes = os.path.expanduser("~"), os.path.expanduser("~sandbox")
print(user.pw_name, user.pw_dir, group.gr_name, getpass.getuser(), *homes)
print(pathlib.Path("made").owner(), pathlib.Path("made").group(), pathlib.Path.home(), pwd.getpwnam("root").pw_uid)
""",
    "javascript": """
const os = require('os');
const { username, homedir, uid } = os.userInfo();
console.log(username, homedir, 'sandbox', username, os.homedir(), homedir);
console.log(username, username, os.homedir(), uid === process.getuid() ? 0 : 1);
""",
    "shell": """
touch made
echo "$(whoami)" ~ "$(id -gn)" "$(id -un)" "$HOME" ~sandbox
echo $(stat -c '%U %G' made) "$HOME" "$(id -u root)"
""",
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("language", PROGRAMS)
async def test_user_has_a_name_a_group_and_a_home(
    engine: ExecutionEngine, language: str, strategy: ContainerStrategy
) -> None:
    """The same ones in every image, whatever asks for them, and again after a reset."""
    expected = "sandbox /tmp/home sandbox sandbox /tmp/home /tmp/home\nsandbox sandbox /tmp/home 0\n"
    if strategy is ContainerStrategy.PER_SESSION:
        async with engine.session(strategy=strategy) as session:
            results = [await session.run(language, PROGRAMS[language]) for _ in range(2)]
    else:
        results = [await engine.run(language, PROGRAMS[language], strategy=strategy) for _ in range(2)]
    assert [result.check().stdout for result in results] == [expected, expected]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A directory of the caller's with users of its own."""
    for name in ("passwd", "hosts", "hostname", "resolv.conf"):
        (tmp_path / name).write_text(f"{name} of the caller\n")
    tmp_path.chmod(0o755)
    return tmp_path


async def test_users_that_are_mounted_are_not_covered(engine: ExecutionEngine, etc: Path) -> None:
    """A file or a directory of the caller's stays the caller's."""
    read = "print(open('/etc/passwd').read(), end='')"
    for mount in (Mount(source=etc / "passwd", target="/etc/passwd"), Mount(source=etc, target="/etc")):
        assert (await engine.run("python", read, mounts=(mount,))).check().stdout == "passwd of the caller\n"


@pytest.mark.parametrize(("memory", "megabytes"), [("1g", 300), ("2g", 800)])
async def test_shared_memory_follows_the_memory_limit(engine: ExecutionEngine, memory: str, megabytes: int) -> None:
    """It takes half of what the other writable directories leave."""
    code = f"""
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size={megabytes} << 20)
for at in range(0, block.size, 4096):
    block.buf[at] = 1
print(sum(block.buf[at] for at in range(0, block.size, 1 << 20)))
block.close()
block.unlink()
"""
    result = await engine.run("python", code, memory_limit=memory)
    assert result.check().stdout == f"{megabytes}\n"


async def test_shared_memory_leaves_some_to_programs(engine: ExecutionEngine) -> None:
    """Files that fill every writable directory are an error of the program, and the container serves on."""
    code = """
for place in ("/dev/shm/x", "/tmp/x", "/workspace/x"):
    try:
        with open(place, "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    except OSError as error:
        print(error.strerror)
"""
    container = ContainerConfig(memory_limit="256m")
    async with engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session:
        assert (await session.run("python", code)).check().stdout == "No space left on device\n" * 3
        assert (await session.run("python", "print('on')")).check().stdout == "on\n"
