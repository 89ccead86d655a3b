"""The tool through the OpenAI Agents SDK, with its scripted model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agents import Agent, FunctionTool, RunConfig, Runner
from agents.exceptions import UserError
from agents.testing import ScriptedModel, assistant_message, function_call

from interpreter_tools import ConfigurationError, LanguageConfig, LanguageRegistry, create_code_execution_tool
from interpreter_tools.adapters.openai_agents import openai_agents_tool
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, STATE, WRONG

if TYPE_CHECKING:
    from interpreter_tools import CodeExecutionTool, ExecutionEngine
    from tests.adapters.conftest import Cancelling

pytestmark = pytest.mark.docker

QUIET = RunConfig(tracing_disabled=True)


async def run(face: FunctionTool, *calls: object) -> tuple[list[str], ScriptedModel]:
    """An agent whose model makes these calls; what it was told, and the model."""
    steps = [
        [function_call(face.name, call if isinstance(call, str) else json.dumps(call), call_id=f"c{number}")]
        for number, call in enumerate(calls)
    ]
    model = ScriptedModel([*steps, [assistant_message("done")]])
    agent = Agent(name="coder", model=model, tools=[face])
    result = await Runner.run(agent, "What is 6 * 7?", run_config=QUIET)
    assert result.final_output == "done"
    outputs: list[dict[str, Any]] = [item for item in result.to_input_list() if "output" in item]  # type: ignore[misc]
    return [str(item["output"]) for item in outputs], model


async def test_agent_runs_code(tool: CodeExecutionTool) -> None:
    """And is told what it printed, or what was wrong."""
    told, model = await run(openai_agents_tool(tool), HELLO, BROKEN, WRONG, "{")
    assert told[0] == "[ok, exit code 0]\nstdout:\n42"
    assert "'numpy_of_tests' is not there" in told[1]
    assert "'cobol' is not available" in told[2]
    assert "is not JSON" in told[3]
    assert model.first_call is not None
    (shown,) = model.first_call.tools
    assert isinstance(shown, FunctionTool)
    assert (shown.params_json_schema, shown.strict_json_schema) == (tool.strict_json_schema, True)


async def test_variables_stay_between_calls(stateful: CodeExecutionTool) -> None:
    """Also after one that failed."""
    told, _ = await run(openai_agents_tool(stateful), *STATE)
    assert "ZeroDivisionError" in told[1]
    assert "42" in told[2]


async def test_languages_are_those_of_the_moment(tool: CodeExecutionTool) -> None:
    """Of each request."""
    face = openai_agents_tool(tool)
    config = LanguageConfig(language="zsh", default_image="x", code_filename="x", run_command=("zsh", "{file}"))
    LanguageRegistry.register(config)
    await run(face, HELLO)
    assert "zsh" in json.dumps(face.params_json_schema)


async def test_failing_infrastructure_ends_the_run(engine: ExecutionEngine) -> None:
    """It is not for a model to mend."""
    tool = create_code_execution_tool(engine=engine, memory_limit="1m")
    with pytest.raises(UserError, match="memory_limit") as caught:
        await run(openai_agents_tool(tool), HELLO)
    assert isinstance(caught.value.__cause__, ConfigurationError)


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """The agent is given up."""
    await cancelling(run(openai_agents_tool(tool), ENDLESS))
