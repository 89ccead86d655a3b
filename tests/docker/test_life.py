"""Life and death of an engine, in its own process, and of what it holds."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from blockbuster import blockbuster_ctx

from interpreter_tools import (
    ContainerLost,
    ContainerStrategy,
    DockerUnavailable,
    EngineClosed,
    EngineConfig,
    EngineMisused,
    ExecutionEngine,
    InterpreterToolsError,
    PoolConfig,
    Session,
)
from interpreter_tools._container.channel import Channel
from interpreter_tools._docker import Owner
from tests.relay import Relay
from tests.watch import busy_container, containers_of, eventually, family, inspect_container, owner_of

from .conftest import end_as_others_do

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
FOREVER = "import time\nprint('started', flush=True)\ntime.sleep(99)"


@pytest.fixture
async def small() -> AsyncIterator[ExecutionEngine]:
    """An engine whose containers may be harmed."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2))
    async with ExecutionEngine(config) as engine:
        yield engine


# -- start and close


async def test_engine_lives_once() -> None:
    """Starting and closing twice is no error; anything before and after is one that says what to do."""
    engine = ExecutionEngine(EngineConfig(prewarm=()))
    assert repr(engine) == "<ExecutionEngine new>"
    for use in (lambda: engine.stream("python", ""), engine.stats):
        with pytest.raises(EngineClosed, match="not started"):
            use()
    assert await asyncio.gather(engine.start(), engine.start()) == [engine, engine]
    assert await engine.start() is engine
    assert repr(engine) == "<ExecutionEngine running>"
    assert (await engine.run("shell", "echo 1")).stdout == "1\n"
    await asyncio.gather(engine.aclose(), engine.aclose())
    await engine.aclose()
    assert repr(engine) == "<ExecutionEngine closed>"
    for use in (lambda: engine.stream("python", ""), engine.stats):
        with pytest.raises(EngineClosed, match="closed"):
            use()
    with pytest.raises(EngineClosed, match="make another"):
        await engine.start()


async def test_engine_that_does_not_wait_at_its_end_leaves_no_container(docker_client: DockerClient) -> None:
    """The streams are closed, so the containers end, busy ones too, and the Docker engine removes them."""
    engine = await ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=1, max_size=3))).start()
    assert (await engine.run("shell", "echo 1")).stdout == "1\n"
    async with engine.session() as session:
        assert (await session.run("shell", "echo 2")).stdout == "2\n"
        owner = owner_of(engine)
        await engine.aclose(waits=False)
    await eventually(lambda: containers_of(docker_client, owner), lambda left: not left)


async def test_engine_that_is_closed_while_it_starts_does_not_start() -> None:
    """Whoever started it is told."""
    engine = ExecutionEngine(EngineConfig(prewarm=()))
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    await engine.aclose()
    with pytest.raises(EngineClosed):
        await starting


async def test_engine_that_is_forgotten_warns() -> None:
    """With its state, and what to do."""
    engine = await ExecutionEngine(EngineConfig(prewarm=())).start()
    running = engine._running
    assert running is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del engine
        gc.collect()
    assert [str(warning.message).split(":")[0] for warning in caught if warning.category is ResourceWarning] == [
        "<ExecutionEngine running> was not closed"
    ]
    await running.aclose()


async def test_engine_is_used_where_it_was_started(engine: ExecutionEngine) -> None:
    """Not in another event loop, nor outside of one."""

    async def elsewhere() -> None:
        for use in (engine.run("python", ""), engine.start(), engine.aclose()):
            with pytest.raises(EngineMisused, match="another event loop"):
                await use
        with pytest.raises(EngineMisused):
            engine.stream("python", "")

    await asyncio.to_thread(asyncio.run, elsewhere())

    def outside() -> None:
        with pytest.raises(EngineMisused):
            engine.stats()

    await asyncio.to_thread(outside)
    assert (await engine.run("python", "print(1)", strategy=POOL)).stdout == "1\n"


