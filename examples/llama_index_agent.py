"""A LlamaIndex agent with the tool. Without OPENAI_API_KEY, LlamaIndex's mock of a model answers.

pip install "interpreter-tools[llama-index]", and for the real model llama-index-llms-openai; any other model that calls
functions takes its place.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportDeprecated=false

import asyncio
import warnings

from _model import llama_index_model
from llama_index.core.agent.workflow import FunctionAgent
from pydantic.warnings import PydanticDeprecationWarning

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.llama_index import LlamaIndexTool

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


async def main() -> None:
    """Ask, and print how the runs went and what the model makes of them."""
    warnings.simplefilter("ignore", PydanticDeprecationWarning)  # FunctionAgent looks at attributes that are deprecated
    async with create_code_execution_tool() as tool:
        agent = FunctionAgent(tools=[LlamaIndexTool(tool)], llm=llama_index_model(CALL), streaming=False)
        answer = await agent.run(QUESTION)
        print("outcomes:", *(call.tool_output.raw_output.outcome for call in answer.tool_calls))
        print(answer)


if __name__ == "__main__":
    asyncio.run(main())
