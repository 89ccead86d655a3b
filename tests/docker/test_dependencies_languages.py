"""Packages of the languages that are built in, from their own indexes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, DependencyStore, EngineConfig, ExecutionEngine
from interpreter_tools._dependencies import DERIVED_REPOSITORY
from interpreter_tools._docker.build import build_image
from tests.docker.stores import remove_image, remove_images, remove_store
from tests.watch import CLIENTS, nothing_is_left_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools._docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def engine(store_engine: ExecutionEngine) -> ExecutionEngine:
    """An engine with a store of its own."""
    return store_engine


# -- Python


async def test_python_imports_what_it_asks_for(engine: ExecutionEngine) -> None:
    """In the interpreter that was booted ahead, offline, and before the image's own packages."""
    code = """
import os, socket, subprocess, sys
import six
home = os.path.dirname(six.__file__)
image = [path for path in sys.path if path.endswith("-packages") and path != home]
print(home.startswith(sys.prefix + "/lib/"), all(sys.path.index(home) < sys.path.index(path) for path in image))
print(sys.orig_argv[-1].endswith("main.py"), subprocess.run([sys.executable, "-c", "import six"]).returncode)
try:
    socket.create_connection(("192.0.2.1", 80), 1)
except OSError as error:
    print(error.strerror)
"""
    result = (await engine.run("python", code, dependencies=["six"])).check()
    assert result.stdout == "True True\nTrue 0\nNetwork is unreachable\n"
    assert "six" in result.dependency_stdout + result.dependency_stderr
    assert result.dependency_time > 0
    again = (await engine.run("python", code, dependencies=["Six"])).check()
    assert (again.stdout, again.dependency_stdout, again.dependency_time) == (result.stdout, "", 0.0)


async def test_python_programs_of_packages_are_found(engine: ExecutionEngine) -> None:
    """On PATH, as after an installation by hand."""
    code = (
        "import subprocess; print(subprocess.run(['normalizer', '--version'], capture_output=True, text=True).stdout)"
    )
    result = (await engine.run("python", code, dependencies=["charset-normalizer==3.4.*"])).check()
    assert "Charset-Normalizer 3.4" in result.stdout


async def test_python_extension_modules_work(engine: ExecutionEngine) -> None:
    """numpy: shared libraries, loaded from the store."""
    code = "import numpy; print(numpy.arange(4).sum())"
    result = (await engine.run("python", code, dependencies=["numpy>=1.26"])).check()
    assert result.stdout == "6\n"


async def test_python_markers_and_extras(engine: ExecutionEngine) -> None:
    """A package for another Python is none; an extra brings what it stands for."""
    code = "import six, importlib.util as u; print(u.find_spec('enum34'), u.find_spec('colorama') is not None)"
    dependencies = ["six", 'enum34; python_version < "3"', "click[none]==8.1.7", "colorama"]
    result = await engine.run("python", code, dependencies=dependencies)
    assert result.stdout == "None True\n", result.dependency_stderr


async def test_python_package_that_is_not_there(engine: ExecutionEngine) -> None:
    """A result that says so."""
    name = f"no-such-package-{uuid.uuid4().hex}"
    result = await engine.run("python", "print('ran')", dependencies=[name])
    assert (result.outcome, result.stdout) == ("dependency_error", "")
    assert result.exit_code != 0
    assert name in result.dependency_stderr


async def test_python_packages_do_not_leak(engine: ExecutionEngine) -> None:
    """Into a later run of the same container."""
    look = "import sys, os; print(sys.path, dict(os.environ))"
    before = await engine.run("python", look, strategy=ContainerStrategy.POOL)
    await engine.run("python", "import six", dependencies=["six"], strategy=ContainerStrategy.POOL)
    after = await engine.run("python", look, strategy=ContainerStrategy.POOL)
    assert after.stdout == before.stdout
    gone = await engine.run("python", "import six", strategy=ContainerStrategy.POOL)
    assert "No module named 'six'" in gone.stderr


async def test_python_with_a_path_of_its_own(engine: ExecutionEngine) -> None:
    """The packages go before it; such a run starts an interpreter of its own."""
    code = "import six, sys; print('/tmp' in sys.path)"
    result = await engine.run("python", code, dependencies=["six"], environment={"PYTHONPATH": "/tmp"})
    assert result.stdout == "True\n"


# -- JavaScript


SCOPED = ["@sindresorhus/is@^4", "is-odd@3"]


