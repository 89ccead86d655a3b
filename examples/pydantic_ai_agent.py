"""A PydanticAI agent with the tool. Without a model in PYDANTIC_AI_MODEL, its function model answers.

pip install "interpreter-tools[pydantic-ai]", and for a model such as PYDANTIC_AI_MODEL=openai:gpt-5-mini the extra of
pydantic-ai-slim that it needs.
"""

import asyncio
import os

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from interpreter_tools import ContainerStrategy, create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

QUESTION = "Write the squares from 1 to 10 to squares.txt with Python, then sum them up from that file."
CALLS = [
    "from pathlib import Path\nPath('squares.txt').write_text('\\n'.join(str(n * n) for n in range(1, 11)))",
    "print(sum(map(int, open('squares.txt'))))",
]


def stand_in(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the tool twice, then repeat what it was told."""
    told = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if len(told) < len(CALLS):
        call = {"language": "python", "code": CALLS[len(told)]}
        return ModelResponse(parts=[ToolCallPart(info.function_tools[0].name, call)])
    return ModelResponse(parts=[TextPart(f"The tool says {str(told[-1].content).split()[-1]}.")])


async def main() -> None:
    """Ask, and print the answer. The files of one call are there for the next: the tool has a session."""
    model = os.environ.get("PYDANTIC_AI_MODEL") or FunctionModel(stand_in)
    async with create_code_execution_tool(strategy=ContainerStrategy.PER_SESSION) as tool:
        agent = Agent(model, tools=[pydantic_ai_tool(tool)])
        result = await agent.run(QUESTION)
        print(result.output)
        assert tool.engine is not None
        assert tool.session_id is not None
        print("files:", *await tool.engine.list_workspace_files(tool.session_id, only_generated=True))


if __name__ == "__main__":
    asyncio.run(main())
