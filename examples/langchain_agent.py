"""A LangGraph agent with the tool, its output streamed while the program runs.

pip install "interpreter-tools[langchain]"

The model here is LangChain's fake one; any chat model that binds tools takes its place, for example
`init_chat_model("openai:gpt-5-mini")`.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

import asyncio
from collections.abc import Sequence
from typing import Self

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.langchain import LangChainTool

CODE = "import time\nfor n in range(1, 4):\n    print(n * n, flush=True)\n    time.sleep(0.2)"
CALL = {"name": "execute_code", "args": {"language": "python", "code": CODE}, "id": "c", "type": "tool_call"}


class FakeModel(GenericFakeChatModel):
    """Says what is on its list."""

    def bind_tools(self, tools: Sequence[object], **options: object) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """It takes no notice of tools."""
        return self


async def main() -> None:
    """Builds the usual loop of model and tools, and prints the program's output as it comes."""
    async with create_code_execution_tool() as tool:
        tools = [LangChainTool(tool)]
        script = [AIMessage("", tool_calls=[CALL]), AIMessage("Those are the squares.")]
        model = FakeModel(messages=iter(script)).bind_tools(tools)

        async def think(state: MessagesState) -> dict[str, list[AnyMessage]]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState)
        graph.add_node("think", think)
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
        question = MessagesState(messages=[HumanMessage("Print the first three squares.")])
        async for chunk in graph.compile().astream(question, stream_mode="custom"):
            print(chunk["stream"], "now:", chunk["text"], end="")


if __name__ == "__main__":
    asyncio.run(main())
