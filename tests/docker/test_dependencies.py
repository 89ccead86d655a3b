"""Packages that runs ask for: who installs them, when, and what a run sees of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerStrategy,
    DependencyStore,
    EngineConfig,
    MachineError,
    StoreFailed,
)
from interpreter_tools._dependencies import list_store
from tests.docker.stores import remove_store
from tests.docker.toy import TOY, make_engine, registered
from tests.watch import CLIENTS, containers_of, eventually, inspect_container

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from interpreter_tools import ExecutionEngine, ExecutionResult, StoreEntry
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", autouse=True)
def toy_is_known() -> Iterator[None]:
    """The language is registered while its tests run."""
    with registered():
        yield


@pytest.fixture(scope="module")
async def toys(store: str) -> AsyncIterator[ExecutionEngine]:
    """An engine with that store."""
    async with make_engine(store) as engine:
        yield engine


def fresh(name: str = "pkg") -> str:
    """A package that was never installed."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def installers(client: DockerClient, engine: ExecutionEngine) -> list[str]:
    """The containers of an engine that install."""
    found = [await inspect_container(client, each) for each in await containers_of(client, engine)]
    names = [str(each["Name"]).lstrip("/") for each in found if each is not None]
    return [name for name in names if name.startswith("interpreter-tools-install-")]


async def names_in_store(engine: ExecutionEngine) -> set[str]:
    """Every name in the store, leftovers too."""
    from interpreter_tools._dependencies.installer import installer_shape

    running = engine._running
    assert running is not None
    (pool, *_) = running.runtime.pools.values()
    shape = installer_shape(pool.shape, engine._config)
    container = await running.runtime.create_installer(shape, f"interpreter-tools-test-{uuid.uuid4().hex}")
    try:
        return {entry.name for entry in await list_store(container.channel)}
    finally:
        await container.aclose()


# -- one install


async def test_packages_are_installed_and_seen(toys: ExecutionEngine) -> None:
    """The first installer that the image has; its output is no output of the program."""
    name = fresh()
    result = (await toys.run("toy", f"{name}; printf %s $TOYS", dependencies=[name])).check()
    assert result.stdout.startswith(f"tool {name}\n/.interpreter-tools-store/")
    assert result.dependency_stdout == f"installing {name}\n"
    assert result.dependency_stderr == result.stderr == ""
    assert result.dependency_time > 0


async def test_second_run_installs_nothing(toys: ExecutionEngine) -> None:
    """Whatever the order, the blanks and the repetitions."""
    one, two = sorted((fresh("a"), fresh("b")))
    await toys.run("toy", "", dependencies=[two, one])
    result = (await toys.run("toy", one, dependencies=[f" {one}", two, one])).check()
    assert (result.stdout, result.dependency_stdout, result.dependency_time) == (f"tool {one}\n", "", 0.0)


async def test_output_comes_live(toys: ExecutionEngine) -> None:
    """Starting an execution does not wait for the installation; chunks come while it goes on."""
    name = fresh("endless")
    async with toys.stream("toy", name, dependencies=[name]) as execution:
        chunk = await anext(execution)
        assert (chunk.stream, chunk.text) == ("dependency_stdout", f"installing {name}\n")


async def test_endless_output_is_cut(toys: ExecutionEngine) -> None:
    """An installer that says too much is not told to anybody in full, but installs."""
    name = fresh("loud")
    result = (await toys.run("toy", name, dependencies=[name])).check()
    assert 1_000_000 < len(result.dependency_stdout) < 1_100_000
    assert result.dependency_stdout.endswith("is not shown\n")


async def test_failed_installation_is_a_result(toys: ExecutionEngine) -> None:
    """The code does not run; what was wrong can be read; the next attempt is a new one."""
    name = fresh("fail")
    for _ in range(2):
        result = await toys.run("toy", "echo ran > f; echo ran", dependencies=[name])
        assert (result.outcome, result.exit_code, result.signal) == ("dependency_error", 7, None)
        assert (result.stdout, result.stderr, result.generated_files) == ("", "", ())
        assert result.dependency_stderr == f"there is no {name}\n"
        assert result.execution_time == 0