@pytest.mark.parametrize(
    "code",
    [
        "const is = require('@sindresorhus/is'); console.log(is.default(1), require('is-odd')(3))",
        """Promise.all(['@sindresorhus/is', 'is-odd'].map((name) => import(name)))
        .then(([is, isOdd]) => console.log(is.default.default(1), isOdd.default(3)))""",
        "process.chdir('/'); console.log(require('@sindresorhus/is').default(1), require('is-odd')(3))",
    ],
    ids=["require", "import", "elsewhere"],
)
async def test_javascript_packages(engine: ExecutionEngine, code: str) -> None:
    """Scoped ones too, by both ways of loading."""
    result = (await engine.run("javascript", code, dependencies=SCOPED)).check()
    assert result.stdout == "number true\n"
    assert result.generated_files == ()


async def test_javascript_modules(engine: ExecutionEngine) -> None:
    """A program that is a module imports as such."""
    files = {"m.mjs": b"import isOdd from 'is-odd'; console.log(isOdd(5))"}
    result = await engine.run("javascript", "import('./m.mjs')", dependencies=SCOPED, files=files)
    assert (result.stdout, result.stderr) == ("true\n", "")


async def test_typescript_shares_the_packages(engine: ExecutionEngine) -> None:
    """They are the same ones, so nothing is installed again."""
    await engine.run("javascript", "", dependencies=SCOPED)
    code = "import isOdd from 'is-odd'; const n: number = 3; console.log(isOdd(n));"
    result = (await engine.run("typescript", code, dependencies=SCOPED)).check()
    assert (result.stdout, result.dependency_stdout) == ("true\n", "")


async def test_javascript_packages_do_not_leak(engine: ExecutionEngine) -> None:
    """Neither the link nor the variable is there in the next run of the container."""
    look = "console.log(require('fs').readdirSync('.'), process.env)"
    before = await engine.run("javascript", look, strategy=ContainerStrategy.POOL)
    used = await engine.run("javascript", "require('is-odd')", dependencies=SCOPED, strategy=ContainerStrategy.POOL)
    assert used.outcome == "ok"
    after = await engine.run("javascript", look, strategy=ContainerStrategy.POOL)
    assert after.stdout == before.stdout


async def test_javascript_package_that_is_not_there(engine: ExecutionEngine) -> None:
    """A result that says so."""
    name = f"no-such-package-{uuid.uuid4().hex}"
    result = await engine.run("javascript", "console.log('ran')", dependencies=[name])
    assert (result.outcome, result.stdout) == ("dependency_error", "")
    assert name in result.dependency_stderr


# -- shells


async def test_system_package_with_alternatives_for_its_manual_pages(engine: ExecutionEngine) -> None:
    """Its links go into the directories of manual pages, which images without manual pages have all the same."""
    code = "psql --version && readlink -e /etc/alternatives/psql.1.gz; test -d /usr/share/man/man7"
    result = (await engine.run("shell", code, dependencies=["postgresql-client"])).check()
    assert result.stdout.startswith("psql (PostgreSQL) ")


async def test_system_package(engine: ExecutionEngine) -> None:
    """Becomes an image of its own, once, and only for runs that ask for it."""
    missing = await engine.run("shell", "tree --version")
    assert missing.exit_code == 127
    first = (await engine.run("shell", "tree --version", dependencies=["tree"])).check()
    assert first.stdout.startswith("tree v")
    assert first.dependency_time > 0
    again = (await engine.run("bash", "tree --version", dependencies=["tree"])).check()
    assert (again.stdout, again.dependency_stdout) == (first.stdout, "")
    assert (await engine.run("shell", "tree --version")).exit_code == 127
    async with DependencyStore(engine._config) as opened:
        (entry,) = (entry for entry in await opened.entries() if entry.system and entry.packages == ("tree",))
    assert entry.name.partition(":")[0] == DERIVED_REPOSITORY
    assert 10_000 < entry.size < 50_000_000
    async with DependencyStore(engine._config) as opened:
        assert entry.name not in {gone.name for gone in await opened.prune(everything=True)}  # containers use it


async def test_image_of_system_packages_is_pruned(docker_client: DockerClient) -> None:
    """As soon as no container uses it; that of another store stays."""
    store = f"interpreter-tools-test-{uuid.uuid4().hex[:12]}"
    stores = (f"{store}-1", f"{store}-2")
    try:
        for name in stores:
            async with ExecutionEngine(EngineConfig(prewarm=(), dependency_store=name)) as engine:
                assert (await engine.run("shell", "rev -V", dependencies=["bsdextrautils"])).outcome == "ok"
        async with DependencyStore(EngineConfig(dependency_store=stores[0])) as opened:
            (entry,) = await opened.entries()
            assert (entry.system, entry.packages) == (True, ("bsdextrautils",))
            assert await docker_client.inspect_image(entry.name) is not None
            assert [gone.name for gone in await opened.prune(older_than=0)] == [entry.name]
            assert await opened.entries() == []
        assert await docker_client.inspect_image(entry.name) is None
        async with DependencyStore(EngineConfig(dependency_store=stores[1])) as opened:
            assert len(await opened.entries()) == 1
    finally:
        for name in stores:
            await remove_images(docker_client, name)
            await remove_store(docker_client, name)


