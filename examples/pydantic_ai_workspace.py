"""A PydanticAI agent that works in a sandbox. Without a model in PYDANTIC_AI_MODEL, its function model answers.

pip install "interpreter-tools[pydantic-ai]", and for a model such as PYDANTIC_AI_MODEL=openai:gpt-5-mini the extra of
pydantic-ai-slim that it needs.
"""

import asyncio
import os

from pydantic_ai import Agent, ModelMessage, ModelResponse, RunContext, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from interpreter_tools import ExecutionEngine
from interpreter_tools.adapters.pydantic_ai_workspace import SandboxWorkspace

QUESTION = "Start a web server in the background that serves this directory, and fetch numbers.txt from it."
FETCH = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/numbers.txt').read().decode())"
CALLS = [
    "seq 1 5 > numbers.txt",
    "setsid python3 -m http.server 8000 --bind 127.0.0.1 > server.log 2>&1 & sleep 1",
    f'python3 -c "{FETCH}" | tr "\\n" " "',
]


def stand_in(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the tool three times, then repeat what it was told."""
    told = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if len(told) < len(CALLS):
        return ModelResponse(parts=[ToolCallPart("bash", {"command": CALLS[len(told)]})])
    return ModelResponse(parts=[TextPart(f"The server says: {str(told[-1].content).strip()}")])


async def bash(ctx: RunContext[object], command: str) -> str:
    """Run a shell command in the workspace."""
    result = await ctx.workspace.run(command, shell=True, timeout=60)  # noqa: S604 - in the sandbox
    return f"{result.stdout}{result.stderr}" if result.exit_code == 0 else f"exit code {result.exit_code}\n{result}"


async def main() -> None:
    """Ask, print the answer, and read what is in the workspace."""
    model = os.environ.get("PYDANTIC_AI_MODEL") or FunctionModel(stand_in)
    async with ExecutionEngine() as engine:  # ends all workspaces with it
        agent: Agent[object, str] = Agent(model, tools=[bash], capabilities=[SandboxWorkspace(engine)])
        result = await agent.run(QUESTION)
        print(result.output)
        again = await agent.run("Stop the server.", message_history=result.all_messages())  # the same workspace
        print(again.output)


if __name__ == "__main__":
    asyncio.run(main())
