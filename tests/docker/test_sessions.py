"""Sessions: runs with files, a user and perhaps a container in common."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import anyio
import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    Mount,
    PoolConfig,
    RunApp,
    SessionBusy,
    SessionConfig,
    SessionExists,
    TooManySessions,
    UnknownSession,
)
from tests.watch import PER_EXECUTION, PER_SESSION, POOL, containers_of, eventually, inspect_container, owner_of

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker


# -- strategies


async def test_per_session_keeps_its_container_and_files(engine: ExecutionEngine) -> None:
    """One container, one user, files that stay; each run is a process of its own."""
    async with engine.session(strategy=PER_SESSION) as session:
        first = await session.run("python", "import os; open('a.txt', 'w').write('a'); print(os.getuid())")
        second = await session.run("python", "import os; print(open('a.txt').read(), os.getuid()); open('b', 'w')")
        assert second.stdout == f"a {first.stdout}"
        assert (first.generated_files, second.generated_files) == (("a.txt",), ("b",))
        assert second.session_generated_files == ("a.txt", "b")
        assert len(session.info().container_history) == 1


async def test_per_execution_uses_each_container_once(engine: ExecutionEngine) -> None:
    """Nothing of a run is seen by the next, but its files can be read until then; the user is the session's."""
    async with engine.session(strategy=PER_EXECUTION) as session:
        first = await session.run("python", "import os; open('a.txt', 'w').write('a'); print(os.getuid())")
        assert await session.read_file_binary("a.txt") == b"a"
        second = await session.run("shell", "ls; id -u; touch b")
        assert second.stdout == f"main.sh\n{first.stdout}"
        assert await session.list_workspace_files(only_generated=True) == ["b"]
        assert second.session_generated_files == ("a.txt", "b")
        assert len({meta.container_id for meta in session.info().container_history}) == 2


async def test_pool_wipes_but_what_was_made_can_be_read(engine: ExecutionEngine) -> None:
    """The container goes back; the files of the last run wait on this side, and its user is gone."""
    async with engine.session(strategy=POOL) as session:
        result = await session.run("shell", "mkdir d; echo made > d/a.txt; echo more > b; ls")
        assert result.generated_files == ("b", "d/a.txt")
        assert await session.read_file_binary("d/a.txt") == b"made\n"
        assert (await session.run("shell", "ls")).stdout == "main.sh\n"
        assert await session.list_workspace_files() == ["b", "d/a.txt"]


async def test_pool_leaves_out_only_what_does_not_fit(engine: ExecutionEngine) -> None:
    """One file that is too large, or cannot be read, costs those behind it nothing."""
    async with engine.session(strategy=POOL) as session:
        result = await session.run("shell", "head -c 65m /dev/zero > a; echo b > b; echo c > c; chmod 0 c; echo d > d")
        assert result.generated_files == ("a", "b", "c", "d")
        assert await session.list_workspace_files() == ["b", "d"]
        assert await session.read_file_binary("d") == b"d\n"


async def test_two_sessions_share_nothing(engine: ExecutionEngine) -> None:
    """Neither files nor users."""
    sessions = [engine.session(strategy=PER_SESSION) for _ in range(2)]
    async with sessions[0], sessions[1]:
        results = await asyncio.gather(*(s.run("shell", f"id -u; touch {i}; ls") for i, s in enumerate(sessions)))
        users, files = zip(*(result.stdout.split("\n", 1) for result in results), strict=True)
        assert users[0] != users[1]
        assert files == ("0\nmain.sh\n", "1\nmain.sh\n")


