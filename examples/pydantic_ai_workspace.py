"""A PydanticAI agent that works in a sandbox. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import agent_model
from pydantic_ai import Agent, RunContext, ToolReturnPart

from interpreter_tools import ExecutionEngine
from interpreter_tools.adapters.pydantic_ai_workspace import SandboxWorkspace

QUESTION = "Start a web server in the background that serves this directory, and fetch numbers.txt from it."
FETCH = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/numbers.txt').read().decode())"
MODEL = agent_model(
    {"command": "seq 1 5 > numbers.txt"},
    {"command": "setsid python3 -m http.server 8000 --bind 127.0.0.1 > server.log 2>&1 & sleep 1"},
    {"command": f'python3 -c "{FETCH}" | tr "\\n" " "'},
    "The server works.",
    {"command": "ls *.txt"},
    "There is one file.",
)


async def bash(ctx: RunContext[object], command: str) -> str:
    """Run a shell command in the workspace."""
    result = await ctx.workspace.run(command, shell=True, timeout=60)  # noqa: S604 - in the sandbox
    return f"{result.stdout}{result.stderr}" if result.exit_code == 0 else f"exit code {result.exit_code}\n{result}"


async def main() -> None:
    """Ask, ask again in the same workspace, and print what the commands and the model said."""
    async with ExecutionEngine() as engine:  # ends all workspaces with it
        agent: Agent[object, str] = Agent(MODEL, tools=[bash], capabilities=[SandboxWorkspace(engine)])
        first = await agent.run(QUESTION)
        again = await agent.run("Which text files are there?", message_history=first.all_messages())
    for message in again.all_messages():
        for part in message.parts:
            if isinstance(part, ToolReturnPart) and part.content:
                print("bash:", str(part.content).strip())
    print(first.output, again.output)


if __name__ == "__main__":
    asyncio.run(main())
