"""An agent of Vercel's `ai` with the tool, its output streamed while the program runs. Needs Python 3.12.

pip install "interpreter-tools[vercel-ai]". Without a model in AI_SDK_DEFAULT_MODEL, such as `openai:gpt-5-mini` with
its key in OPENAI_API_KEY, the package's scripted model answers.
"""

import asyncio
import os

import ai
from ai import events
from ai.testing import FakeModel, tool_call

from interpreter_tools import create_code_execution_tool
from interpreter_tools.adapters.vercel_ai import VercelAITool

QUESTION = ai.user_message("What is the sum of the squares from 1 to 10? Use the tool.")
CALL = {"language": "python", "code": "print(sum(n * n for n in range(1, 11)))"}


def model(face: VercelAITool) -> ai.Model:
    """Return the one that is named, or one that calls the tool and ends."""
    if "AI_SDK_DEFAULT_MODEL" in os.environ:
        return ai.get_model()
    return FakeModel([QUESTION, ai.assistant_message(tool_call(face, **CALL)), ai.assistant_message("Done.")])


async def main() -> None:
    """Ask, and print the program's output as it comes and the answer."""
    async with create_code_execution_tool() as tool:
        face = VercelAITool(tool)
        async with ai.Agent(tools=[face]).run(model(face), [QUESTION]) as stream:
            async for event in stream:
                if isinstance(event, events.PartialToolCallResult) and event.value["stream"] == "stdout":
                    print("stdout now:", event.value["text"], end="")
        print(stream.messages[-1].text)


if __name__ == "__main__":
    asyncio.run(main())
