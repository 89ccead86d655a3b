"""A PydanticAI agent with the tool, whose files stay from call to call. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import agent_model
from pydantic_ai import Agent

from interpreter_tools import ContainerStrategy, create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

QUESTION = "Write the squares from 1 to 10 to squares.txt with Python, then their sum to sum.txt, from that file."
WRITE = "open('squares.txt', 'w').writelines(f'{n * n}\\n' for n in range(1, 11))"
ADD = "print(sum(map(int, open('squares.txt'))), file=open('sum.txt', 'w'))"
MODEL = agent_model({"language": "python", "code": WRITE}, {"language": "python", "code": ADD}, "The sum is written.")


async def main() -> None:
    """Ask, and print the answer and the files: with this strategy the calls belong to a session of the tool."""
    async with create_code_execution_tool(strategy=ContainerStrategy.PER_SESSION) as tool:
        result = await Agent(MODEL, tools=[pydantic_ai_tool(tool)]).run(QUESTION)
        print(result.output)
        assert tool.engine is not None
        assert tool.session_id is not None
        print("files:", *await tool.engine.list_workspace_files(tool.session_id, only_generated=True))
        print((await tool.engine.read_file_binary(tool.session_id, "sum.txt")).decode(), end="")


if __name__ == "__main__":
    asyncio.run(main())
