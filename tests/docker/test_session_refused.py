"""A run that never began has changed nothing: no file, no turn, no container of its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    EngineConfig,
    ExecutionEngine,
    FileRefused,
    InterpreterMissing,
    LanguageConfig,
    LanguageRegistry,
    PoolConfig,
    SessionConfig,
)
from tests.watch import PER_EXECUTION, PER_SESSION, POOL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ContainerMeta, ContainerStrategy, Session, SessionInfo

pytestmark = pytest.mark.docker

KINDS = {
    "per_execution": SessionConfig(strategy=PER_EXECUTION),
    "pool": SessionConfig(strategy=POOL),
    "per_session": SessionConfig(strategy=PER_SESSION),
    "shared": SessionConfig(strategy=PER_EXECUTION, workspace_sharing="shared"),
}
NO_PACKAGE = "interpreter-tools-has-no-such-package"


@pytest.fixture(scope="module")
async def small() -> AsyncIterator[ExecutionEngine]:
    """An engine with room for one container of each shape."""
    config = EngineConfig(
        prewarm=(),
        pool=PoolConfig(min_size=0, max_size=1, wait_timeout=20),
        container=ContainerConfig(workspace_size="4m", memory_limit="64m"),
        dependency_timeout=60,
    )
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.fixture
def missing() -> str:
    """A language whose program is in no image."""
    name = "test-missing"
    LanguageRegistry.register(
        LanguageConfig(
            language=name,
            default_image="interpreter-tools/shell:1",
            code_filename="main.none",
            run_command=("no-such-program", "{file}"),
        )
    )
    return name


def containers(info: SessionInfo) -> tuple[list[str], ContainerMeta | None]:
    """The containers that a session has had, and the current one."""
    return [meta.container_id for meta in info.container_history], info.current_container


async def files_of(session: Session) -> set[str]:
    """The files of a session, without the code of its first run."""
    return {name for name in await session.list_workspace_files() if name != "main.sh"}


_BROUGHT = {"made": b"another", "new/deep/file": b"1"}  # what a run that is refused would have written


async def refused(session: Session, cause: str, missing: str) -> None:
    """A run that does not begin."""
    if cause == "directory":
        with pytest.raises(ConfigurationError, match="working_dir"):
            await session.run("shell", "echo ran > ran", working_dir="/nowhere", files=_BROUGHT)
    elif cause == "program":
        with pytest.raises(InterpreterMissing):
            await session.run(missing, "x", files=_BROUGHT)
    elif cause == "file":
        with pytest.raises(FileRefused, match="big"):
            await session.run("shell", "echo ran > ran", files=_BROUGHT | {"big": bytes(8 << 20)})
    elif cause == "environment":
        variables = {f"V{n}": "x" * 1000 for n in range(80)}
        with pytest.raises(ConfigurationError):
            await session.run("shell", "echo ran > ran", environment=variables, files=_BROUGHT)
    elif cause == "packages":
        result = await session.run("python", "", dependencies=[NO_PACKAGE], files=_BROUGHT)
        assert result.outcome == "dependency_error"
    else:
        async with session.stream("python", "", dependencies=[NO_PACKAGE]):
            pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cause", ["directory", "program", "file", "environment", "packages", "leaving"])
async def test_run_that_never_began_changes_nothing(
    small: ExecutionEngine, missing: str, kind: str, cause: str
) -> None:
    """Files of earlier runs and of the host, the containers and the turn are those from before."""
    async with small.session(KINDS[kind]) as session:
        await session.write_file("given", b"1")
        made = await session.run("shell", "echo made > made")
        await session.write_file("between", b"2")
        before = session.info()
        files = await files_of(session)
        await refused(session, cause, missing)
        assert await files_of(session) == files == {"between", "given", "made"}
        assert await session.read_file_binary("made") == b"made\n"
        assert await session.read_file_binary("between") == b"2"
        assert not session.busy
        after = session.info()
        assert after.last_executed_at == before.last_executed_at
        if kind == "per_execution":
            assert containers(after) == containers(before)
        there = set((await session.run("shell", "ls -A")).stdout.split())
        assert there == {"between", "given", "main.sh"} | ({"made"} if KINDS[kind].keeps_files else set[str]())
        again = await session.run("shell", "cat given between")
        assert again.stdout == "12"
        assert made.session_generated_files == again.session_generated_files == ("made",)


@pytest.mark.parametrize("strategy", [PER_EXECUTION, POOL])
@pytest.mark.parametrize("language", ["python", "javascript", "shell"])
async def test_refused_run_gives_its_container_back(
    small: ExecutionEngine, strategy: ContainerStrategy, language: str
) -> None:
    """Whatever the run has put into it is wiped, and the next run takes it, as another user."""
    code = {
        "python": "import os; print(os.listdir('.'), os.getuid())",
        "javascript": "console.log(require('fs').readdirSync('.'), process.getuid())",
        "shell": "ls -A; id -u",
    }
    for _ in range(2):
        before = sum(small.stats().discards.values())
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="working_dir"):
                await small.run(language, "", files={"left": b"x"}, working_dir="/nowhere", strategy=strategy)
        result = await small.run(language, code[language], strategy=strategy)
        assert result.check().stdout
        assert "left" not in result.stdout
        assert sum(small.stats().discards.values()) - before == (strategy is PER_EXECUTION)
