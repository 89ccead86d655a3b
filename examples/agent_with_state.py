"""An agent loop with state: each step of the model is a cell, whose variables the next one has, also after a failure.

pip install "interpreter-tools[pydantic-ai]"; without a model in PYDANTIC_AI_MODEL, a list of steps stands in for one.
"""

import asyncio
import os

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

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


def stand_in(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Take the next step, then repeat what it was told."""
    told = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if len(told) < len(STEPS):
        call = {"language": "python", "code": STEPS[len(told)]}
        return ModelResponse(parts=[ToolCallPart(info.function_tools[0].name, call)])
    return ModelResponse(parts=[TextPart(f"The longest run is {str(told[-1].content).split()[-1]} days.")])


async def main() -> None:
    """Run the agent, and show what each step told it."""
    model = os.environ.get("PYDANTIC_AI_MODEL") or FunctionModel(stand_in)
    async with create_code_execution_tool(stateful=True) as tool:
        result = await Agent(model, tools=[pydantic_ai_tool(tool)]).run(TASK)
        for message in result.all_messages():
            for part in message.parts:
                if isinstance(part, ToolReturnPart):
                    print("step:", str(part.content).splitlines()[-1])
        print(result.output)


if __name__ == "__main__":
    asyncio.run(main())
