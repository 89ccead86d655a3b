"""Sessions with several containers, and sessions that lose one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerLost, ContainerStrategy, FileRefused
from tests.watch import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools import ExecutionEngine, Session, SessionInfo
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

PER_EXECUTION, PER_SESSION = ContainerStrategy.PER_EXECUTION, ContainerStrategy.PER_SESSION


async def lose(client: DockerClient, session: Session, which: int = -1) -> None:
    """Remove a container of a session behind its back, and return when that has been noticed."""
    await client.remove_container(session.info().container_history[which].container_id)

    async def look() -> SessionInfo:
        return session.info()

    await eventually(look, lambda info: not info.container_history[which].is_running)


# -- one is lost


@pytest.mark.parametrize("sharing", ["isolated", "shared"])
async def test_lost_container_is_told_once(
    own_engine: ExecutionEngine, docker_client: DockerClient, sharing: str
) -> None:
    """Its files are gone, and that must be known; then the session starts afresh."""
    shared = sharing == "shared"
    async with own_engine.session(
        strategy=PER_SESSION, workspace_sharing="shared" if shared else "isolated"
    ) as session:
        await session.run("shell", "touch a")
        await lose(docker_client, session)
        with pytest.raises(ContainerLost, match="gone, with its files"):
            await session.run("shell", "ls")
        again = await session.run("shell", "ls; touch b")
        assert (again.stdout, again.session_generated_files) == ("main.sh\n", ("b",))


@pytest.mark.parametrize("warm", [False, True])
async def test_lost_shared_workspace_is_told_once(
    own_engine: ExecutionEngine, docker_client: DockerClient, warm: bool
) -> None:
    """Each run has another container, but one keeps their files; one that waits in the pool does not count."""
    async with own_engine.session(strategy=PER_EXECUTION, workspace_sharing="shared") as session:
        await session.run("shell", "touch a")
        if warm:
            assert own_engine._running is not None
            (pool,) = own_engine._running.runtime.pools.values()
            pool.keep(1)
            await pool.warm()
        await lose(docker_client, session)
        with pytest.raises(ContainerLost, match="gone, with its files"):
            await session.run("shell", "ls")
        assert await session.list_workspace_files() == []
        again = await session.run("shell", "ls; touch b")
        assert (again.stdout, again.session_generated_files) == ("main.sh\n", ("b",))


@pytest.mark.parametrize("strategy", [PER_SESSION, PER_EXECUTION])
async def test_run_that_loses_its_container_is_the_one_that_tells(
    own_engine: ExecutionEngine, docker_client: DockerClient, strategy: ContainerStrategy
) -> None:
    """The run after it begins anew; until then, a call that asks for the files is told that they are gone."""
    async with own_engine.session(strategy=strategy, workspace_sharing="shared") as session:
        await session.write_file("in", b"in")
        async with session.stream("shell", "cat in; touch made; sleep 1000") as execution:
            await anext(execution)
            await lose(docker_client, session)
            with pytest.raises(ContainerLost):
                await execution.result()
        with pytest.raises(ContainerLost, match="gone, with its files"):
            await session.read_file_binary("in")
        assert (await session.run("shell", "ls")).stdout == "main.sh\n"
        await session.write_file("in", b"again")
        assert (await session.run("shell", "cat in")).stdout == "again"


async def test_loss_behind_a_caller_that_has_left_is_told_by_the_next_run(
    own_engine: ExecutionEngine, docker_client: DockerClient
) -> None:
    """The program is killed after its caller has left, and its container is lost then: nobody knows yet."""
    async with own_engine.session(strategy=PER_SESSION) as session:
        await session.run("shell", "touch a")
        async with session.stream("shell", "echo; sleep 1000") as execution:
            await anext(execution)
        await lose(docker_client, session)
        with pytest.raises(ContainerLost, match="gone, with its files"):
            await session.run("shell", "ls")
        assert (await session.run("shell", "ls")).stdout == "main.sh\n"


async def test_run_that_loses_its_container_costs_a_shared_workspace_nothing(
    own_engine: ExecutionEngine, docker_client: DockerClient
) -> None:
    """The container of the run before has it still."""
    async with own_engine.session(strategy=PER_EXECUTION, workspace_sharing="shared") as session:
        await session.run("shell", "echo a > a")
        async with session.stream("shell", "echo; sleep 1000") as execution:
            await anext(execution)
            await lose(docker_client, session)
            with pytest.raises(ContainerLost):
                await execution.result()
        assert (await session.run("shell", "cat a")).stdout == "a\n"


async def test_pooled_container_that_is_lost_before_its_files_are_kept(own_engine: ExecutionEngine) -> None:
    """Who asks for them is told; the next run has nothing to do with it."""
    async with own_engine.session(strategy=ContainerStrategy.POOL) as session:
        await session.run("shell", "echo a > a; echo b > b")
        (record,) = session._workspace.containers._live
        record.channel.close()  # as its end would: here, in the moment in which it matters
        with pytest.raises(ContainerLost):
            await session.list_workspace_files()
        with pytest.raises(ContainerLost):
            await session.read_file_binary("a")
        await session.run("shell", "echo c > c")
        assert await session.list_workspace_files() == ["c"]


@pytest.mark.parametrize("strategy", [PER_EXECUTION, PER_SESSION])
async def test_files_that_are_lost_are_not_shown_as_none(
    own_engine: ExecutionEngine, docker_client: DockerClient, tmp_path: Path, strategy: ContainerStrategy
) -> None:
    """Who asks for them is told; the session is there until it is cleaned up without them."""
    session_id = await own_engine.create_session(strategy=strategy)
    session = own_engine.session(strategy=strategy, session_id=session_id)
    await session.run("shell", "echo a > a")
    await lose(docker_client, session)
    with pytest.raises(ContainerLost):
        await session.list_workspace_files()
    with pytest.raises(ContainerLost):
        await session.read_file_binary("a")
    with pytest.raises(ContainerLost, match="without keep_generated"):
        await own_engine.cleanup_session(session_id, keep_generated=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    assert await own_engine.cleanup_session(session_id) is None


async def test_container_of_another_language_is_lost_without_the_files(
    own_engine: ExecutionEngine, docker_client: DockerClient, tmp_path: Path
) -> None:
    """All containers of the session have them: the one that the first language had before is gone anyway."""
    session = own_engine.session(strategy=PER_SESSION)
    await session.run("python", "open('a', 'w').write('a')")
    await session.run("shell", "echo b > b")
    assert not session.info().container_history[0].is_running
    await session.run("python", "pass")
    await lose(docker_client, session)
    with pytest.raises(ContainerLost):
        await session.run("shell", "ls")
    assert await session.list_workspace_files(only_generated=True) == ["a", "b"]
    assert (await session.run("shell", "touch c")).session_generated_files == ("a", "b", "c")
    kept = await session.aclose(keep_generated=tmp_path)
    assert set(kept) == {tmp_path / "a", tmp_path / "b", tmp_path / "c"}


async def test_shared_workspace_lives_while_one_container_has_it(
    own_engine: ExecutionEngine, docker_client: DockerClient
) -> None:
    """The loss of another is told once, but no files are."""
    async with own_engine.session(strategy=PER_SESSION, workspace_sharing="shared") as session:
        await session.run("python", "open('a', 'w').write('a')")
        await session.run("shell", "touch b")
        await lose(docker_client, session)
        assert await session.list_workspace_files(only_generated=True) == ["a", "b"]
        with pytest.raises(ContainerLost):
            await session.run("shell", "ls")
        again = await session.run("shell", "cat a; touch c")
        assert (again.stdout, again.session_generated_files) == ("a", ("a", "b", "c"))


# -- several hold files


async def test_files_of_all_languages_are_read_listed_and_kept(own_engine: ExecutionEngine, tmp_path: Path) -> None:
    """There is one file of each name: the one that was written last."""
    session = own_engine.session(strategy=PER_SESSION)
    await session.run("python", "for name in ('a', 'both'): open(name, 'w').write('python')")
    result = await session.run("shell", "printf shell > b; printf shell > both")
    assert result.session_generated_files == ("a", "b", "both")
    read = {name: await session.read_file_binary(name) for name in ("a", "b", "both")}
    assert read == {"a": b"python", "b": b"shell", "both": b"shell"}
    with pytest.raises(FileRefused, match="missing"):
        await session.read_file_binary("missing")
    await session.copy_file_from_workspace("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "python"
    await session.run("python", "pass")
    assert await session.list_workspace_files(only_generated=True) == ["a", "b", "both"]
    await session.aclose(keep_generated=tmp_path / "kept")
    kept = {path.name: path.read_text() for path in (tmp_path / "kept").iterdir()}
    assert kept == {"a": "python", "b": "shell", "both": "shell"}


@pytest.mark.parametrize("strategy", [PER_EXECUTION, PER_SESSION])
async def test_shared_workspace_comes_before_that_of_an_isolated_run(
    own_engine: ExecutionEngine, strategy: ContainerStrategy
) -> None:
    """What is written goes there, also when the isolated run was the last or the first."""
    async with own_engine.session(strategy=strategy, workspace_sharing="shared") as session:
        await session.write_file("early", b"early")
        await session.run("shell", "echo -n isolated > mine", workspace_sharing="isolated")
        await session.run("shell", "echo -n shared > a; echo -n shared > both")
        await session.run("shell", "echo -n isolated > b; echo -n isolated > both", workspace_sharing="isolated")
        await session.write_file("late", b"late")
        read = {name: await session.read_file_binary(name) for name in ("a", "b", "both", "late")}
        assert read == {"a": b"shared", "b": b"isolated", "both": b"shared", "late": b"late"}
        assert {"a", "b", "both"} <= set(await session.list_workspace_files(only_generated=True))
        assert (await session.run("shell", "cat a early late")).stdout == "sharedearlylate"
