"""Anthropic's tool runner with the tool. Without ANTHROPIC_API_KEY, a stand-in for the model answers.

pip install "interpreter-tools[anthropic]"
"""

import asyncio
import json
import os

import httpx2
from anthropic import AsyncAnthropic

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.anthropic import AnthropicTool

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


def stand_in(request: httpx2.Request) -> httpx2.Response:
    """Calls the tool first, then repeats what it was told."""
    last = json.loads(request.content)["messages"][-1]["content"]
    if isinstance(last, str):
        content, why = {"type": "tool_use", "id": "t", "name": "execute_code", "input": CALL}, "tool_use"
    else:
        content, why = {"type": "text", "text": f"The tool says {last[0]['content'].split()[-1]}."}, "end_turn"
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "none", "content": [content]}
    return httpx2.Response(200, json={**message, "stop_reason": why, "stop_sequence": None, "usage": usage})


def client() -> AsyncAnthropic:
    """The real one, if there is a key for it."""
    if "ANTHROPIC_API_KEY" in os.environ:
        return AsyncAnthropic()
    transport = httpx2.MockTransport(stand_in)
    return AsyncAnthropic(api_key="none", http_client=httpx2.AsyncClient(transport=transport))


async def main() -> None:
    """Asks, and lets the runner call the tool until the model has its answer."""
    async with create_code_execution_tool() as tool, client() as anthropic:
        runner = anthropic.beta.messages.tool_runner(
            model=os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5-5"),
            max_tokens=1024,
            tools=[AnthropicTool(tool)],
            messages=[{"role": "user", "content": QUESTION}],
        )
        message = await runner.until_done()
        print(*(block.text for block in message.content if block.type == "text"))


if __name__ == "__main__":
    asyncio.run(main())
