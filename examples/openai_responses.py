"""OpenAI's Responses API with the tool. Without OPENAI_API_KEY, a stand-in for the model answers.

pip install "interpreter-tools[openai]"
"""

import asyncio
import functools
import os
from typing import TYPE_CHECKING

from _model import openai_client

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.openai import OpenAITool

if TYPE_CHECKING:
    from openai.types.responses import ResponseInputParam

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


async def main() -> None:
    """Ask, run what the model calls, and ask again until it calls nothing more."""
    model = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
    async with create_code_execution_tool() as tool, openai_client(CALL) as openai:
        face = OpenAITool(tool)
        ask = functools.partial(openai.responses.create, model=model, tools=[face.responses])
        response = await ask(input=QUESTION)
        while calls := [item for item in response.output if item.type == "function_call"]:
            replies: ResponseInputParam = [await face.handle(call) for call in calls]
            response = await ask(input=replies, previous_response_id=response.id)
        print(response.output_text)


if __name__ == "__main__":
    asyncio.run(main())
