"""A LangChain agent with the tool, its output streamed while the program runs.

pip install "interpreter-tools[langchain]" langchain. Without a model in LANGCHAIN_MODEL, LangChain's fake one answers;
for LANGCHAIN_MODEL=openai:gpt-5-mini, say: pip install langchain-openai, and set OPENAI_API_KEY.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

import asyncio
from typing import Any, cast

from _model import langchain_model
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.langchain import LangChainTool

QUESTION = "Print the first three squares with Python, one every 0.2 seconds, flushed."
CODE = "import time\nfor n in range(1, 4):\n    print(n * n, flush=True)\n    time.sleep(0.2)"
CALL = {"name": "execute_code", "args": {"language": "python", "code": CODE}, "id": "c", "type": "tool_call"}


async def main() -> None:
    """Print the program's output as it comes, then the answer."""
    model = langchain_model(AIMessage("", tool_calls=[CALL]), AIMessage("Those are the squares."))
    async with create_code_execution_tool() as tool:
        agent = create_agent(model, tools=[LangChainTool(tool)])
        chunks = cast("Any", agent).astream({"messages": [HumanMessage(QUESTION)]}, stream_mode=["custom", "values"])
        answer = ""
        async for mode, chunk in chunks:
            if mode == "custom":
                print(chunk["stream"], "now:", chunk["text"], end="")
            else:
                answer = chunk["messages"][-1].text
        print(answer)


if __name__ == "__main__":
    asyncio.run(main())
