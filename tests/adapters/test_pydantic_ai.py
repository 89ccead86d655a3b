"""The tool through PydanticAI, with its function model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from interpreter_tools import ExecutionResult, LanguageConfig, LanguageRegistry
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool, pydantic_ai_toolset
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, STATE, WRONG

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

    from interpreter_tools import CodeExecutionTool
    from tests.adapters.conftest import Cancelling

pytestmark = pytest.mark.docker


class Script:
    """Makes these calls, one after another, and remembers what it was shown."""

    def __init__(self, *calls: str | dict[str, str]) -> None:
        self.calls = list(calls)
        self.shown: list[ToolDefinition] = []

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """One request's answer."""
        self.shown = info.function_tools
        if not self.calls:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(info.function_tools[0].name, self.calls.pop(0))])


async def run(agent: Agent[object, str]) -> list[ToolReturnPart]:
    """What the model was told."""
    result = await agent.run("What is 6 * 7?")
    assert result.output == "done"
    return [part for message in result.all_messages() for part in message.parts if isinstance(part, ToolReturnPart)]


async def test_agent_runs_code(tool: CodeExecutionTool) -> None:
    """And is told what it printed, or what was wrong."""
    script = Script(HELLO, json.dumps(BROKEN), WRONG, HELLO)
    told = await run(Agent(FunctionModel(script.answer), tools=[pydantic_ai_tool(tool)]))
    assert told[0].content == "[ok, exit code 0]\nstdout:\n42"
    assert isinstance(told[0].metadata, ExecutionResult)
    assert "'numpy_of_tests' is not there" in str(told[1].content)
    assert "'cobol' is not available" in told[2].model_response_str()
    (shown,) = script.shown
    assert (shown.name, shown.description) == (tool.name, tool.description)
    assert shown.parameters_json_schema == tool.json_schema


async def test_variables_stay_between_calls(stateful: CodeExecutionTool) -> None:
    """Also after one that failed."""
    script = Script(*STATE)
    told = await run(Agent(FunctionModel(script.answer), tools=[pydantic_ai_tool(stateful)]))
    assert "ZeroDivisionError" in str(told[1].content)
    assert "42" in str(told[2].content)


async def test_toolset_runs_code(tool: CodeExecutionTool) -> None:
    """Also under another name."""
    script = Script(HELLO)
    toolset = pydantic_ai_toolset(tool, id="code").prefixed("my")
    told = await run(Agent(FunctionModel(script.answer), toolsets=[toolset]))
    assert "42" in str(told[0].content)
    assert script.shown[0].name == "my_execute_code"


async def test_languages_are_those_of_the_moment(tool: CodeExecutionTool) -> None:
    """Of each request."""
    script = Script()
    agent: Agent[object, str] = Agent(FunctionModel(script.answer), tools=[pydantic_ai_tool(tool)])
    config = LanguageConfig(language="zsh", default_image="x", code_filename="x", run_command=("zsh", "{file}"))
    LanguageRegistry.register(config)
    await run(agent)
    assert "zsh" in script.shown[0].parameters_json_schema["properties"]["language"]["enum"]


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """The agent is given up."""
    script = Script(ENDLESS)
    await cancelling(run(Agent(FunctionModel(script.answer), tools=[pydantic_ai_tool(tool)])))