async def test_nothing_blocks_the_event_loop() -> None:
    """No file, no socket, no sleep that others would have to wait for."""
    with blockbuster_ctx("interpreter_tools"):
        async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1, max_size=2))) as engine:
            await engine.warm()
            await engine.run("python", "print(1)", files={"a": b"1"}, stdin=b"2")
            async with engine.stream("shell", "cat", strategy=POOL) as execution:
                await execution.send_stdin(b"1")
                await execution.close_stdin()
                assert [chunk.text async for chunk in execution] == ["1"]
            await asyncio.gather(*(engine.run("python", "", strategy=POOL) for _ in range(4)))


# -- containers that die at work


@pytest.mark.parametrize("how", ["rm", "kill", "stop"])
async def test_busy_container_that_dies_is_told(small: ExecutionEngine, how: str) -> None:
    """At once, to everybody who waits for it; never a made-up result."""
    async with small.stream("python", FOREVER) as execution:
        await anext(execution)
        container = busy_container(small)
        waiting = [asyncio.ensure_future(wait()) for wait in (execution.result, execution.result)]
        await end_as_others_do(container, how)
        async with asyncio.timeout(30):
            errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [ContainerLost, ContainerLost]
        with pytest.raises(ContainerLost):
            await anext(execution)
        with pytest.raises(ContainerLost, match="went away") as caught:
            await execution.result()
        assert "run the code again" in caught.value.hint
    assert (await small.run("python", "print(1)")).stdout == "1\n"
    assert small.stats().discards["lost"] == 1


async def test_supervisor_that_is_killed_is_told(small: ExecutionEngine, docker_client: DockerClient) -> None:
    """Though the kernel takes the whole container with it."""
    async with small.stream("python", FOREVER) as execution:
        await anext(execution)
        inspected = await inspect_container(docker_client, busy_container(small))
        assert inspected is not None
        os.kill(inspected["State"]["Pid"], 9)
        with pytest.raises(ContainerLost):
            async with asyncio.timeout(30):
                await execution.result()
    assert (await small.run("python", "print(1)")).stdout == "1\n"


