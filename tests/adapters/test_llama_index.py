"""The tool through LlamaIndex, with its mock of a model that calls functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM

from interpreter_tools import ExecutionResult, LanguageConfig, LanguageRegistry
from interpreter_tools.adapters.llama_index import LlamaIndexTool
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index.core.tools import ToolOutput

    from interpreter_tools import CodeExecutionTool
    from tests.adapters.conftest import Cancelling

pytestmark = [
    pytest.mark.docker,
    # FunctionAgent looks at each of its own attributes, those too that pydantic has deprecated.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
]


def agent(tool: CodeExecutionTool, *calls: dict[str, Any]) -> FunctionAgent:
    """An agent whose model makes these calls, one after another."""
    script = list(calls)

    def answer(messages: Sequence[ChatMessage], **options: object) -> ChatMessage:
        if not script:
            return ChatMessage(role="assistant", blocks=[TextBlock(text="done")])
        block = ToolCallBlock(tool_call_id=f"c{len(script)}", tool_name="execute_code", tool_kwargs=script.pop(0))
        return ChatMessage(role="assistant", blocks=[block])

    return FunctionAgent(
        tools=[LlamaIndexTool(tool)], llm=MockFunctionCallingLLM(response_generator=answer), streaming=False
    )


async def run(agent: FunctionAgent) -> list[ToolOutput]:
    """What the model was told."""
    handler = agent.run(user_msg="What is 6 * 7?")  # pyright: ignore[reportDeprecated] - another signature is
    told = [event.tool_output async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    assert str(await handler) == "done"  # pyright: ignore[reportUnknownArgumentType]
    return told


async def test_agent_runs_code(tool: CodeExecutionTool) -> None:
    """And is told what it printed, or what was wrong."""
    good, broken, wrong = await run(agent(tool, HELLO, BROKEN, WRONG))
    assert (good.content, good.is_error) == ("[ok, exit code 0]\nstdout:\n42", False)
    assert isinstance(good.raw_output, ExecutionResult)
    assert ("'numpy_of_tests' is not there" in broken.content, broken.is_error) == (True, True)
    assert ("'cobol' is not available" in wrong.content, wrong.is_error) == (True, True)


async def test_definition(tool: CodeExecutionTool) -> None:
    """As it is sent to a model, with the languages of the moment."""
    face = LlamaIndexTool(tool)
    config = LanguageConfig(language="zsh", default_image="x", code_filename="x", run_command=("zsh", "{file}"))
    LanguageRegistry.register(config)
    definition = face.metadata.to_openai_tool()
    assert definition["function"] == {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.json_schema,
    }
    assert "zsh" in face.metadata.fn_schema_str


async def test_tool_is_asyncio_only(tool: CodeExecutionTool) -> None:
    """It says so."""
    assert "42" in str(await LlamaIndexTool(tool).acall(**HELLO))
    assert "42" in str(await LlamaIndexTool(tool).acall("```python\nprint(42)\n```"))
    with pytest.raises(NotImplementedError, match="acall"):
        LlamaIndexTool(tool).call(**HELLO)


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """The call is given up."""
    await cancelling(LlamaIndexTool(tool).acall(**ENDLESS))
