"""The sandbox through deepagents: LangChain's standard tests, and what they leave out."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import TYPE_CHECKING

import pytest
from deepagents.backends.protocol import ExecuteResponse
from langchain_tests.integration_tests import SandboxIntegrationTests

from interpreter_tools import EngineConfig, EngineMisused, SessionClosed
from interpreter_tools.adapters.deepagents import InterpreterToolsSandbox
from tests.watch import containers_of, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from deepagents.backends.protocol import SandboxBackendProtocol

    from interpreter_tools import ExecutionEngine
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

# What langchain-tests 1.1.9 expects and deepagents 0.7.32 does otherwise, in BaseSandbox itself.
GLOB = (
    "BaseSandbox.glob finds files only, by absolute paths, as its protocol says; the suite wants directories, relative"
)
WRITE = "BaseSandbox.write replaces a file that is there, as its protocol says; the suite wants an error"
SKEW = {
    "test_glob": GLOB,
    "test_glob_basic_pattern": GLOB,
    "test_glob_hidden_files_explicitly": GLOB,
    "test_glob_with_character_class": GLOB,
    "test_glob_with_directories": GLOB,
    "test_glob_with_question_mark": GLOB,
    "test_write_existing_file_fails": WRITE,
}


@pytest.fixture(scope="module")
def blocking() -> Iterator[InterpreterToolsSandbox]:
    """A sandbox for programs without asyncio."""
    with InterpreterToolsSandbox.blocking(EngineConfig(output_limit="1m")) as sandbox:
        yield sandbox


@pytest.fixture
async def sandbox(engine: ExecutionEngine) -> AsyncIterator[InterpreterToolsSandbox]:
    """A sandbox in the event loop of its engine."""
    async with InterpreterToolsSandbox(engine, timeout=60) as sandbox:
        yield sandbox


class TestConformance(SandboxIntegrationTests):
    """LangChain's standard tests for sandboxes."""

    @pytest.fixture
    def sandbox(self, blocking: InterpreterToolsSandbox) -> SandboxBackendProtocol:
        """One for all; each test has a directory of its own."""
        return blocking

    @pytest.fixture
    def sandbox_backend(
        self, sandbox: SandboxBackendProtocol, request: pytest.FixtureRequest
    ) -> SandboxBackendProtocol:
        """The same, with what is known to fail marked."""
        if request.node.originalname in SKEW:
            request.applymarker(pytest.mark.xfail(reason=SKEW[request.node.originalname], strict=True))
        return sandbox


async def test_command_is_told_in_order_with_its_status(sandbox: InterpreterToolsSandbox) -> None:
    """Both outputs as they came."""
    response = await sandbox.aexecute("echo 1; echo 2 >&2; echo 3; exit 4")
    assert response == ExecuteResponse(output="1\n2\n3\n", exit_code=4, truncated=False)


async def test_limits_are_told(sandbox: InterpreterToolsSandbox, blocking: InterpreterToolsSandbox) -> None:
    """The time, with what was written until then, and the output."""
    await sandbox.aexecute("true")  # what starts with a sandbox's first command, a busy machine starts late
    response = await sandbox.aexecute("echo begun; sleep 300", timeout=3)
    assert (response.exit_code, response.truncated) == (124, False)
    assert response.output == "begun\n\nError: the command was killed after 3 seconds."
    response = await blocking.aexecute("yes")
    assert (response.truncated, len(response.output)) == (True, 1 << 20)


async def test_uploads_and_downloads_fail_one_by_one(sandbox: InterpreterToolsSandbox) -> None:
    """Each with the protocol's word."""
    await sandbox.aexecute("mkdir dir && touch secret && chmod 000 secret")
    uploaded = await sandbox.aupload_files([
        ("/workspace/a", b"1"), ("relative", b""), ("/workspace/dir", b""), ("/workspace/secret", b""), ("/etc/x", b""),
    ])  # fmt: skip
    words = [None, "invalid_path", "is_directory", "permission_denied", "Read-only file system"]
    assert [response.error for response in uploaded] == words
    downloaded = await sandbox.adownload_files(["/workspace/a", "/nowhere", "/workspace/dir", "/workspace/secret"])
    assert [response.content for response in downloaded] == [b"1", None, None, None]
    assert [response.error for response in downloaded] == [None, "file_not_found", *words[2:4]]


async def test_cancelling_kills(sandbox: InterpreterToolsSandbox) -> None:
    """What runs in the sandbox."""
    task = asyncio.create_task(sandbox.aexecute("echo $$ > pid; exec sleep 300"))

    async def pid() -> str:
        return (await sandbox.aexecute("cat pid 2>/dev/null")).output.strip()

    await eventually(pid, bool)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await sandbox.aexecute("kill -0 $(cat pid)")).exit_code != 0


async def test_cancelling_from_another_event_loop_kills(blocking: InterpreterToolsSandbox) -> None:
    """The sandbox's own is in a thread of its own."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await blocking.aexecute("exec sleep 305")

    async def left() -> str:
        return (await blocking.aexecute("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'slee[p] 305'")).output

    await eventually(left, lambda output: not output)


async def test_threads_may_block_and_the_event_loop_may_not(sandbox: InterpreterToolsSandbox) -> None:
    """It would wait for itself."""
    response = await asyncio.to_thread(sandbox.execute, "echo hello")
    assert response.output == "hello\n"
    (downloaded,) = await asyncio.to_thread(sandbox.download_files, ["/etc/hostname"])
    assert downloaded.error is None
    with pytest.raises(EngineMisused, match="would block"):
        sandbox.execute("true")


async def test_sandbox_leaves_nothing(engine: ExecutionEngine, docker_client: DockerClient) -> None:
    """Its container goes with it, and its thread; it says so when it is used again."""
    async with InterpreterToolsSandbox(engine) as sandbox:
        await sandbox.aexecute("setsid sleep 300 &")
        (container,) = (await engine.get_session_info(sandbox.id)).container_history
        assert container.container_id in await containers_of(docker_client, engine)
    look = functools.partial(containers_of, docker_client, engine)
    await eventually(look, lambda found: container.container_id not in found, within=30)
    with pytest.raises(SessionClosed, match="not open"):
        await sandbox.aexecute("true")
    threads = threading.active_count()

    def run() -> None:
        with InterpreterToolsSandbox.blocking(EngineConfig(prewarm=())) as sandbox:
            assert sandbox.execute("echo hello").output == "hello\n"

    await asyncio.to_thread(run)
    assert threading.active_count() <= threads + 1  # the one of to_thread stays
