"""The table of docs/files.md, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from interpreter_tools import ConfigurationError, ExecutionEngine, FileRefused, SessionConfig
from tests.watch import PER_EXECUTION, PER_SESSION, POOL

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.docker

READ = {
    "python": "import os; print(open('made').read() if os.path.exists('made') else 'none', end='')",
    "javascript": (
        "const fs = require('fs'); process.stdout.write(fs.existsSync('made') ? fs.readFileSync('made') : 'none')"
    ),
    "shell": "if [ -e made ]; then cat made; else printf none; fi",
}
WRITE = "printf made > made"


class Kind(NamedTuple):
    """A row of the table."""

    config: SessionConfig
    keeps: bool


KINDS = {
    "default": Kind(SessionConfig(), keeps=True),
    "per_session": Kind(SessionConfig(strategy=PER_SESSION, workspace_sharing="isolated"), keeps=True),
    "per_session_shared": Kind(SessionConfig(strategy=PER_SESSION, workspace_sharing="shared"), keeps=True),
    "per_execution": Kind(SessionConfig(strategy=PER_EXECUTION), keeps=False),
    "per_execution_shared": Kind(SessionConfig(strategy=PER_EXECUTION, workspace_sharing="shared"), keeps=True),
    "pool": Kind(SessionConfig(strategy=POOL), keeps=False),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_session_says_whether_it_keeps_files(engine: ExecutionEngine, kind: str) -> None:
    """In its configuration and in its info."""
    config, keeps = KINDS[kind]
    async with engine.session(config) as session:
        assert config.keeps_files == session.info().keeps_files == keeps


@pytest.mark.parametrize("language", READ)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_run_made(engine: ExecutionEngine, kind: str, language: str) -> None:
    """For the next run, in the same language and in others, and for the host until then."""
    config, keeps = KINDS[kind]
    async with engine.session(config) as session:
        await session.run("shell", WRITE)
        assert await session.read_file_binary("made") == b"made"
        assert (await session.run(language, READ[language])).check().stdout == ("made" if keeps else "none")
        assert (await session.run("shell", READ["shell"])).stdout == ("made" if keeps else "none")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_the_host_wrote(engine: ExecutionEngine, kind: str) -> None:
    """Before the first run, between two, for every language; a change by a run stays where files do."""
    config, keeps = KINDS[kind]
    async with engine.session(config) as session:
        await session.write_file("made", b"one")
        for language, code in READ.items():
            assert (await session.run(language, code)).stdout == "one"
        await session.write_file("made", b"two")
        for language, code in READ.items():
            assert (await session.run(language, code)).stdout == "two"
        await session.run("shell", "printf three > made")
        for language, code in READ.items():
            assert (await session.run(language, code)).stdout == ("three" if keeps else "two")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["exit 3", "sleep 100", "kill -9 $$"])
async def test_after_a_run_that_failed(engine: ExecutionEngine, kind: str, end: str) -> None:
    """Its files are there like those of any other."""
    config, keeps = KINDS[kind]
    async with engine.session(config) as session:
        assert (await session.run("shell", f"{WRITE}; {end}", timeout=2)).outcome != "ok"
        assert await session.read_file_binary("made") == b"made"
        assert (await session.run("python", READ["python"])).stdout == ("made" if keeps else "none")


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_run_that_never_began(engine: ExecutionEngine, kind: str) -> None:
    """All is as before, also where the run is in another language."""
    config, keeps = KINDS[kind]
    async with engine.session(config) as session:
        await session.run("shell", WRITE)
        with pytest.raises(ConfigurationError, match="working_dir"):
            await session.run("python", "", working_dir="/nowhere")
        assert await session.read_file_binary("made") == b"made"
        assert (await session.run("shell", READ["shell"])).stdout == ("made" if keeps else "none")


@pytest.mark.parametrize("kind", KINDS)
async def test_after_cleanup(engine: ExecutionEngine, kind: str, tmp_path: Path) -> None:
    """Generated files are on the host where that was asked for; those of all languages, where files stay."""
    config, keeps = KINDS[kind]
    session = engine.session(config)
    await session.run("shell", WRITE)
    await session.run("python", "open('other', 'w').write('other')")
    await session.aclose(keep_generated=tmp_path)
    assert (tmp_path / "other").read_bytes() == b"other"
    assert (tmp_path / "made").exists() == keeps


# -- one workspace for several languages


async def test_everything_moves_with_the_workspace(engine: ExecutionEngine) -> None:
    """Links, permissions, times, empty directories, names of any kind, and what is large."""
    async with engine.session() as session:
        await session.run(
            "shell",
            "mkdir -p d/empty; printf x > d/f; ln -s d/f link; ln d/f hard; chmod 751 d/f; touch -d 2001-02-03 d/f;"
            "printf y > ./-n; printf z > '.h i'; printf q > a%b; mkfifo pipe; head -c 20000000 /dev/zero > large;"
            "truncate -s 1T hole; printf n > d/no; chmod 0 d/no",
        )
        await session.run("shell", "rm -f d/no")
        look = (
            "import os; s = os.stat('d/f'); print(oct(s.st_mode), int(s.st_mtime) // 86400, s.st_nlink,"
            "os.readlink('link'), os.listdir('d/empty'), os.path.getsize('large'), os.path.getsize('hole'),"
            "sorted(os.listdir('.')), s.st_uid == os.getuid())"
        )
        moved = (await session.run("python", look)).check()
        assert moved.stdout == (
            "0o100751 11356 2 d/f [] 20000000 1099511627776 "
            r"['-n', '.h i', 'a%b', 'd', 'hard', 'hole', 'large', 'link', 'main.py', 'pipe'] True" + "\n"
        )
        assert moved.generated_files == ()
        assert (await session.run("javascript", "console.log(require('fs').readlinkSync('link'))")).stdout == "d/f\n"
        assert (await session.run("shell", "cat d/f; id -u")).stdout.startswith("x")


async def test_files_without_a_right_to_read_move_too(engine: ExecutionEngine) -> None:
    """Their owner gets that right; what is only read-only stays so."""
    async with engine.session() as session:
        await session.run(
            "shell", "mkdir d; printf x > d/secret; printf y > fixed; chmod 444 fixed; chmod 0 d/secret; chmod 0 d"
        )
        with pytest.raises(FileRefused) as refused:
            await session.read_file_binary("d/secret")
        assert "chmod" in refused.value.hint
        code = "import os; print(*(open(n).read() + oct(os.stat(n).st_mode) for n in ('d/secret', 'fixed')))"
        assert (await session.run("python", code)).stdout == "x0o100400 y0o100444\n"


async def test_another_network_sees_the_same_files(engine: ExecutionEngine) -> None:
    """Also in the same language: it is another container."""
    async with engine.session() as session:
        await session.run("shell", WRITE)
        assert (await session.run("shell", READ["shell"], pids_limit=60)).stdout == "made"
        assert (await session.run("shell", READ["shell"], network="bridge")).stdout == "made"
        assert (await session.run("shell", f"{READ['shell']}; printf again > made")).stdout == "made"
        assert (await session.run("shell", READ["shell"], network="bridge")).stdout == "again"


async def test_session_of_one_language_takes_a_warm_container() -> None:
    """Nothing is created for its first run, nor for those after it."""
    async with ExecutionEngine() as engine:
        await engine.warm("python")
        async with engine.session() as session:
            for _ in range(5):
                await session.run("python", "")
            assert len(session.info().container_history) == 1
            assert engine.stats().hits == 1


async def test_programs_of_the_caller_are_not_taken_for_code(engine: ExecutionEngine) -> None:
    """What the host wrote stays after the move, too."""
    async with engine.session() as session:
        await session.run("shell", "true")
        await session.write_file("main.py", b"print('mine')")
        assert (await session.run("python", "print(open('main.py').read())")).stdout == "print('mine')\n"


@pytest.mark.parametrize("kind", ["default", "per_execution_shared"])
async def test_generated_directory_that_is_renamed(engine: ExecutionEngine, kind: str, tmp_path: Path) -> None:
    """Its files are generated files under their new names, and no longer under the old ones."""
    session = engine.session(KINDS[kind].config)
    await session.run("shell", "mkdir -p out/deep; echo 1 > out/one; echo 2 > out/deep/two; echo 3 > three; : > four")
    moved = await session.run("shell", "mv out final; mv three drei; rm four")
    assert moved.generated_files == ("drei", "final/deep/two", "final/one")
    assert moved.session_generated_files == ("drei", "final/deep/two", "final/one")
    again = await session.run("python", "")
    assert (again.generated_files, again.session_generated_files) == ((), moved.session_generated_files)
    assert await session.list_workspace_files(only_generated=True) == list(moved.session_generated_files)
    kept = await session.aclose(keep_generated=tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in kept} == set(moved.session_generated_files)
    assert (tmp_path / "final/deep/two").read_bytes() == b"2\n"
