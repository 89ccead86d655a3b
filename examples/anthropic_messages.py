"""Anthropic's tool runner with the tool. Without ANTHROPIC_API_KEY, a stand-in for the model answers.

pip install "interpreter-tools[anthropic]"
"""

import asyncio
import os

from _model import anthropic_client

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.anthropic import AnthropicTool

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


async def main() -> None:
    """Ask, and let the runner call the tool until the model has its answer."""
    async with create_code_execution_tool() as tool, anthropic_client(CALL) as anthropic:
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
