"""A model writes shell scripts: directories and JSON files, then jq. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import agent_model
from pydantic_ai import Agent

from interpreter_tools import ExecutionEngine, create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

QUESTION = """\
With shell scripts, in two steps: write three JSON files with an id and its square into data/; then let jq add up the
squares into total.json. Tell the total."""
WRITE = 'mkdir -p data\nfor n in 1 2 3; do echo "{\\"id\\": $n, \\"square\\": $((n * n))}" > data/$n.json; done'
ADD = "jq --slurp '{total: map(.square) | add}' data/*.json | tee total.json"
MODEL = agent_model({"language": "bash", "code": WRITE}, {"language": "bash", "code": ADD}, "The total is 14.")


async def main() -> None:
    """Ask, print the answer, and look at the file itself: the runs belong to a session, which keeps files."""
    async with ExecutionEngine() as engine, engine.session() as session:
        tool = create_code_execution_tool(engine=engine, session_id=session.id, languages=["bash"])
        result = await Agent(MODEL, tools=[pydantic_ai_tool(tool)]).run(QUESTION)
        print(result.output)
        print("files:", *await session.list_workspace_files(only_generated=True))
        print((await session.read_file_binary("total.json")).decode(), end="")


if __name__ == "__main__":
    asyncio.run(main())
