"""The sandbox through deepagents: LangChain's standard tests, and what they leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_tests.integration_tests import SandboxIntegrationTests

from interpreter_tools.adapters.deepagents import InterpreterToolsSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepagents.backends.protocol import SandboxBackendProtocol

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def blocking() -> Iterator[InterpreterToolsSandbox]:
    """A sandbox for programs without asyncio."""
    with InterpreterToolsSandbox.blocking() as sandbox:
        yield sandbox


class TestConformance(SandboxIntegrationTests):
    """LangChain's standard tests for sandboxes."""

    @pytest.fixture
    def sandbox_backend(self, blocking: InterpreterToolsSandbox) -> SandboxBackendProtocol:
        return blocking

    @pytest.fixture
    def sandbox(self, blocking: InterpreterToolsSandbox) -> SandboxBackendProtocol:
        return blocking
