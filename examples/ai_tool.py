"""A model writes Python and runs it, sees its mistake and mends it. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import agent_model
from pydantic_ai import Agent, ToolReturnPart

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

QUESTION = "Compute the first ten Fibonacci numbers with Python, and tell their sum."
WRONG = """
numbers = [0, 1]
while len(numbers) < 10:
    numbers.append(numbers[-1] + number[-2])
print(numbers, sum(numbers))
"""
MODEL = agent_model(
    {"language": "python", "code": WRONG},
    {"language": "python", "code": WRONG.replace("number[", "numbers[")},
    "They are 0, 1, 1, 2, 3, 5, 8, 13, 21, 34; their sum is 88.",
)


async def main() -> None:
    """Ask, and print how each run went, what it printed, and the answer."""
    async with create_code_execution_tool(timeout=10) as tool:
        result = await Agent(MODEL, tools=[pydantic_ai_tool(tool)]).run(QUESTION)
    for message in result.all_messages():
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                print(f"{part.metadata.outcome}: {part.metadata.stdout or part.metadata.stderr.splitlines()[-1]}")
    print(result.output)


if __name__ == "__main__":
    asyncio.run(main())