async def test_hostile_tree_is_not_published(toys: ExecutionEngine) -> None:
    """An entry that is deeper than any package fails; nothing of it stays."""
    name = fresh("deep")
    result = await toys.run("toy", name, dependencies=[name])
    assert result.outcome == "dependency_error"
    assert "cannot be kept" in result.dependency_stderr


async def test_time_limit_is_the_installers_own(store: str) -> None:
    """It ends the installation; the run's own limit does not count it."""
    name = fresh("endless")
    async with make_engine(store, dependency_timeout=1.0) as engine:
        result = await engine.run("toy", name, dependencies=[name], timeout=60)
        assert (result.outcome, result.exit_code) == ("dependency_error", 124)
        assert "dependency_timeout" in result.dependency_stderr
    slow = fresh("slow")
    async with make_engine(store) as engine:
        result = await engine.run("toy", slow, dependencies=[slow], timeout=2)
        assert result.outcome == "ok"
        assert result.dependency_time > 2


@pytest.mark.parametrize("names", [["a b"], ["--index-url=x"], ["a;b"], ["$(id)"], "six", [1], ["x" * 600]])
async def test_what_is_no_package_is_refused_before_anything_happens(toys: ExecutionEngine, names: list[str]) -> None:
    """By the call itself."""
    with pytest.raises(ConfigurationError, match="dependencies"):
        toys.stream("toy", "", dependencies=names)


async def test_input_waits_for_the_program(toys: ExecutionEngine) -> None:
    """What is sent while packages are installed reaches the program, all of it and in order."""
    name = fresh("slow")
    async with toys.stream("toy", f"cat; {name}", dependencies=[name]) as execution:
        await execution.send_stdin(b"early ")
        await execution.send_stdin(b"late\n")
        await execution.close_stdin()
        result = await execution.result()
    assert result.stdout == f"early late\ntool {name}\n"


async def test_input_by_value_is_read_after_an_installation(toys: ExecutionEngine) -> None:
    """More than a window of it."""
    name = fresh()
    result = await toys.run("toy", "wc -c", dependencies=[name], stdin=b"x" * 300_000)
    assert result.stdout.strip() == "300000"


async def test_files_are_there_after_an_installation(toys: ExecutionEngine) -> None:
    """Those that came with the code are not generated by it."""
    name = fresh()
    result = await toys.run("toy", "cat in.txt; echo > out.txt", dependencies=[name], files={"in.txt": b"in"})
    assert (result.stdout, result.generated_files) == ("in", ("out.txt",))


# -- who waits, and who leaves


async def test_one_installation_serves_all_who_wait(toys: ExecutionEngine, docker_client: DockerClient) -> None:
    """Each hears what the installer says, also who came later."""
    name = fresh("slow")

    async def one() -> ExecutionResult:
        return await toys.run("toy", name, dependencies=[name])

    async with toys.stream("toy", name, dependencies=[name]) as first:
        beside = asyncio.create_task(one())
        await anext(first)  # what the installer says as it begins
        later = asyncio.create_task(one())
        await eventually(lambda: installers(docker_client, toys), lambda found: len(found) == 1)
        results = [await first.result(), await beside, await later]
    for result in results:
        assert (result.stdout, result.dependency_stdout) == (f"tool {name}\n", f"installing {name}\n")


async def test_leaving_spares_an_installation_that_others_wait_for(toys: ExecutionEngine) -> None:
    """Only the last one who leaves ends it."""
    name = fresh("slow")
    staying = asyncio.create_task(toys.run("toy", name, dependencies=[name]))
    async with toys.stream("toy", name, dependencies=[name]) as leaving:
        await anext(leaving)
    result = await staying
    assert (result.stdout, result.dependency_stdout) == (f"tool {name}\n", f"installing {name}\n")


