"""A deep agent that works in a sandbox. Without a model in LANGCHAIN_MODEL, LangChain's fake model answers.

pip install "interpreter-tools[deepagents]", and for a model such as LANGCHAIN_MODEL=openai:gpt-5-mini its provider's
package.
"""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from _model import langchain_model
from deepagents import create_deep_agent  # pyright: ignore[reportUnknownVariableType]
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage

from interpreter_tools import ExecutionEngine
from interpreter_tools.adapters.deepagents import InterpreterToolsSandbox

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

QUESTION = "Write a program that prints the squares from 1 to 3, run it, and find out where 'range' is used."
PROGRAM = "for number in range(1, 4):\n    print(number, number**2)\n"
CALLS = [
    ToolCall(name="write_file", args={"file_path": "/workspace/squares.py", "content": PROGRAM}, id="1"),
    ToolCall(name="execute", args={"command": "python3 squares.py"}, id="2"),
    ToolCall(name="grep", args={"pattern": "range", "path": "/workspace", "output_mode": "content"}, id="3"),
]


async def main() -> None:
    """Ask, and print what the sandbox said and the answer."""
    model = langchain_model(*(AIMessage("", tool_calls=[call]) for call in CALLS), AIMessage("Done."))
    async with ExecutionEngine() as engine, InterpreterToolsSandbox(engine, timeout=60) as sandbox:
        agent = cast("Runnable[Any, dict[str, list[AnyMessage]]]", create_deep_agent(model=model, backend=sandbox))
        answer = await agent.ainvoke({"messages": [HumanMessage(QUESTION)]})
    for message in answer["messages"]:
        if isinstance(message, ToolMessage):
            print(f"{message.name}: {message.text.strip()}")
    print(answer["messages"][-1].text)


if __name__ == "__main__":
    asyncio.run(main())
