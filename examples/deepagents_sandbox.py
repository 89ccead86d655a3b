"""A deep agent that works in a sandbox. Without a model in LANGCHAIN_MODEL, LangChain's fake model answers.

pip install "interpreter-tools[deepagents]", and for a model such as LANGCHAIN_MODEL=openai:gpt-5-mini its provider's
package.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, cast

from deepagents import create_deep_agent  # pyright: ignore[reportUnknownVariableType]
from langchain_core.language_models import GenericFakeChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.runnables import Runnable

from interpreter_tools import ExecutionEngine
from interpreter_tools.adapters.deepagents import InterpreterToolsSandbox

QUESTION = "Write a program that prints the squares from 1 to 3, run it, and find out where 'range' is used."
PROGRAM = "for number in range(1, 4):\n    print(number, number**2)\n"
CALLS = [
    ToolCall(name="write_file", args={"file_path": "/workspace/squares.py", "content": PROGRAM}, id="1"),
    ToolCall(name="execute", args={"command": "python3 squares.py"}, id="2"),
    ToolCall(name="grep", args={"pattern": "range", "path": "/workspace", "output_mode": "content"}, id="3"),
]


class StandIn(GenericFakeChatModel):
    """A model that says what it is told to say, and can have tools."""

    def bind_tools(
        self, tools: Sequence[object], *, tool_choice: str | None = None, **options: object
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Itself."""
        return self


def stand_in() -> StandIn:
    """Calls three tools, one after another."""
    return StandIn(messages=iter([*(AIMessage("", tool_calls=[call]) for call in CALLS), AIMessage("Done.")]))


async def main() -> None:
    """Asks, and prints what the sandbox said and the answer."""
    model = os.environ.get("LANGCHAIN_MODEL") or stand_in()
    async with ExecutionEngine() as engine, InterpreterToolsSandbox(engine, timeout=60) as sandbox:
        agent = cast("Runnable[Any, dict[str, list[AnyMessage]]]", create_deep_agent(model=model, backend=sandbox))
        answer = await agent.ainvoke({"messages": [HumanMessage(QUESTION)]})
    for message in answer["messages"]:
        if isinstance(message, ToolMessage):
            print(f"{message.name}: {message.text.strip()}")
    print(answer["messages"][-1].text)


if __name__ == "__main__":
    asyncio.run(main())
