"""OpenAI's Responses API with the tool. Without OPENAI_API_KEY, a stand-in for the model answers.

pip install "interpreter-tools[openai]"
"""

import asyncio
import functools
import json
import os
from typing import TYPE_CHECKING

import httpx2
from openai import AsyncOpenAI

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.openai import OpenAITool

if TYPE_CHECKING:
    from openai.types.responses import ResponseInputParam

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


def stand_in(request: httpx2.Request) -> httpx2.Response:
    """Calls the tool first, then repeats what it was told."""
    given = json.loads(request.content)["input"]
    if given != QUESTION:
        text = f"The tool says {given[0]['output'].split()[-1]}."
        content = {"type": "output_text", "text": text, "annotations": list[str]()}
        item: object = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [content]}
    else:
        arguments = json.dumps(CALL)
        item = {"type": "function_call", "id": "f", "call_id": "c", "name": "execute_code", "arguments": arguments}
    return httpx2.Response(200, json={"id": "r", "object": "response", "model": "none", "output": [item]})


def client() -> AsyncOpenAI:
    """The real one, if there is a key for it."""
    if "OPENAI_API_KEY" in os.environ:
        return AsyncOpenAI()
    transport = httpx2.MockTransport(stand_in)
    return AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=transport))


async def main() -> None:
    """Asks, runs what the model calls, and asks again until it calls nothing more."""
    model = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
    async with create_code_execution_tool() as tool, client() as openai:
        face = OpenAITool(tool)
        ask = functools.partial(openai.responses.create, model=model, tools=[face.responses])
        response = await ask(input=QUESTION)
        while calls := [item for item in response.output if item.type == "function_call"]:
            replies: ResponseInputParam = [await face.handle(call) for call in calls]
            response = await ask(input=replies, previous_response_id=response.id)
        print(response.output_text)


if __name__ == "__main__":
    asyncio.run(main())
