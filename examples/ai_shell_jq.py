"""A model writes shell scripts: directories and JSON files, then jq. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import model_or
from pydantic_ai import Agent

from interpreter_tools import ContainerStrategy, create_code_execution_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

QUESTION = """\
With shell scripts, in two steps: write three JSON files with an id and its square into data/; then let jq add up the
squares into total.json. Tell the total."""
WRITE = 'mkdir -p data\nfor n in 1 2 3; do echo "{\\"id\\": $n, \\"square\\": $((n * n))}" > data/$n.json; done'
ADD = "jq --slurp '{total: map(.square) | add}' data/*.json | tee total.json"
MODEL = model_or({"language": "bash", "code": WRITE}, {"language": "bash", "code": ADD}, "The total is 14.")


async def main() -> None:
    """Asks, prints the answer, and looks at the file itself: the runs share a session, which keeps files."""
    async with create_code_execution_tool(languages=["bash"], strategy=ContainerStrategy.PER_SESSION) as tool:
        result = await Agent(MODEL, tools=[pydantic_ai_tool(tool)]).run(QUESTION)
        print(result.output)
        assert tool.engine is not None
        assert tool.session_id is not None
        print("files:", *await tool.engine.list_workspace_files(tool.session_id, only_generated=True))
        print((await tool.engine.read_file_binary(tool.session_id, "total.json")).decode(), end="")


if __name__ == "__main__":
    asyncio.run(main())
