"""The sandbox through Inspect: its self-check, and what that leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 - its tests are collected here

from interpreter_tools.adapters.inspect_ai import InterpreterToolsSandboxEnvironment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from inspect_ai.util import SandboxEnvironment

pytestmark = pytest.mark.docker

# What of the self-check cannot pass here, and why.
IMPOSSIBLE = {
    "test_exec_as_user": "needs root, to add users to the image: a sandbox has one user, and a root that is read-only",
}


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[SandboxEnvironment]:
    """One sample's sandbox, for all of the self-check."""
    kind = InterpreterToolsSandboxEnvironment
    await kind.task_init("self_check", None)
    environments = await kind.sample_init("self_check", None, {})
    yield environments["default"]
    await kind.sample_cleanup("self_check", None, environments, interrupted=False)
    await kind.task_cleanup("self_check", None, cleanup=True)


@pytest.fixture
def sandbox_env(shared: SandboxEnvironment, request: pytest.FixtureRequest) -> SandboxEnvironment:
    """The sandbox under the name that the self-check wants."""
    reason = IMPOSSIBLE.get(request.node.originalname)
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return shared