@pytest.mark.parametrize("how", ["leave", "kill", "cancel"])
async def test_last_one_who_leaves_ends_the_installation(
    toys: ExecutionEngine, docker_client: DockerClient, how: str
) -> None:
    """Its container goes, and nothing of it is used."""
    name = fresh("endless")
    if how == "cancel":
        task = asyncio.create_task(toys.run("toy", name, dependencies=[name]))
        await eventually(lambda: installers(docker_client, toys), bool)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with toys.stream("toy", name, dependencies=[name]) as execution:
            await anext(execution)
            if how == "kill":
                await execution.kill()
                result = await execution.result()
                assert (result.outcome, result.exit_code, result.signal) == ("killed", 137, 9)
    await eventually(lambda: installers(docker_client, toys), lambda found: not found)


async def test_engine_that_closes_ends_its_installations(store: str, docker_client: DockerClient) -> None:
    """Who waits is told."""
    name = fresh("endless")
    engine = make_engine(store)
    await engine.start()
    task = asyncio.create_task(engine.run("toy", name, dependencies=[name]))
    await eventually(lambda: installers(docker_client, engine), bool)
    owner = engine._running.runtime.owner.id if engine._running else ""
    await engine.aclose()
    with pytest.raises(Exception, match="closed"):
        await task
    assert await containers_of(docker_client, owner) == {}


async def test_two_engines_install_once(store: str, toys: ExecutionEngine) -> None:
    """The second waits, and says so; then it finds what the first has installed."""
    name = fresh("slow")
    async with make_engine(store) as other:
        first, second = await asyncio.gather(
            toys.run("toy", name, dependencies=[name]), other.run("toy", name, dependencies=[name])
        )
    said = sorted((first.dependency_stdout, second.dependency_stdout))
    assert said == ["", f"installing {name}\n"]
    assert first.stdout == second.stdout == f"tool {name}\n"
    assert "another client" in first.dependency_stderr + second.dependency_stderr


CLIENT = """
import asyncio, sys
from tests.docker.toy import TOY, make_engine, registered
async def main():
    with registered():
        async with make_engine(sys.argv[1]) as engine:
            print("ready", flush=True)
            result = await engine.run("toy", sys.argv[2], dependencies=[sys.argv[2]])
            print(result.outcome, result.stdout.strip(), repr(result.dependency_stdout), flush=True)
asyncio.run(main())
"""


async def client(store: str, name: str) -> asyncio.subprocess.Process:
    """A process of its own that runs with a package."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, store, name, stdout=subprocess.PIPE)
    CLIENTS.add(process.pid)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_two_processes_install_once(store: str) -> None:
    """Docker gives the installer's name once."""
    name = fresh("slow")
    processes = await asyncio.gather(client(store, name), client(store, name))
    said = sorted([(await process.communicate())[0].decode() for process in processes])
    assert said == [f"ok tool {name} ''\n", f"ok tool {name} 'installing {name}\\n'\n"]


async def test_killed_client_leaves_nothing_that_is_used(
    store: str, toys: ExecutionEngine, docker_client: DockerClient
) -> None:
    """Its installer ends by itself; the next client begins anew."""
    name = fresh("slow")
    process = await client(store, name)

    async def named() -> list[str]:
        found = await docker_client.list_containers(labels={"interpreter-tools.pid": str(process.pid)})
        return [each.state for each in found if any("install-" in name for name in each.names)]

    await eventually(named, lambda states: states == ["running"])
    await asyncio.sleep(1)  # it is in the middle of it
    process.kill()
    await process.wait()
    result = await toys.run("toy", name, dependencies=[name])
    assert (result.stdout, result.dependency_stdout) == (f"tool {name}\n", f"installing {name}\n")
    assert not {entry for entry in await names_in_store(toys) if entry.startswith("-")}


async def test_restarted_engine_installs_nothing(store: str) -> None:
    """What is in the store is there for every engine, and needs no network."""
    name = fresh()
    async with make_engine(store) as engine:
        await engine.run("toy", name, dependencies=[name])
    async with make_engine(store) as engine:
        result = (await engine.run("toy", name, dependencies=[name])).check()
        assert (result.stdout, result.dependency_stdout, result.dependency_time) == (f"tool {name}\n", "", 0.0)


# -- what a sandbox may do with the store


