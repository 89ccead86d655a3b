"""An agent of the OpenAI Agents SDK with the tool. Without OPENAI_API_KEY, the SDK's scripted model answers.

pip install "interpreter-tools[openai-agents]"
"""

import asyncio
import os

from agents import Agent, Model, RunConfig, Runner
from agents.testing import ScriptedModel, assistant_message, function_call

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.openai_agents import openai_agents_tool

QUESTION = "What is the sum of the squares from 1 to 10? Use the tool."
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


def model() -> Model | str:
    """Return the real one if there is a key for it."""
    if "OPENAI_API_KEY" in os.environ:
        return os.environ.get("OPENAI_MODEL", "gpt-5-mini")
    return ScriptedModel([[function_call("execute_code", CALL, call_id="c")], [assistant_message("Done.")]])


async def main() -> None:
    """Ask, and print the tool's answer and the model's."""
    async with create_code_execution_tool() as tool:
        agent = Agent(name="coder", model=model(), tools=[openai_agents_tool(tool)])
        offline = "OPENAI_API_KEY" not in os.environ
        result = await Runner.run(agent, QUESTION, run_config=RunConfig(tracing_disabled=offline))
        for item in result.new_items:
            if item.type == "tool_call_output_item":
                print(item.output)
        print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
