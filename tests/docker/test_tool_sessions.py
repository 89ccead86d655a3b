"""The tool with files, packages and mounts that outlast a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ContainerStrategy,
    EngineClosed,
    EngineConfig,
    ExecutionEngine,
    InvalidArguments,
    Mount,
    PoolConfig,
    SessionConfig,
    UnknownSession,
    create_code_execution_tool,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker

PER_SESSION = ContainerStrategy.PER_SESSION
SMALL = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2, wait_timeout=120))
WRITE = {"language": "python", "code": "open('a.txt', 'w').write('kept')"}
READ = {"language": "python", "code": "print(open('a.txt').read())"}


async def test_calls_forget_by_default(engine: ExecutionEngine) -> None:
    """Each has a fresh container."""
    tool = create_code_execution_tool(engine=engine)
    await tool.execute(WRITE)
    assert "FileNotFoundError" in (await tool.execute(READ)).stderr
    assert tool.session_id is None


async def test_session_of_the_tool_keeps_files(engine: ExecutionEngine) -> None:
    """It is made on first use and goes with the tool; the engine stays."""
    async with create_code_execution_tool(engine=engine, strategy=PER_SESSION) as tool:
        assert tool.session_id is None
        await tool.execute(WRITE)
        assert (await tool.execute(READ)).stdout == "kept\n"
        assert tool.session_id is not None
        assert await engine.read_file_binary(tool.session_id, "a.txt") == b"kept"
    with pytest.raises(UnknownSession):
        await engine.get_session_info(tool.session_id)
    with pytest.raises(EngineClosed):
        await tool.execute(READ)


async def test_tools_do_not_share_sessions(engine: ExecutionEngine) -> None:
    """Unless that is asked for."""
    async with (
        create_code_execution_tool(engine=engine, strategy=PER_SESSION) as one,
        create_code_execution_tool(engine=engine, strategy=PER_SESSION) as other,
    ):
        await one.execute(WRITE)
        assert "FileNotFoundError" in (await other.execute(READ)).stderr


async def test_shared_workspace_spans_languages(engine: ExecutionEngine) -> None:
    """Each run has its own container, and all see the same files."""
    async with create_code_execution_tool(engine=engine, workspace_sharing="shared") as tool:
        await tool.execute(WRITE)
        reply = await tool.call(language="shell", code="cat a.txt; echo x > b.txt")
        assert reply.text == "[ok, exit code 0]\nfiles in /workspace: b.txt\nstdout:\nkept"


async def test_one_call_can_share(engine: ExecutionEngine) -> None:
    """With the others that do, and with no other."""
    async with create_code_execution_tool(engine=engine) as tool:
        await tool.execute(WRITE, workspace_sharing="shared")
        assert (await tool.execute(READ, workspace_sharing="shared")).stdout == "kept\n"
        assert "FileNotFoundError" in (await tool.execute(READ)).stderr


async def test_session_of_the_caller_is_used(engine: ExecutionEngine) -> None:
    """And stays when the tool goes."""
    session_id = await engine.create_session(SessionConfig(strategy=PER_SESSION))
    await engine.write_file(session_id, "a.txt", b"from outside")
    async with create_code_execution_tool(engine=engine, session_id=session_id) as tool:
        assert tool.session_id == session_id
        assert (await tool.execute(READ)).stdout == "from outside\n"
    await engine.cleanup_session(session_id)
    tool = create_code_execution_tool(engine=engine, session_id=session_id)
    with pytest.raises(UnknownSession):
        await tool.execute(READ)


async def test_engine_of_the_tool_holds_its_session() -> None:
    """Both are gone after cleanup."""
    tool = create_code_execution_tool(config=SMALL, strategy=PER_SESSION)
    await tool.execute(language="shell", code="echo kept > a.txt")
    assert (await tool.execute(language="shell", code="cat a.txt")).stdout == "kept\n"
    assert tool.engine is not None
    await tool.cleanup()
    assert "closed" in repr(tool.engine)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One that the sandbox's user may read."""
    (tmp_path / "in.txt").write_text("mounted")
    tmp_path.chmod(0o755)
    return tmp_path


async def test_mounts_are_seen(engine: ExecutionEngine, directory: Path) -> None:
    """By each run."""
    mount = Mount(source=str(directory), target="data")
    tool = create_code_execution_tool(engine=engine, mounts=(mount,))
    assert (await tool.execute(language="python", code="print(open('data/in.txt').read())")).stdout == "mounted\n"


async def test_packages_are_installed(engine: ExecutionEngine) -> None:
    """Also for the first call of a tool whose engine starts with it, and however they are listed."""
    code = "import six; print(six.__name__)"
    tool = create_code_execution_tool(engine=engine, auto_dependencies=False)
    reply = await tool.call(language="python", code=code)
    assert 'call again with dependencies=["six"]' in reply.text
    reply = await tool.call(language="python", code=code, dependencies="six")
    assert reply.text == "[ok, exit code 0]\nstdout:\nsix"
    async with create_code_execution_tool(config=SMALL) as own:
        assert (await own.execute(language="python", code=code, dependencies="pip install six")).stdout == "six\n"


async def test_wrong_packages_are_explained(engine: ExecutionEngine) -> None:
    """Those that are no names, and those that are not there."""
    tool = create_code_execution_tool(engine=engine)
    with pytest.raises(InvalidArguments, match=r"^dependencies\[0\]"):
        await tool.execute(language="python", code="1", dependencies=["a b; rm -rf /"])
    reply = await tool.call(language="python", code="1", dependencies=["--index-url=http://x"])
    assert "did not run the code. dependencies[0]:" in reply.text
    reply = await tool.call(language="python", code="print(1)", dependencies=["no-such-package-of-these-tests"])
    assert reply.text.startswith("[dependency_error]\nThe dependencies could not be installed")
    assert "no-such-package-of-these-tests" in reply.text


async def test_packages_can_be_refused(engine: ExecutionEngine) -> None:
    """The model is told to do without."""
    tool = create_code_execution_tool(engine=engine, dependencies=False)
    reply = await tool.call(language="python", code="1", dependencies=["six"])
    assert "cannot be installed" in reply.text
    reply = await tool.call(language="python", code="import numpy_of_tests")
    assert "cannot be installed: do without it" in reply.text