async def test_sandbox_neither_lists_nor_writes(toys: ExecutionEngine) -> None:
    """It sees an entry only by the key that it was given."""
    name = fresh()
    await toys.run("toy", "", dependencies=[name])
    code = f"""
    store=/.interpreter-tools-store
    ls $store 2>/dev/null && echo listed
    for path in $store/x $TOYS/x $TOYS/{name}; do (echo x >> $path) 2>/dev/null && echo wrote $path; done
    rm -rf $TOYS 2>/dev/null
    {name}
    """
    result = await toys.run("toy", code, dependencies=[name])
    assert result.stdout == f"tool {name}\n"


@pytest.mark.parametrize("strategy", [ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL])
async def test_nothing_leaks_into_a_later_run(toys: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """The next run in the same container has neither the packages nor a trace of them."""
    name = fresh()
    look = "env | grep -v ^_= | sort; ls -A /workspace /tmp; command -v " + name
    before = await toys.run("toy", look, strategy=strategy)
    assert (await toys.run("toy", name, dependencies=[name], strategy=strategy)).stdout == f"tool {name}\n"
    after = await toys.run("toy", look, strategy=strategy)
    assert (after.stdout, after.exit_code) == (before.stdout, before.exit_code)


async def test_store_that_cannot_be_written_is_the_machines_fault(store: str, docker_client: DockerClient) -> None:
    """A full or read-only one: an error, no result, and no entry."""
    name = f"{store}-full"
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=16k,nr_inodes=3"}
    await docker_client.create_volume(name, {}, options=options)
    try:
        async with make_engine(name) as engine:
            with pytest.raises(StoreFailed, match="No space left"):
                await engine.run("toy", "", dependencies=[fresh()])
    finally:
        await remove_store(docker_client, name)


async def make_older(client: DockerClient, store: str, hours: dict[str, int]) -> None:
    """Entries of a store, by their keys, were installed so many hours ago."""
    script = "; ".join(f"touch -d '{age} hours ago' /store/{key}" for key, age in hours.items())
    mount = {"Type": "volume", "Source": store, "Target": "/store"}
    host = {"AutoRemove": True, "Mounts": [mount]}
    body = {"Image": TOY.default_image, "Cmd": ["sh", "-c", script], "NetworkDisabled": True, "HostConfig": host}
    name = await client.create_container(body)
    await client.start_container(name)
    assert await client.wait_removed(name, 60)


async def test_oldest_entries_go_where_the_store_becomes_too_large(store: str, docker_client: DockerClient) -> None:
    """After an installation, but nothing of the last hour; what went is installed again when it is needed."""
    small = f"{store}-small"
    a, b, c, d = (fresh(name) for name in "abcd")

    async def entries() -> dict[str, StoreEntry]:
        async with DependencyStore(EngineConfig(dependency_store=small)) as opened:
            return {entry.packages[0]: entry for entry in await opened.entries()}

    async def install(engine: ExecutionEngine, package: str) -> str:
        return (await engine.run("toy", package, dependencies=[package])).check().dependency_stdout

    try:
        async with make_engine(small, store_max_size=None) as engine:
            for package in (a, b):
                await install(engine, package)
        found = await entries()
        await make_older(docker_client, small, {found[a].name: 3, found[b].name: 2})
        async with make_engine(small, store_max_size=2 * found[a].size) as engine:
            await install(engine, c)
            await eventually(entries, lambda found: found.keys() == {b, c})
            await install(engine, d)
            await eventually(entries, lambda found: found.keys() == {c, d})
            assert await install(engine, a) == f"installing {a}\n"
        assert (await entries()).keys() == {a, c, d}  # too large, but all of them are fresh
    finally:
        await remove_store(docker_client, small)


async def test_broken_engine_is_an_error_for_all_who_wait(store: str) -> None:
    """A network that does not exist: no made-up result."""
    async with make_engine(store, dependency_network="no-such-network") as engine:
        package = fresh()
        runs = [engine.run("toy", "", dependencies=[package]) for _ in range(2)]
        for error in await asyncio.gather(*runs, return_exceptions=True):
            assert isinstance(error, MachineError)
