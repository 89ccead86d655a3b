"""The sandbox as PydanticAI's workspace: their conformance suite, and what it leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic_ai.workspaces import WorkspaceBackend, WorkspaceRef
from pydantic_ai.workspaces.conformance import WorkspaceBackendSuite

from interpreter_tools.adapters.pydantic_ai_workspace import SandboxWorkspaceBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker
WorkspaceBackendSuite.pytestmark = []  # pyright: ignore[reportAttributeAccessIssue] - pytest-asyncio runs it, not anyio's plugin


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
        return shared

    @pytest.fixture
    def fresh_backend(self, engine: ExecutionEngine) -> Callable[[], WorkspaceBackend]:
        return lambda: SandboxWorkspaceBackend(engine)

    @pytest.fixture
    def attach_backend(self, engine: ExecutionEngine) -> Callable[[WorkspaceRef], WorkspaceBackend]:
        return lambda ref: SandboxWorkspaceBackend(engine, ref=ref)

    @pytest.fixture
    def destroy_environment(self, engine: ExecutionEngine) -> Callable[[WorkspaceBackend], Awaitable[None]]:
        async def destroy(backend: WorkspaceBackend) -> None:
            assert backend.ref is not None
            await engine.cleanup_session(backend.ref.id)

        return destroy
