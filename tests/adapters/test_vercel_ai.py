"""The tool through Vercel's ``ai``, with its scripted model."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if sys.version_info < (3, 12):
    pytest.skip("Vercel's package `ai` needs Python 3.12", allow_module_level=True)

import ai
from ai import events, messages
from ai.testing import FakeModel, tool_call

from interpreter_tools import LanguageConfig, LanguageRegistry, create_code_execution_tool
from interpreter_tools.adapters.vercel_ai import Reply, VercelAITool
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, WRONG

if TYPE_CHECKING:
    from interpreter_tools import CodeExecutionTool, ExecutionEngine
    from tests.adapters.conftest import Cancelling

pytestmark = pytest.mark.docker


async def run(face: VercelAITool, *calls: dict[str, str] | str) -> tuple[list[str], list[str]]:
    """An agent whose model makes these calls: what it was told, and what was seen of them while they ran."""
    parts = [
        messages.ToolCallPart(tool_call_id=f"c{number}", tool_name=face.name, tool_args=call)
        if isinstance(call, str)
        else tool_call(face, **call)
        for number, call in enumerate(calls)
    ]
    question = ai.user_message("What is 6 * 7?")
    model = FakeModel([question, *(ai.assistant_message(part) for part in parts), ai.assistant_message("done")])
    async with ai.Agent(tools=[face]).run(model, [question]) as stream:
        pieces = [
            f"{event.value['stream']}: {event.value['text']}"
            async for event in stream
            if isinstance(event, events.PartialToolCallResult)
        ]
        history = stream.messages
    assert not model.unused
    return [str(part.get_model_input()) for message in history for part in message.tool_results], pieces


async def test_agent_runs_code(tool: CodeExecutionTool) -> None:
    """And is told what it printed, or what was wrong; others see the output as it comes."""
    told, pieces = await run(VercelAITool(tool), HELLO, BROKEN, WRONG, "{")
    assert told[0] == "[ok, exit code 0]\nstdout:\n42"
    assert "'numpy_of_tests' is not there" in told[1]
    assert "'cobol' is not available" in told[2]
    assert "code: None is missing" in told[3]
    assert pieces[:2] == ["stdout: 42\n", f"reply: {told[0]}"]


async def test_output_is_seen_in_order(tool: CodeExecutionTool) -> None:
    """Until the reply takes its place; never more than can be shown."""
    code = "import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.1)"
    (told,), pieces = await run(VercelAITool(tool), {"language": "python", "code": code})
    assert pieces == ["stdout: 0\n", "stdout: 1\n", "stdout: 2\n", f"reply: {told}"]
    shown = Reply()
    for text in ("0\n", "1\n", "x" * 100_000):
        shown.feed({"stream": "stdout", "text": text})
    assert shown.snapshot().startswith("0\n1\nxxx")
    assert len(shown.snapshot()) <= 16_000


async def test_languages_are_those_of_the_moment(tool: CodeExecutionTool) -> None:
    """Of each run of an agent."""
    face = VercelAITool(tool)
    config = LanguageConfig(language="zsh", default_image="x", code_filename="x", run_command=("zsh", "{file}"))
    assert face.tool.spec is not None
    assert face.tool.spec.params == tool.json_schema
    LanguageRegistry.register(config)
    assert "zsh" in json.dumps(face.tool.spec.params)


async def test_failing_infrastructure_is_told(engine: ExecutionEngine) -> None:
    """By the agent's loop, as of every exception."""
    tool = create_code_execution_tool(engine=engine, memory_limit="1m")
    (told,), _ = await run(VercelAITool(tool), HELLO)
    assert told.startswith("ConfigurationError: container.memory_limit: '1m'")


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """The agent is given up."""
    await cancelling(run(VercelAITool(tool), ENDLESS))
