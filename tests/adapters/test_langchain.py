"""The tool through LangChain and LangGraph, with LangChain's fake chat model."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# LangGraph's graphs are typed in part only.
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from interpreter_tools import ExecutionResult, LanguageConfig, LanguageRegistry
from interpreter_tools.adapters.langchain import LangChainTool
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, STATE, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph.graph.state import CompiledStateGraph

    from interpreter_tools import CodeExecutionTool
    from tests.adapters.conftest import Cancelling

pytestmark = pytest.mark.docker


class Model(GenericFakeChatModel):
    """Says what is on its list."""

    def bind_tools(self, tools: Sequence[object], **options: object) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The fake one takes no notice of tools."""
        assert tools
        return self


def call(arguments: dict[str, Any], number: int = 1) -> ToolCall:
    """A model's call of the tool."""
    return ToolCall(name="execute_code", args=arguments, id=f"c{number}", type="tool_call")


def graph(tool: CodeExecutionTool, *calls: dict[str, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """An agent whose model makes these calls, one after another."""
    tools = [LangChainTool(tool)]
    said = [AIMessage("", tool_calls=[call(arguments, number)]) for number, arguments in enumerate(calls)]
    model = Model(messages=iter([*said, AIMessage("done")])).bind_tools(tools)

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("think", think)
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", tools_condition, {"tools": "tools", END: END})
    builder.add_edge("tools", "think")
    return builder.compile()


QUESTION = {"messages": [HumanMessage("What is 6 * 7?")]}


async def test_graph_runs_code(tool: CodeExecutionTool) -> None:
    """And the model is told what it printed, or what was wrong."""
    state = await graph(tool, HELLO, BROKEN, WRONG).ainvoke(QUESTION)
    good, broken, wrong = (message for message in state["messages"] if isinstance(message, ToolMessage))
    assert (good.content, good.status) == ("[ok, exit code 0]\nstdout:\n42", "success")
    assert isinstance(good.artifact, ExecutionResult)
    assert good.artifact.stdout == "42\n"
    assert "'numpy_of_tests' is not there" in str(broken.content)
    assert ("'cobol' is not available" in str(wrong.content), wrong.status) == (True, "error")
    assert state["messages"][-1].content == "done"


async def test_variables_stay_between_calls(stateful: CodeExecutionTool) -> None:
    """Also after one that failed."""
    state = await graph(stateful, *STATE).ainvoke(QUESTION)
    _, failed, last = (message for message in state["messages"] if isinstance(message, ToolMessage))
    assert "ZeroDivisionError" in str(failed.content)
    assert "42" in str(last.content)


async def test_graph_streams_output_as_it_comes(tool: CodeExecutionTool) -> None:
    """While the program still waits for its next step."""
    code = "import sys\nprint('one', flush=True)\nfor line in sys.stdin: pass\nprint('two', file=sys.stderr)"
    stream = graph(tool, {"language": "python", "code": code}).astream(QUESTION, stream_mode="custom")
    chunks: list[Any] = [chunk async for chunk in stream]
    assert chunks == [
        {"tool": "execute_code", "stream": "stdout", "text": "one\n"},
        {"tool": "execute_code", "stream": "stderr", "text": "two\n"},
    ]


async def test_first_chunk_comes_before_the_end(tool: CodeExecutionTool) -> None:
    """The program would go on for ten minutes; whoever has seen enough leaves."""
    stream = graph(tool, ENDLESS).astream(QUESTION, stream_mode="custom")
    async with asyncio.timeout(60):
        async for chunk in stream:
            assert chunk == {"tool": "execute_code", "stream": "stdout", "text": "begun\n"}
            break
        await stream.aclose()  # type: ignore[attr-defined]


async def test_tool_runs_without_a_graph(tool: CodeExecutionTool) -> None:
    """As a part of any chain."""
    message = await LangChainTool(tool).ainvoke(call(HELLO))
    assert isinstance(message, ToolMessage)
    assert message.content == "[ok, exit code 0]\nstdout:\n42"
    with pytest.raises(NotImplementedError, match="ainvoke"):
        LangChainTool(tool).invoke(call(HELLO))


async def test_languages_are_those_of_the_moment(tool: CodeExecutionTool) -> None:
    """When the tool is bound to a model."""
    face = LangChainTool(tool)
    config = LanguageConfig(language="zsh", default_image="x", code_filename="x", run_command=("zsh", "{file}"))
    LanguageRegistry.register(config)
    definition = convert_to_openai_tool(face)["function"]
    assert definition["parameters"]["properties"] == tool.json_schema["properties"]
    assert "zsh" in definition["parameters"]["properties"]["language"]["enum"]
    assert (definition["name"], definition["description"]) == (tool.name, tool.description)


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """The graph is given up."""
    await cancelling(graph(tool, ENDLESS).ainvoke(QUESTION))
