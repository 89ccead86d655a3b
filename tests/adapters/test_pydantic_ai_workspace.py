"""The sandbox as PydanticAI's workspace: their conformance suite, and what it leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic_ai import Agent, ModelMessage, ModelResponse, RunContext, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.workspaces import (
    WorkspaceOutputLimitError,
    WorkspaceRef,
    WorkspaceTimeoutError,
    WorkspaceUnavailableError,
)
from pydantic_ai.workspaces.conformance import WorkspaceBackendSuite

from interpreter_tools import ConfigurationError, EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools.adapters.pydantic_ai_workspace import SandboxWorkspace, SandboxWorkspaceBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pydantic_ai.workspaces import WorkspaceBackend

pytestmark = pytest.mark.docker
WorkspaceBackendSuite.pytestmark = []  # pyright: ignore[reportAttributeAccessIssue] - pytest-asyncio runs it, not anyio's plugin


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[ExecutionEngine]:
    """One for this file: the suite's sessions live from test to test."""
    async with ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4))) as engine:
        yield engine


@pytest.fixture(scope="module")
async def shared(engine: ExecutionEngine) -> AsyncIterator[SandboxWorkspaceBackend]:
    """One session, for what does not destroy it."""
    backend = SandboxWorkspaceBackend(engine)
    yield backend
    if backend.ref is not None:
        await engine.cleanup_session(backend.ref.id)


class TestConformance(WorkspaceBackendSuite):
    """PydanticAI's own rules for workspaces."""

    @pytest.fixture
    def backend(self, shared: SandboxWorkspaceBackend) -> WorkspaceBackend:
        """One for all."""
        return shared

    @pytest.fixture
    def fresh_backend(self, engine: ExecutionEngine) -> Callable[[], WorkspaceBackend]:
        """A new one."""
        return lambda: SandboxWorkspaceBackend(engine)

    @pytest.fixture
    def attach_backend(self, engine: ExecutionEngine) -> Callable[[WorkspaceRef], WorkspaceBackend]:
        """Another for the same session."""
        return lambda ref: SandboxWorkspaceBackend(engine, ref=ref)

    @pytest.fixture
    def destroy_environment(self, engine: ExecutionEngine) -> Callable[[WorkspaceBackend], Awaitable[None]]:
        """Cleans a session up."""

        async def destroy(backend: WorkspaceBackend) -> None:
            assert backend.ref is not None
            await engine.cleanup_session(backend.ref.id)

        return destroy


async def read_note(ctx: RunContext[object]) -> str:
    """Appends to a file of the workspace, and reads it."""
    return (await ctx.workspace.run("echo again >> note; cat note", shell=True)).stdout


def call_once(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the tool once a run."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[TextPart(str(last.content))])
    return ModelResponse(parts=[ToolCallPart("read_note", {})])


async def test_agent_has_a_workspace_for_each_conversation(engine: ExecutionEngine) -> None:
    """A new one, unless the run goes on from another or is given one."""
    agent: Agent[object, str] = Agent(
        FunctionModel(call_once), tools=[read_note], capabilities=[SandboxWorkspace(engine)]
    )
    first = await agent.run("?")
    assert first.output == "again\n"
    assert (await agent.run("?", message_history=first.all_messages())).output == "again\nagain\n"
    assert (await agent.run("?")).output == "again\n"
    backend = SandboxWorkspaceBackend(engine)
    await backend.write_bytes("/workspace/note", b"given\n")
    assert (await agent.run("?", workspace=backend)).output == "given\nagain\n"


async def test_limits_are_the_frameworks_errors(engine: ExecutionEngine) -> None:
    """With what was written until then."""
    backend = SandboxWorkspaceBackend(engine)
    await backend.run(["true"])  # what starts with the first command, a busy machine starts late
    with pytest.raises(WorkspaceTimeoutError) as timed_out:
        await backend.run(["sh", "-c", "echo begun; sleep 300"], timeout=3)
    assert timed_out.value.stdout == "begun\n"
    with pytest.raises(WorkspaceOutputLimitError) as cut:
        await backend.run(["yes"])
    assert len(cut.value.stdout) == cut.value.limit == 16 << 20
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            await backend.run(["true"], timeout=timeout)


async def test_workspace_that_is_gone_is_unavailable() -> None:
    """So is one whose engine was closed; a ref of another provider is refused."""
    async with ExecutionEngine(EngineConfig(prewarm=())) as engine:
        backend = SandboxWorkspaceBackend(engine)
        assert await backend.working_dir() == "/workspace"
        unknown = SandboxWorkspaceBackend(engine, ref=WorkspaceRef(provider="interpreter-tools", id="unknown"))
        with pytest.raises(WorkspaceUnavailableError, match="unknown"):
            await unknown.run(["true"])
        with pytest.raises(ConfigurationError, match="provider"):
            SandboxWorkspaceBackend(engine, ref=WorkspaceRef(provider="e2b", id="x"))
    with pytest.raises(WorkspaceUnavailableError, match="closed"):
        await backend.run(["true"])
