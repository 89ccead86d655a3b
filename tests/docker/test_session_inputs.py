"""Files that a session is given: refused ones are never in the way, and none is lost in silence."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ExecutionEngine,
    FileRefused,
    RunApp,
    Session,
    SessionConfig,
)
from tests.watch import PER_EXECUTION, PER_SESSION, POOL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.docker

MIB = 1 << 20
SMALL = ContainerConfig(workspace_size="4m", memory_limit="64m")
KINDS = {
    "per_execution": SessionConfig(strategy=PER_EXECUTION),
    "pool": SessionConfig(strategy=POOL),
    "per_session": SessionConfig(strategy=PER_SESSION),
    "shared": SessionConfig(strategy=PER_EXECUTION, workspace_sharing="shared"),
}
LASTING = ["per_session", "shared"]
APP = RunApp(entry_file="main.py")


# -- what a workspace refuses


@pytest.mark.parametrize("kind", KINDS)
async def test_file_that_does_not_fit_is_told_of_once(engine: ExecutionEngine, kind: str) -> None:
    """The next run goes without it, and with the others, whatever their permissions; a smaller one takes its place."""
    async with engine.session(KINDS[kind], container=SMALL) as session:
        await session.write_file("before", b"1", mode=0o444)
        await session.write_file("big", bytes(8 * MIB))
        await session.write_file("behind", b"2", mode=0o444)
        with pytest.raises(FileRefused, match="'big'") as refused:
            await session.run("shell", "ls")
        assert refused.value.errno == errno.ENOSPC
        assert set(await session.list_workspace_files()) == {"before", "behind"}
        assert (await session.run("shell", "ls; cat before behind")).stdout == "before\nbehind\nmain.sh\n12"
        await session.write_file("big", b"")
        assert (await session.run("shell", "stat -c %s big")).stdout == "0\n"


@pytest.mark.parametrize("kind", KINDS)
async def test_file_that_was_refused_can_be_written_at_once(engine: ExecutionEngine, kind: str) -> None:
    """Also one that waits behind it: the newest counts, though there is a container now."""
    async with engine.session(KINDS[kind], container=SMALL) as session:
        await session.write_file("big", bytes(8 * MIB))
        await session.write_file("behind", b"old")
        with pytest.raises(FileRefused, match="'big'"):
            await session.run("shell", "ls")
        await session.write_file("big", b"small")
        await session.write_file("behind", b"new")
        assert await session.read_file_binary("behind") == b"new"
        assert (await session.run("shell", "cat big behind")).stdout == "smallnew"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")])
async def test_file_in_the_place_of_a_directory(
    engine: ExecutionEngine, tmp_path: Path, kind: str, first: str, second: str
) -> None:
    """Is refused when it is written, with both names; the first stays, and the session works."""
    tree = tmp_path / "tree"
    (tree / second).parent.mkdir(parents=True)
    (tree / second).write_bytes(b"2")
    (tree / "0").write_bytes(b"0")
    async with engine.session(KINDS[kind]) as session:
        await session.write_file(first, b"1")
        for attempt in (session.write_file(second, b"2"), session.copy_directory_into_workspace(tree)):
            with pytest.raises(FileRefused, match=f"'{first if len(first) < len(second) else second}'") as refused:
                await attempt
            assert first in str(refused.value)
            assert second in str(refused.value)
        assert await session.list_workspace_files() == [first]
        assert (await session.run("shell", f"cat {first}")).stdout == "1"


async def test_refused_file_leaves_what_the_last_run_made(engine: ExecutionEngine) -> None:
    """The run that it was for did not take place."""
    async with engine.session(strategy=PER_EXECUTION, container=SMALL) as session:
        await session.run("shell", "echo made > made")
        await session.write_file("big", bytes(8 * MIB))
        with pytest.raises(FileRefused):
            await session.run("shell", "ls")
        assert await session.read_file_binary("made") == b"made\n"


async def test_file_that_some_runs_refuse_stays_for_the_others(engine: ExecutionEngine) -> None:
    """One that a container has had is not forgotten because a run's own workspace has something in its place."""
    async with engine.session(strategy=PER_EXECUTION) as session:
        await session.write_file("a", b"a")
        assert (await session.run("shell", "cat a; rm a; mkdir a", workspace_sharing="shared")).stdout == "a"
        for _ in range(2):
            with pytest.raises(FileRefused, match="'a'"):
                await session.run("shell", "ls", workspace_sharing="shared")
            assert (await session.run("shell", "cat a")).stdout == "a"


# -- what cannot be written


@pytest.mark.parametrize("mode", [-1, 0o1000, 0o4755, 1 << 40, None, "644"])
async def test_permissions_that_cannot_be(engine: ExecutionEngine, mode: int) -> None:
    """Are named, before and after a run, and the session goes on."""
    async with engine.session(strategy=PER_SESSION) as session:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"mode: .* between 0 and 0o777"):
                await session.write_file("a", b"", mode=mode)
            assert (await session.run("shell", "ls")).stdout == "main.sh\n"
        for good in (0, 0o777):
            await session.write_file(f"x{good}", b"", mode=good)
        assert (await session.run("shell", "stat -c %a x*")).stdout == "0\n777\n"