async def test_paused_container_is_given_up(docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot enforce its limits then; it is removed all the same."""
    monkeypatch.setattr("interpreter_tools._runtime.runtime._LOOK", 1.0)
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))  # so that it is the only one
    async with ExecutionEngine(config) as small:
        async with small.stream("python", FOREVER, timeout=3) as execution:  # it is to be paused by then
            await anext(execution)
            container = busy_container(small)
            await end_as_others_do(container, "pause")
            with pytest.raises(ContainerLost, match="paused"):
                async with asyncio.timeout(30):
                    await execution.result()
        await eventually(lambda: containers_of(docker_client, small), lambda found: container not in found)
        assert (await small.run("python", "print(1)")).stdout == "1\n"


async def test_files_of_a_container_that_does_not_answer_have_a_deadline(
    small: ExecutionEngine, docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation ends with an error in its time; a run without a time limit may be silent for longer."""
    for method in (Channel.ask, Channel.converse):
        monkeypatch.setitem(cast("dict[str, object]", method.__kwdefaults__), "silence", 1.0)
    operations: list[Callable[[Session], Awaitable[object]]] = [
        lambda session: session.list_workspace_files(),
        lambda session: session.read_file_binary("a"),
        lambda session: session.write_file("b", b"b"),
    ]
    for operate in operations:
        async with small.session() as session:
            result = await session.run("python", "import time; time.sleep(2.5); open('a', 'w')", timeout=None)
            assert result.generated_files == ("a",)
            meta = session.info().current_container
            assert meta is not None
            inspected = await inspect_container(docker_client, meta.container_id)
            assert inspected is not None
            for pid in await asyncio.to_thread(family, inspected["State"]["Pid"]):
                os.kill(pid, signal.SIGSTOP)
            with pytest.raises(ContainerLost, match="said nothing for 1 s"):
                async with asyncio.timeout(20):
                    await operate(session)


async def test_engine_that_breaks_and_comes_back(tmp_path: Path) -> None:
    """What runs is told at once; what is asked meanwhile, too; then the pool is as before."""
    async with Relay(tmp_path / "docker.sock") as relay:
        config = EngineConfig(docker_host=relay.address, pool=PoolConfig(min_size=2, max_size=3, wait_timeout=20))
        async with ExecutionEngine(config) as engine:
            await engine.warm()
            async with engine.stream("python", FOREVER) as execution:
                await anext(execution)
                await relay.close()
                with pytest.raises(ContainerLost):
                    async with asyncio.timeout(30):
                        await execution.result()
            with pytest.raises(DockerUnavailable):
                async with asyncio.timeout(30):
                    await engine.run("python", "print(1)")
            await relay.open()

            async def run() -> str:
                try:
                    return (await engine.run("python", "print(1)")).stdout
                except InterpreterToolsError as error:
                    return repr(error)

            await eventually(run, lambda stdout: stdout == "1\n", within=60)

            async def idle() -> int:
                return engine.stats().idle

            await eventually(idle, lambda count: count >= 2, within=60)
            before = time.monotonic()
    assert time.monotonic() - before < 20


# -- what dead clients leave


async def dead_owner() -> Owner:
    """A process that has ended."""
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    here = await asyncio.to_thread(Owner.current)
    return msgspec.structs.replace(here, pid=process.pid)


async def living_owner() -> Owner:
    """Another process that lives: the one that started us."""
    stat = await asyncio.to_thread(Path(f"/proc/{os.getppid()}/stat").read_text)
    here = await asyncio.to_thread(Owner.current)
    return msgspec.structs.replace(here, pid=os.getppid(), pid_start=stat.rpartition(")")[2].split()[19])


async def test_next_engine_removes_what_the_dead_have_left_and_nothing_else(docker_client: DockerClient) -> None:
    """Containers that were created but never started, of an owner that is certainly dead."""
    dead, living = await dead_owner(), await living_owner()
    spec = {"Image": "interpreter-tools/shell:1", "Cmd": ["sleep", "99"]}
    ids = [await docker_client.create_container({**spec, "Labels": owner.labels()}) for owner in (dead, living)]
    unlabelled = await docker_client.create_container(spec)
    try:
        async with ExecutionEngine(EngineConfig(prewarm=())):
            await eventually(lambda: containers_of(docker_client, dead.id), lambda found: not found)
        assert await containers_of(docker_client, living.id) == {ids[1]: "created"}
        assert await inspect_container(docker_client, unlabelled) is not None
    finally:
        for container in (*ids, unlabelled):
            await docker_client.remove_container(container)


async def test_event_loop_that_is_closed_without_the_engine_leaves_no_container(docker_client: DockerClient) -> None:
    """The streams end with the process, and each container with its stream; the engine warns."""
    code = """
import asyncio
from interpreter_tools import *
async def main():
    engine = await ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=2))).start()
    await engine.warm()
    print(engine._running.runtime.owner.id)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "always", "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert b"was not closed: use `async with`" in stderr
    await eventually(lambda: containers_of(docker_client, stdout.decode().strip()), lambda found: not found)


async def test_fork_is_told() -> None:
    """The child cannot use its parent's engine, and does it no harm."""
    code = """
import asyncio, os
from interpreter_tools import *
async def main():
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1))) as engine:
        await engine.warm()
        read, write = os.pipe()
        if os.fork() == 0:
            try: asyncio.run(engine.run("python", "print('child')"))
            except EngineMisused as error: os.write(write, str(error).encode())
            os._exit(0)
        os.wait()
        print(os.read(read, 1000).decode())
        print((await engine.run("python", "print('parent')")).stdout)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert b"before a fork\n  hint: start an engine in each process" in stdout, stderr
    assert b"parent" in stdout
