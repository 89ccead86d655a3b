"""A LangGraph agent with the tool, its output streamed while the program runs.

pip install "interpreter-tools[langchain]". Without a model in LANGCHAIN_MODEL, LangChain's fake one answers; for
LANGCHAIN_MODEL=openai:gpt-5-mini, say: pip install langchain langchain-openai, and set OPENAI_API_KEY.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

import asyncio
import os
from collections.abc import Sequence
from typing import Self

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.langchain import LangChainTool

QUESTION = "Print the first three squares with Python, one every 0.2 seconds, flushed."
CODE = "import time\nfor n in range(1, 4):\n    print(n * n, flush=True)\n    time.sleep(0.2)"
CALL = {"name": "execute_code", "args": {"language": "python", "code": CODE}, "id": "c", "type": "tool_call"}


class FakeModel(GenericFakeChatModel):
    """Says what is on its list."""

    def bind_tools(self, tools: Sequence[object], **options: object) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """It takes no notice of tools."""
        return self


def model() -> BaseChatModel:
    """The real one, if it is named."""
    if "LANGCHAIN_MODEL" in os.environ:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 # pyright: ignore[reportMissingImports]

        return init_chat_model(os.environ["LANGCHAIN_MODEL"])
    return FakeModel(messages=iter([AIMessage("", tool_calls=[CALL]), AIMessage("Those are the squares.")]))


async def main() -> None:
    """Builds the usual loop of model and tools, and prints the program's output as it comes, then the answer."""
    async with create_code_execution_tool() as tool:
        tools = [LangChainTool(tool)]
        thinker = model().bind_tools(tools)

        async def think(state: MessagesState) -> dict[str, list[AnyMessage]]:
            answer = await thinker.ainvoke(state["messages"])
            if not answer.tool_calls:
                print(answer.text)
            return {"messages": [answer]}

        graph = StateGraph(MessagesState)
        graph.add_node("think", think)
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
        question = MessagesState(messages=[HumanMessage(QUESTION)])
        async for chunk in graph.compile().astream(question, stream_mode="custom"):
            print(chunk["stream"], "now:", chunk["text"], end="")


if __name__ == "__main__":
    asyncio.run(main())