async def test_text_in_an_iterator(engine: ExecutionEngine) -> None:
    """Is named, and the session goes on."""

    async def texts() -> AsyncIterator[bytes]:
        yield "text"  # pyright: ignore[reportReturnType]

    async with engine.session(strategy=PER_SESSION) as session:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"data: 'str' is not bytes"):
                await session.write_file("a", texts())
            assert (await session.run("shell", "ls")).stdout == "main.sh\n"


async def test_file_from_itself(engine: ExecutionEngine) -> None:
    """A session cannot read and write at once: it says so rather than wait for itself. Two can."""
    async with engine.session(strategy=PER_SESSION) as one, engine.session(strategy=PER_SESSION) as other:
        await one.write_file("a", b"a")
        with pytest.raises(ConfigurationError, match="the same session"):
            await one.write_file("b", one.read_file("a"))
        await other.write_file("b", one.read_file("a"))
        assert await other.read_file_binary("b") == b"a"


async def test_overwriting_that_fails_leaves_nothing_half(engine: ExecutionEngine, tmp_path: Path) -> None:
    """Neither a part of the new file nor the session is left in the middle."""
    (tmp_path / "new").write_bytes(bytes(3 * MIB))

    def fail(done: int, total: int | None, /) -> None:
        raise RuntimeError(f"{done} of {total}")

    async with engine.session(strategy=PER_SESSION, container=SMALL) as session:
        await session.run("shell", "echo old > old; echo kept > kept")
        with pytest.raises(RuntimeError, match=f"of {3 * MIB}"):
            await session.copy_file_into_workspace(tmp_path / "new", "old", progress=fail)
        assert (await session.run("shell", "ls; cat kept")).stdout == "kept\nmain.sh\nkept\n"
        await session.copy_file_into_workspace(tmp_path / "new", "old")
        await session.copy_file_into_workspace(tmp_path / "new", "old")  # needs no room for both
        with pytest.raises(FileRefused):
            await session.write_file("old", bytes(8 * MIB))
        assert (await session.run("shell", "ls; cat kept")).stdout == "kept\nmain.sh\nkept\n"


# -- the caller's own files and code


async def own_file(session: Session, how: str, tmp_path: Path) -> None:
    """Put the caller's program where Python's code goes."""
    program = b"print('project')"
    if how == "written":
        await session.write_file("main.py", program)
    elif how == "run":
        assert (await session.run("python", run_app=APP, files={"main.py": program})).stdout == "project\n"
    else:
        (tmp_path / "main.py").write_bytes(program)
        if how == "copied":
            await session.copy_file_into_workspace(tmp_path / "main.py", "main.py")
        else:
            await session.copy_directory_into_workspace(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["written", "copied", "in a directory"])
@pytest.mark.parametrize("ran", [False, True])
async def test_code_takes_no_file_of_the_callers(
    engine: ExecutionEngine, tmp_path: Path, kind: str, how: str, *, ran: bool
) -> None:
    """The file stays, whenever it came; the code is run from beside it, and is in nobody's way afterwards."""
    async with engine.session(KINDS[kind]) as session:
        if ran:
            for _ in range(2):
                assert (await session.run("python", "print('inline')")).stdout == "inline\n"
        await own_file(session, how, tmp_path)
        for _ in range(2):
            result = await session.run("python", "import os; print('inline', os.getcwd())")
            assert (result.stdout, result.generated_files) == ("inline /workspace\n", ())
            assert (await session.run("python", run_app=APP)).stdout == "project\n"
        assert (await session.run("shell", "cat main.py")).stdout == "print('project')"
        assert set(await session.list_workspace_files()) == {"main.py"}


@pytest.mark.parametrize("kind", LASTING)
async def test_code_takes_no_file_that_came_with_an_app(engine: ExecutionEngine, tmp_path: Path, kind: str) -> None:
    """It stays in the workspace, so it is the caller's like the others."""
    async with engine.session(KINDS[kind]) as session:
        await own_file(session, "run", tmp_path)
        assert (await session.run("python", "print('inline')")).stdout == "inline\n"
        assert (await session.run("python", run_app=APP)).stdout == "project\n"


@pytest.mark.parametrize("kind", LASTING)
async def test_code_takes_no_file_that_a_program_has_made(engine: ExecutionEngine, kind: str) -> None:
    """An app that a program writes is there for the next run, whatever ran meanwhile."""
    async with engine.session(KINDS[kind]) as session:
        await session.run("shell", "echo \"print('project')\" > main.py")
        assert (await session.run("python", "print('inline')")).stdout == "inline\n"
        assert (await session.run("python", run_app=APP)).stdout == "project\n"
