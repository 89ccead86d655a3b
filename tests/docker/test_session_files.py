"""Files of sessions: in and out, before and between runs."""

from __future__ import annotations

import errno
import os
import resource
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    ExecutionEngine,
    FileRefused,
    InvalidPath,
    Session,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.docker

STRATEGIES = list(ContainerStrategy)
MIB = 1 << 20


@pytest.fixture(params=[*STRATEGIES, "shared"], ids=lambda p: p if isinstance(p, str) else p.value)
async def session(engine: ExecutionEngine, request: pytest.FixtureRequest) -> AsyncIterator[Session]:
    """A session of each kind."""
    kind = request.param
    options = (
        engine.session(strategy=ContainerStrategy.PER_EXECUTION, workspace_sharing="shared")
        if kind == "shared"
        else engine.session(strategy=kind)
    )
    async with options as session:
        yield session


async def test_files_go_in_before_and_between_runs(session: Session) -> None:
    """And come out again, whatever holds them meanwhile; the newest counts."""
    await session.write_file("in/a", b"first")
    assert await session.read_file_binary("in/a") == b"first"
    assert await session.list_workspace_files() == ["in/a"]
    assert (await session.run("shell", "cat in/a; echo -n changed > in/a")).stdout == "first"
    if session.config.strategy is not ContainerStrategy.POOL:
        assert await session.read_file_binary("in/a") == b"changed"
    await session.write_file("in/a", b"second")
    await session.write_file("b", b"b", mode=0o755)
    assert await session.read_file_binary("in/a") == b"second"
    assert (await session.run("shell", "cat in/a b; stat -c ' %a' b")).stdout == "secondb 755\n"
    assert {"b", "in/a"} <= set(await session.list_workspace_files())


async def test_missing_and_forbidden_files(session: Session) -> None:
    """Each says what is wrong, before and after a run."""
    for run in (False, True):
        if run:
            await session.run("shell", "ln -s /etc/passwd link; mkfifo fifo; mkdir dir")
        with pytest.raises(FileRefused, match="missing") as refused:
            await session.read_file_binary("missing")
        assert refused.value.errno == errno.ENOENT
        for path in ("../x", "/etc/passwd", "a/../../x", "", ".", "a\0b", "a\nb", "x" * 256):
            with pytest.raises(InvalidPath):
                await session.write_file(path, b"")
            with pytest.raises(InvalidPath):
                session.read_file(path)
    if session.config.strategy is not ContainerStrategy.POOL:
        for path, number in (("link", errno.ELOOP), ("fifo", errno.ENXIO), ("dir", errno.EISDIR)):
            with pytest.raises(FileRefused) as refused:
                await session.read_file_binary(path)
            assert refused.value.errno == number
            assert bool(refused.value.hint) == (path != "dir")


async def test_base64(session: Session) -> None:
    """Both ways; what is not base64 is refused."""
    await session.add_file_from_base64("notes/hello.txt", "aGk=\n")
    assert await session.read_file_base64("notes/hello.txt") == "aGk="
    with pytest.raises(ConfigurationError, match="base64"):
        await session.add_file_from_base64("a", "no base64!")
    with pytest.raises(ConfigurationError, match="text: 'bytes' is not a text"):
        await session.add_file_from_base64("a", cast("str", b"aGk="))


async def test_directories_in_and_out(session: Session, tmp_path: Path) -> None:
    """A tree in one call each way: contents, execute permission, progress; links stay behind."""
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "data").write_bytes(os.urandom(3 * MIB + 1))
    (source / "tool").write_text("#!/bin/sh\necho tool\n")
    (source / "tool").chmod(0o755)
    (source / "link").symlink_to("/etc/passwd")
    told: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None, /) -> None:
        told.append((done, total))

    copied = await session.copy_directory_into_workspace(source, "in", progress=tell)
    assert copied == ["in/deep/er/data", "in/tool"]
    total = 3 * MIB + 1 + 20
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    result = await session.run("shell", "in/tool; mkdir out; cp in/deep/er/data out/copy; echo x > out/x")
    assert (result.outcome, result.stdout) == ("ok", "tool\n")
    target = tmp_path / "target"
    written = await session.copy_directory_from_workspace(target, "out")
    assert sorted(written) == [target / "copy", target / "x"]
    assert (target / "copy").read_bytes() == (source / "deep" / "er" / "data").read_bytes()
    await session.copy_file_from_workspace("out/x", tmp_path / "single")
    assert (tmp_path / "single").read_text() == "x\n"


async def test_source_that_fails_leaves_no_half_file(engine: ExecutionEngine) -> None:
    """Its error comes through, and the session goes on."""

    async def breaks() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("broken")

    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        for run in (False, True):
            if run:
                await session.run("shell", "true")
            with pytest.raises(RuntimeError, match="broken"):
                await session.write_file("half", breaks())
            assert "half" not in await session.list_workspace_files()
        assert (await session.run("shell", "ls")).stdout == "main.sh\n"