@pytest.mark.parametrize("strategy", [PER_EXECUTION, PER_SESSION])
async def test_shared_workspace_across_languages(own_engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """Written by a shell, read by Python, sorted by Node.js, in three images, by one user."""
    async with own_engine.session(strategy=strategy, workspace_sharing="shared") as session:
        await session.write_file("in.txt", b"3\n1\n2\n")
        shell = await session.run("shell", "id -u; mkdir d; cat in.txt > d/numbers; chmod 700 d")
        python = await session.run(
            "python",
            "import os; print(os.getuid()); print(sorted(os.listdir()))\n"
            "open('d/n2', 'w').write(open('d/numbers').read()[::-1])",
        )
        node = await session.run(
            "javascript",
            "const lines = require('fs').readFileSync('d/n2', 'utf8').split('\\n');"
            "console.log(process.getuid()); console.log(lines.sort().join())",
        )
        assert python.stdout.splitlines() == [shell.stdout.strip(), "['d', 'in.txt', 'main.py']"]
        assert node.stdout.splitlines() == [shell.stdout.strip(), ",1,2,3"]
        assert node.session_generated_files == ("d/n2", "d/numbers")
        assert await session.read_file_binary("d/n2") == b"\n2\n1\n3"


async def test_shared_workspace_is_capped(own_engine: ExecutionEngine) -> None:
    """In bytes and inodes, over all containers."""
    container = ContainerConfig(workspace_size="4m", memory_limit="128m")
    async with own_engine.session(workspace_sharing="shared", container=container) as session:
        assert (await session.run("shell", "head -c 3m /dev/zero > a")).outcome == "ok"
        second = await session.run(
            "shell", "head -c 3m /dev/zero > b; rm -f a b; for i in $(seq 2000); do : > $i; done"
        )
        assert second.stderr.count("No space left on device") >= 2


async def test_pool_cannot_share(engine: ExecutionEngine) -> None:
    """It wipes; the error says what can."""
    with pytest.raises(ConfigurationError, match=r"POOL, which wipes[^$]*PER_SESSION or PER_EXECUTION"):
        engine.session(strategy=POOL, workspace_sharing="shared")
    async with engine.session(strategy=POOL) as session:
        with pytest.raises(ConfigurationError, match="POOL"):
            session.stream("shell", "ls", workspace_sharing="shared")


async def test_one_shot_needs_a_session_for_what_lasts(engine: ExecutionEngine) -> None:
    """A single run has neither a session's container nor its workspace."""
    for options in ({"strategy": PER_SESSION}, {"workspace_sharing": "shared"}):
        with pytest.raises(ConfigurationError, match="needs a session"):
            await engine.run("shell", "ls", **options)  # pyright: ignore[reportArgumentType]


# -- by id


async def test_session_by_id(own_engine: ExecutionEngine) -> None:
    """The whole way of the facade, by a name of the caller's."""
    session_id = await own_engine.create_session(SessionConfig(strategy=PER_SESSION, session_id="mine"))
    assert session_id == "mine"
    await own_engine.write_file(session_id, "in/data.json", b"[2, 1]")
    await own_engine.add_file_from_base64(session_id, "notes/hello.txt", "aGk=")
    code = "import json; json.dump(sorted(json.load(open('in/data.json'))), open('out.json', 'w'))"
    result = await own_engine.execute_code(session_id, language="python", code=code)
    assert result.check().generated_files == ("out.json",)
    async with own_engine.stream_code(session_id, language="shell", code="echo streamed") as execution:
        assert [chunk.text async for chunk in execution] == ["streamed\n"]
    info = await own_engine.get_session_info(session_id)
    assert info.current_container is not None
    assert info.current_container.image_name == "interpreter-tools/shell:1"
    python = info.container_history[0]
    assert {"in/data.json", "notes/hello.txt"} == python.baseline_files
    assert python.generated_files == {"out.json"} == python.session_generated_files
    assert info.last_executed_at is not None
    assert info.created_at < info.last_executed_at
    assert info.is_active
    assert await own_engine.cleanup_session(session_id) is None
    with pytest.raises(UnknownSession, match="'mine'"):
        await own_engine.get_session_info(session_id)


async def test_given_id_is_used_again_unless_it_must_be_new(own_engine: ExecutionEngine) -> None:
    """The same configuration finds the same session; another one is an error, not ignored."""
    config = SessionConfig(session_id="again")
    first = await own_engine.create_session(config)
    assert await own_engine.create_session(config) == first
    with pytest.raises(SessionExists, match="another configuration"):
        await own_engine.create_session(config, strategy=PER_EXECUTION)
    with pytest.raises(SessionExists, match="enforce_new_session"):
        await own_engine.create_session(config, enforce_new_session=True)
    new = await own_engine.create_session(session_id="new", enforce_new_session=True)
    assert await own_engine.create_session(session_id="new") == new


async def test_there_are_only_so_many(own_engine: ExecutionEngine) -> None:
    """One more than ``max_sessions`` is refused; one that was cleaned up makes room."""
    ids = [await own_engine.create_session() for _ in range(3)]
    with pytest.raises(TooManySessions, match="max_sessions"):
        await own_engine.create_session()
    await own_engine.cleanup_session(ids[0])
    await own_engine.create_session()


async def test_idle_session_expires(own_engine: ExecutionEngine, docker_client: DockerClient) -> None:
    """With its container; a run keeps it alive."""
    session_id = await own_engine.create_session(strategy=PER_SESSION, idle_timeout=0.5)
    await own_engine.execute_code(session_id, language="shell", code="sleep 1")
    container = (await own_engine.get_session_info(session_id)).current_container
    assert container is not None

    async def gone() -> bool:
        return await inspect_container(docker_client, container.container_id) is None

    await eventually(gone, bool)
    with pytest.raises(UnknownSession, match="idle_timeout"):
        await own_engine.execute_code(session_id, language="shell", code="ls")


# -- turns


async def test_runs_of_one_session_take_turns(engine: ExecutionEngine) -> None:
    """In the order in which they were asked for."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.run("shell", "ls")
        code = "echo $((1 + $(cat n 2>/dev/null || echo 0))) > n; sleep 0.05; cat n"
        results = await asyncio.gather(*(session.run("shell", code) for _ in range(8)))
        assert [int(result.stdout) for result in results] == list(range(1, 9))


async def test_busy_session_can_refuse(engine: ExecutionEngine) -> None:
    """Where the caller would rather know than wait."""
    async with engine.session(strategy=PER_SESSION, when_busy="error") as session:
        async with session.stream("shell", "echo; read x") as execution:
            await anext(execution)
            with pytest.raises(SessionBusy):
                await session.run("shell", "ls")
            with pytest.raises(SessionBusy):
                await session.read_file_binary("main.sh")
        await eventually(lambda: asyncio.sleep(0, session.busy), lambda busy: not busy)
        assert (await session.run("shell", "echo free")).stdout == "free\n"


@pytest.mark.parametrize("strategy", [PER_EXECUTION, POOL, PER_SESSION])
async def test_run_that_is_left_is_killed_and_the_session_goes_on(
    engine: ExecutionEngine, strategy: ContainerStrategy
) -> None:
    """By leaving, by cancellation of either kind, by a time limit; files are still there where they stay."""
    async with engine.session(strategy=strategy) as session:
        await session.write_file("kept", b"kept")
        async with session.stream("shell", "echo made > made; echo; sleep 1000") as execution:
            await anext(execution)
        with anyio.move_on_after(0.3) as scope:
            await session.run("shell", "echo; sleep 1000")
        assert scope.cancelled_caught
        task = asyncio.create_task(session.run("shell", "sleep 1000"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await session.run("shell", "sleep 1000", timeout=0.1)).outcome == "timeout"
        seen = (await session.run("shell", "cat kept; echo; ls; ps -A -o comm= | grep -c sleep")).stdout.split()
        made = ["made"] if strategy is PER_SESSION else []
        assert seen == ["kept", *sorted(["kept", "main.sh", *made]), "0"]


async def test_cancelled_waiter_does_not_take_a_turn(engine: ExecutionEngine) -> None:
    """Those behind it come all the same."""
    async with engine.session(strategy=PER_SESSION) as session:
        async with session.stream("shell", "echo; read x") as execution:
            await anext(execution)
            waiting = [asyncio.create_task(session.run("shell", f"echo {i}")) for i in range(3)]
            await asyncio.sleep(0.05)
            waiting[0].cancel()
            await execution.close_stdin()
            await execution.result()
        assert [(await task).stdout for task in waiting[1:]] == ["1\n", "2\n"]


async def test_engine_that_closes_takes_its_sessions_along(docker_client: DockerClient) -> None:
    """Containers, volumes and waiting callers."""
    engine = await ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0))).start()
    owner = owner_of(engine)
    session = engine.session(workspace_sharing="shared")
    await session.run("shell", "touch a")
    await engine.aclose()
    assert not await docker_client.list_volumes({"interpreter-tools.owner": owner})
    await eventually(lambda: containers_of(docker_client, owner), lambda found: not found)


# -- what the containers are made of


async def test_limits_of_a_run_end_with_it(engine: ExecutionEngine) -> None:
    """In the session's one container, which is the same before and after."""
    container = ContainerConfig(memory_limit="512m", workspace_size="32m", tmp_size="8m")
    async with engine.session(strategy=PER_SESSION, container=container) as session:
        code = "x = bytearray(200 << 20); print(len(x))"
        assert (await session.run("python", code)).outcome == "ok"
        assert (await session.run("python", code, memory_limit="128m")).outcome == "oom"
        assert (await session.run("python", code)).outcome == "ok"
        assert len(session.info().container_history) == 1


@pytest.mark.parametrize("strategy", [PER_EXECUTION, POOL, PER_SESSION])
async def test_configuration_is_honoured(engine: ExecutionEngine, tmp_path: Path, strategy: ContainerStrategy) -> None:
    """Image, variables, directory, mounts and limits; a run's own variables over them, for that run."""
    (tmp_path / "data.txt").write_text("mounted")
    await asyncio.to_thread(tmp_path.chmod, 0o755)
    container = ContainerConfig(
        image="interpreter-tools/shell:1",
        environment={"A": "session", "B": "session"},
        working_dir="/tmp",
        mounts=(Mount(source=str(tmp_path), target="/data"),),
        pids_limit=40,
    )
    async with engine.session(strategy=strategy, container=container, timeout=0.5) as session:
        code = "echo $A $B $PWD $(cat /data/data.txt); jq --version"
        result = await session.run("shell", code, environment={"B": "run"})
        assert result.stdout.split()[:4] == ["session", "run", "/tmp", "mounted"]
        assert (await session.run("shell", "echo $B")).stdout == "session\n"
        assert (await session.run("shell", "sleep 10")).outcome == "timeout"


async def test_results_and_infos_are_plain_data(engine: ExecutionEngine) -> None:
    """As a dictionary and as JSON."""
    async with engine.session(strategy=PER_SESSION) as session:
        result = await session.run("shell", "echo out; touch a")
        plain = json.loads(result.to_json())
        assert (plain["stdout"], plain["generated_files"], plain["outcome"]) == ("out\n", ["a"], "ok")
        assert result.to_dict()["session_generated_files"] == ["a"]


# -- apps


async def test_app_in_the_workspace_runs(engine: ExecutionEngine) -> None:
    """Its entry file, from its directory, with the modules that lie beside it."""
    async with engine.session(strategy=PER_SESSION) as session:
        await session.write_file("app/src/main.py", b"import os, helper; print(os.getcwd(), helper.NAME, __name__)")
        await session.write_file("app/src/helper.py", b"NAME = 'helper'")
        result = await session.run("python", run_app=RunApp(entry_file="src/main.py", cwd="app"))
        assert (result.stdout, result.stderr) == ("/workspace/app helper __main__\n", "")
        await session.write_file("web/main.js", b"console.log(process.cwd(), __filename, require('./lib').name)")
        await session.write_file("web/lib.js", b"exports.name = 'lib'")
        async with engine.session(strategy=PER_EXECUTION) as other:
            files = {name: await session.read_file_binary(name) for name in ("web/main.js", "web/lib.js")}
            app = RunApp(entry_file="main.js", cwd="web")
            result = await other.run("javascript", run_app=app, files=files)
        assert result.stdout == "/workspace/web /workspace/web/main.js lib\n"


async def test_app_and_code_are_one_too_many(engine: ExecutionEngine) -> None:
    """Nobody could say which was meant."""
    async with engine.session() as session:
        with pytest.raises(ConfigurationError, match="beside run_app"):
            session.stream("python", "print(1)", run_app=RunApp(entry_file="main.py"))


async def test_stream_of_much_output_is_left(engine: ExecutionEngine) -> None:
    """At any moment of it: the session keeps its files and its container."""
    flood = "open('f', 'w').close()\nwhile True: print('x' * 200, flush=True)"
    async with engine.session() as session:
        for _ in range(30):
            async with session.stream("python", flood) as execution:
                async for _ in execution:
                    break
            assert await session.read_file_binary("f") == b""
        assert len(session.info().container_history) == 1
