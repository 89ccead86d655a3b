"""A model runs Ruby, which the program has just registered: the tool tells the model. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"; Ruby's image comes from `interpreter-tools setup ruby`.
"""

import asyncio

from _model import agent_model
from pydantic_ai import Agent, ToolReturnPart
from ruby import RUBY

from interpreter_tools import LanguageRegistry, create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

QUESTION = "Write a Ruby script that prints the primes below 30, and run it."
MODEL = agent_model(
    {"language": "ruby", "code": "require 'prime'\nputs Prime.each(30).to_a.join(' ')"},
    "There are ten primes below 30.",
)


async def main() -> None:
    """Register Ruby, ask, and print what the script printed and the answer."""
    LanguageRegistry.register(RUBY)
    async with create_code_execution_tool() as tool:
        print("languages:", *LanguageRegistry.offered())
        result = await Agent(MODEL, tools=[pydantic_ai_tool(tool)]).run(QUESTION)
    for message in result.all_messages():
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                print(part.metadata.stdout, end="")
    print(result.output)


if __name__ == "__main__":
    asyncio.run(main())
