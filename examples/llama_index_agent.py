"""A LlamaIndex agent with the tool.

pip install "interpreter-tools[llama-index]". The model here is LlamaIndex's mock; any model that calls functions takes
its place, for example `OpenAI("gpt-5-mini")` of llama-index-llms-openai.
"""

import asyncio
from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.llama_index import LlamaIndexTool

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


def stand_in(messages: Sequence[ChatMessage], **_: object) -> ChatMessage:
    """Calls the tool first, then repeats what it was told."""
    last = messages[-1]
    if last.role != "tool":
        call = ToolCallBlock(tool_call_id="c", tool_name="execute_code", tool_kwargs=CALL)
        return ChatMessage(role="assistant", blocks=[call])
    return ChatMessage(role="assistant", blocks=[TextBlock(text=f"The tool says {str(last.content).split()[-1]}.")])


async def main() -> None:
    """Asks, and prints what the tool said and what the model makes of it."""
    async with create_code_execution_tool() as tool:
        model = MockFunctionCallingLLM(response_generator=stand_in)
        response = await model.apredict_and_call([LlamaIndexTool(tool)], QUESTION)
        print(response.response)
        print("outcome:", response.sources[0].raw_output.outcome)


if __name__ == "__main__":
    asyncio.run(main())
