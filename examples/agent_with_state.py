"""An agent loop with state: each step of the model is a cell, whose variables the next one has, also after a failure.

pip install "interpreter-tools[pydantic-ai]"; whose model: see `_model.py`.
"""

import asyncio

from _model import agent_model
from pydantic_ai import Agent, ToolReturnPart

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

TASK = "Find the longest run of days on which the stock rose, step by step, and name it."
STEPS = [
    "prices = [3, 4, 6, 5, 6, 7, 9, 10, 8]\nrises = [b > a for a, b in zip(prices, prices[1:])]\nrises",
    "longest(rises)",
    """
import itertools
def longest(flags):
    return max(len(list(group)) for flag, group in itertools.groupby(flags) if flag)
""",
    "longest(rises)",
]
MODEL = agent_model(*({"language": "python", "code": step} for step in STEPS), "The longest run is 4 days.")


async def main() -> None:
    """Run the agent, and show what each step told it."""
    async with create_code_execution_tool(stateful=True) as tool:
        result = await Agent(MODEL, tools=[pydantic_ai_tool(tool)]).run(TASK)
        for message in result.all_messages():
            for part in message.parts:
                if isinstance(part, ToolReturnPart):
                    print("step:", str(part.content).splitlines()[-1])
        print(result.output)


if __name__ == "__main__":
    asyncio.run(main())