async def test_workspace_that_is_full(engine: ExecutionEngine) -> None:
    """Is told as such, and what was begun is not left half."""
    container = ContainerConfig(workspace_size="4m", memory_limit="64m")
    async with engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session:
        await session.run("shell", "true")
        with pytest.raises(FileRefused) as refused:
            await session.write_file("big", bytes(8 * MIB))
        assert refused.value.errno == errno.ENOSPC
        await session.run("shell", "rm -f big")
        await session.write_file("small", b"small")


async def texts() -> AsyncGenerator[str]:
    """What no file is made from."""
    yield "text"


async def test_sources_that_are_no_files(engine: ExecutionEngine, tmp_path: Path) -> None:
    """Are named, and nothing hangs."""
    os.mkfifo(tmp_path / "fifo")
    async with engine.session() as session:
        for source in ("missing", "fifo", "."):
            with pytest.raises(ConfigurationError, match="source"):
                await session.copy_file_into_workspace(tmp_path / source, "a")
        with pytest.raises(ConfigurationError, match="not a directory"):
            await session.copy_directory_into_workspace(tmp_path / "missing")
        with pytest.raises(ConfigurationError, match="encode"):
            await session.write_file("a", texts())  # pyright: ignore[reportArgumentType]


async def test_large_file_flows_through_little_memory(engine: ExecutionEngine, tmp_path: Path) -> None:
    """In and out, to code and to a file, piece by piece, and right to the last byte."""
    container = ContainerConfig(workspace_size="300m", memory_limit="600m")
    size, piece = 256 * MIB, os.urandom(MIB)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield piece

    async with engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session:
        await session.run("shell", "true")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await session.write_file("big", source())
        assert (await session.run("shell", "stat -c %s big")).stdout == f"{size}\n"
        read, offset = 0, 0
        async for data in session.read_file("big"):
            expected = (piece + piece)[offset : offset + min(len(data), MIB)]
            assert data[: len(expected)] == expected
            read += len(data)
            offset = read % MIB
        assert read == size
        await session.copy_file_from_workspace("big", tmp_path / "big")
        with (tmp_path / "big").open("rb") as copied:
            assert all(copied.read(MIB) == piece for _ in range(size // MIB))
            assert copied.read(1) == b""
        (tmp_path / "big").unlink()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 64 * 1024, f"{grown} KiB more at the peak"


async def test_holes_do_not_fill_this_machine(engine: ExecutionEngine, tmp_path: Path) -> None:
    """A file that claims to be huge is refused, nothing is written."""
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        await session.run("shell", "truncate -s 1P huge; echo x > x")
        with pytest.raises(FileRefused) as refused:
            await session.copy_directory_from_workspace(tmp_path / "out")
        assert refused.value.errno == errno.EFBIG
        with pytest.raises(FileRefused):
            await session.read_file("huge", limit="1m")
        with pytest.raises(FileRefused):
            await session.copy_file_from_workspace("huge", tmp_path / "huge")
        assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize("enough", [1, 20 * MIB])
async def test_copy_that_is_given_up_leaves_nothing(engine: ExecutionEngine, tmp_path: Path, enough: int) -> None:
    """Neither half a file nor a session that hangs."""

    def progress(done: int, total: int | None) -> None:
        assert total == 50 * MIB
        if done >= enough:
            scope.cancel()

    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        await session.run("shell", "head -c 50m /dev/zero > big")
        with anyio.CancelScope() as scope:
            await session.copy_file_from_workspace("big", tmp_path / "big", progress=progress)
        assert scope.cancelled_caught
        assert os.listdir(tmp_path) == []  # noqa: PTH208
        assert (await session.run("shell", "stat -c %s big")).stdout == f"{50 * MIB}\n"


async def test_generated_files_are_kept(session: Session, tmp_path: Path) -> None:
    """They are on this machine after the session is gone: new and changed ones, and no others."""
    await session.write_file("in", b"in")
    await session.write_file("changed", b"old")
    await session.run("shell", "mkdir d; echo out > d/out; echo new > changed; printf 'odd\\nname' > 'odd\nname'")
    written = await session.aclose(keep_generated=tmp_path / "kept")
    kept = {str(path.relative_to(tmp_path / "kept")): path.read_text() for path in written}
    assert kept == {"d/out": "out\n", "changed": "new\n", "odd\nname": "odd\nname"}


async def test_cleanup_keeps_in_the_data_directory(
    engine: ExecutionEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no other place is named; what it returns says where."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    session_id = await engine.create_session()
    await engine.execute_code(session_id, language="shell", code="echo out > out")
    target = await engine.cleanup_session(session_id, keep_generated=True)
    assert target is not None
    assert target.is_relative_to(tmp_path / "interpreter-tools")
    assert (target / "out").read_text() == "out\n"


async def test_reads_and_runs_can_alternate(engine: ExecutionEngine) -> None:
    """A file that is being read does not keep the session from running."""
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        await session.run("shell", "head -c 9m /dev/zero > a")
        pieces = 0
        async for piece in session.read_file("a"):
            pieces += len(piece)
            assert (await session.run("shell", "echo ok")).stdout == "ok\n"
        assert pieces == 9 * MIB


async def test_names_that_programs_choose_do_not_meet_ours(engine: ExecutionEngine, tmp_path: Path) -> None:
    """Neither what could be the name of a copy that is under way, nor names as long as names can be."""
    names = ["x", ".x.part", "n" * 255, "\u00e9" * 127]
    code = f"for name in {names!r}: open(name, 'w').write(name)"
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        await session.run("python", code)
        for written in (
            await session.copy_directory_from_workspace(tmp_path / "copied"),
            await session.aclose(keep_generated=tmp_path / "kept"),
        ):
            found = {path.name: path.read_text() for path in written}
            found.pop("main.py", None)
            assert found == {name: name for name in names}
    for directory in ("copied", "kept"):
        assert set(os.listdir(tmp_path / directory)) - {"main.py"} == set(names)  # noqa: PTH208


async def test_targets_that_are_no_files(session: Session, tmp_path: Path) -> None:
    """Are named, and nothing is written or ended."""
    await session.write_file("a", b"a")
    for target in ("", "a\0b", ".", "/", ".."):
        with pytest.raises(ConfigurationError, match="target: "):
            await session.copy_file_from_workspace("a", target)
    for target in ("", "a\0b"):
        with pytest.raises(ConfigurationError, match="target: "):
            await session.copy_directory_from_workspace(target)
        with pytest.raises(ConfigurationError, match="keep_generated: "):
            await session.aclose(keep_generated=target)
    await session.copy_file_from_workspace("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"a"


async def test_cleanup_keeps_in_no_place_by_accident(
    engine: ExecutionEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty text is not the current directory, and the session is still there."""
    monkeypatch.chdir(tmp_path)
    session_id = await engine.create_session()
    await engine.execute_code(session_id, language="shell", code="echo out > out")
    with pytest.raises(ConfigurationError, match="keep_generated: '' is empty"):
        await engine.cleanup_session(session_id, keep_generated="")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    await engine.cleanup_session(session_id, keep_generated=".")
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208


async def test_directories_that_are_none(session: Session, tmp_path: Path) -> None:
    """Are named, before and after a run; one that is empty is not an error."""
    await session.write_file("file", b"")
    for run in (False, True):
        if run:
            await session.run("shell", "mkdir empty; ln -s / link; echo more >> file")
        for directory, number in (("missing", errno.ENOENT), ("file", errno.ENOTDIR), ("mis/sing", errno.ENOENT)):
            with pytest.raises(FileRefused, match=f"'{directory}'") as refused:
                await session.copy_directory_from_workspace(tmp_path / "out", directory)
            assert refused.value.errno == number
        assert os.listdir(tmp_path) == []  # noqa: PTH208
    if session.config.strategy is not ContainerStrategy.POOL:
        with pytest.raises(FileRefused):
            await session.copy_directory_from_workspace(tmp_path / "out", "link")
        assert await session.copy_directory_from_workspace(tmp_path / "out", "empty") == []
        assert (tmp_path / "out").is_dir()


async def test_reader_is_awaited_again(session: Session) -> None:
    """It reads the file from its beginning, whatever was read before."""
    await session.write_file("a", b"a" * (5 * MIB))
    for run in (False, True):
        if run:
            await session.run("shell", "true")
        reader = session.read_file("a")
        assert len(await anext(reader)) == 4 * MIB
        assert await reader == await reader == b"a" * (5 * MIB)
        assert [len(piece) async for piece in reader] == [MIB]


async def test_absolute_paths_below_the_workspace(session: Session, tmp_path: Path) -> None:
    """As programs print them: in, out, and of directories."""
    await session.write_file("/workspace/in/a.txt", "text")
    assert (await session.run("shell", "cat in/a.txt; cp in/a.txt out.csv", files={"/workspace/b": b""})).ok
    assert await session.read_file_binary("/workspace/out.csv") == b"text"
    await session.copy_file_from_workspace("/workspace/out.csv", tmp_path / "out.csv")
    await session.copy_directory_from_workspace(tmp_path / "all", "/workspace")
    assert (tmp_path / "all/out.csv").read_bytes() == b"text"
    with pytest.raises(InvalidPath, match="is absolute"):
        await session.read_file_binary("/etc/passwd")
