"""A LlamaIndex agent with the tool. Without OPENAI_API_KEY, LlamaIndex's mock of a model answers.

pip install "interpreter-tools[llama-index]", and for the real model llama-index-llms-openai; any other model that calls
functions takes its place.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportDeprecated=false

import asyncio
import os
import warnings
from collections.abc import Sequence

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from pydantic.warnings import PydanticDeprecationWarning

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


def model() -> FunctionCallingLLM:
    """The real one, if there is a key for it."""
    if "OPENAI_API_KEY" in os.environ:
        from llama_index.llms.openai import OpenAI  # noqa: PLC0415 # pyright: ignore[reportMissingImports]

        return OpenAI(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    return MockFunctionCallingLLM(response_generator=stand_in)


async def main() -> None:
    """Asks, and prints how the runs went and what the model makes of them."""
    warnings.simplefilter("ignore", PydanticDeprecationWarning)  # FunctionAgent looks at attributes that are deprecated
    async with create_code_execution_tool() as tool:
        agent = FunctionAgent(tools=[LlamaIndexTool(tool)], llm=model(), streaming=False)
        answer = await agent.run(QUESTION)
        print("outcomes:", *(call.tool_output.raw_output.outcome for call in answer.tool_calls))
        print(answer)


if __name__ == "__main__":
    asyncio.run(main())