async def test_two_engines_make_one_image(engine: ExecutionEngine) -> None:
    """The second waits, says so, and uses what the first has made."""
    async with ExecutionEngine(engine._config) as other:
        first, second = await asyncio.gather(
            *(each.run("shell", "rev --version", dependencies=["bsdextrautils"]) for each in (engine, other))
        )
    assert first.check().stdout == second.check().stdout
    installed = [each for each in (first, second) if "bsdextrautils" in each.dependency_stdout]
    assert len(installed) == 1
    assert "another client" in first.dependency_stderr + second.dependency_stderr


async def test_client_that_dies_while_it_makes_an_image_stands_in_nobodys_way(
    engine: ExecutionEngine, docker_client: DockerClient
) -> None:
    """What it held goes with it, and the next client makes the image."""
    program = [sys.executable, "-c", CLIENT, engine._config.dependency_store]
    process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    CLIENTS.add(process.pid)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"installing\n"
    process.kill()
    await process.wait()
    result = (await engine.run("shell", "ncal -h 2>&1 | head -1", dependencies=["ncal"])).check()
    assert result.dependency_time > 0
    await nothing_is_left_of(docker_client, [process.pid])


CLIENT = """
import asyncio, sys
from interpreter_tools import EngineConfig, ExecutionEngine
async def main():
    async with ExecutionEngine(EngineConfig(prewarm=(), dependency_store=sys.argv[1])) as engine:
        async with engine.stream("shell", "", dependencies=["ncal"]) as execution:
            await anext(execution)
            print("installing", flush=True)
            await execution.result()
asyncio.run(main())
"""


async def test_system_package_that_is_not_there(engine: ExecutionEngine) -> None:
    """A result that says so, with apt's own status."""
    result = await engine.run("shell", "echo ran", dependencies=["no-such-package-at-all"])
    assert (result.outcome, result.exit_code, result.stdout) == ("dependency_error", 100, "")
    assert "no-such-package-at-all" in result.dependency_stderr + result.dependency_stdout


async def test_system_package_keeps_input_for_the_program(engine: ExecutionEngine) -> None:
    """What is sent while the image is made waits."""
    async with engine.stream("shell", "cat", dependencies=["tree"]) as execution:
        await execution.send_stdin(b"sent")
        await execution.close_stdin()
        result = await execution.result()
    assert result.stdout == "sent"


# -- images of other distributions

# What Alpine's tool is asked, it answers; the rest of Alpine does not matter.
APK = b"""#!/bin/sh
[ "$1 $2 $3" = "add --no-cache --" ] || exit 99
shift 3
for name; do
    [ "$name" != missing ] || { echo "ERROR: unable to select packages: missing (no such package)" >&2; exit 1; }
    echo "Installing $name"
    echo "echo this is $name" >"/usr/bin/$name" && chmod 755 "/usr/bin/$name"
done
"""
WITHOUT_APT = "FROM interpreter-tools/shell:1\nRUN rm /usr/bin/apt-get\n"


@pytest.fixture
async def image(docker_client: DockerClient, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """One whose package manager is the parameter, if any."""
    tag, tools = f"it-test-{uuid.uuid4().hex[:12]}:1", {"apk": request.param} if request.param else {}
    dockerfile = WITHOUT_APT + "".join(f"COPY {name} /sbin/{name}\nRUN chmod 755 /sbin/{name}\n" for name in tools)
    await build_image(docker_client, dockerfile, tag=tag, files=tools, arguments={}, on_line=lambda _: None)
    yield tag
    await remove_image(docker_client, tag)


@pytest.mark.parametrize("image", [APK], indirect=True)
async def test_system_package_by_apk(engine: ExecutionEngine, image: str) -> None:
    """Where the image has that instead of apt."""
    result = (await engine.run("shell", "htop; jo", image=image, dependencies=["htop", "jo"])).check()
    assert result.stdout == "this is htop\nthis is jo\n"
    assert "Installing htop\nInstalling jo\n" in result.dependency_stdout
    failed = await engine.run("shell", "echo ran", image=image, dependencies=["missing"])
    assert (failed.outcome, failed.exit_code, failed.stdout) == ("dependency_error", 1, "")
    assert "missing (no such package)" in failed.dependency_stderr


@pytest.mark.parametrize("image", [b""], indirect=True)
async def test_system_package_without_a_package_manager(engine: ExecutionEngine, image: str) -> None:
    """A result that says so."""
    result = await engine.run("shell", "echo ran", image=image, dependencies=["htop"])
    assert (result.outcome, result.exit_code, result.stdout) == ("dependency_error", 127, "")
    assert "neither apt-get nor apk" in result.dependency_stderr
