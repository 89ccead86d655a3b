"""A LangChain agent with the tool, its output streamed while the program runs.

pip install "interpreter-tools[langchain]" langchain. Without a model in LANGCHAIN_MODEL, LangChain's fake one answers;
for LANGCHAIN_MODEL=openai:gpt-5-mini, say: pip install langchain-openai, and set OPENAI_API_KEY.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Self, cast

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

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


MODEL = os.environ.get("LANGCHAIN_MODEL") or FakeModel(
    messages=iter([AIMessage("", tool_calls=[CALL]), AIMessage("Those are the squares.")])
)


async def main() -> None:
    """Print the program's output as it comes, then the answer."""
    async with create_code_execution_tool() as tool:
        agent = create_agent(MODEL, tools=[LangChainTool(tool)])
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
