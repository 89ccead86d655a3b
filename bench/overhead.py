"""The time that the tool adds to a run, and backends to one in a session: ``python -m bench.overhead [rounds]``.

Needs the extras of all adapters.
"""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING

from agents.tool_context import ToolContext
from anthropic.types import ToolUseBlock
from langchain_core.messages import ToolCall
from openai.types.responses import ResponseFunctionToolCall

from bench._baseline import timed
from bench._report import difference_at_most, heading, rounds, run
from interpreter_tools import (
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    PoolConfig,
    create_code_execution_tool,
)
from interpreter_tools._languages.python import PYTHON
from interpreter_tools.adapters.anthropic import AnthropicTool
from interpreter_tools.adapters.deepagents import InterpreterToolsSandbox
from interpreter_tools.adapters.inspect_ai import InterpreterToolsSandboxEnvironment
from interpreter_tools.adapters.langchain import LangChainTool
from interpreter_tools.adapters.llama_index import LlamaIndexTool
from interpreter_tools.adapters.openai import OpenAITool
from interpreter_tools.adapters.openai_agents import openai_agents_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool
from interpreter_tools.adapters.pydantic_ai_workspace import SandboxWorkspaceBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools import CodeExecutionTool

SHELL = "echo hi"
LANGUAGE, CODE = "python", 'print("hi")'
ARGUMENTS: dict[str, object] = {"language": LANGUAGE, "code": CODE}
TEXT = json.dumps(ARGUMENTS)
TARGET = 2.0  # milliseconds over the run itself


async def once(action: Callable[[], Awaitable[object]]) -> float:
    """Return the milliseconds of a call, which must have run the code."""
    taken, answer = await timed(action())
    assert "hi" in str(answer), answer
    return taken


def faces(tool: CodeExecutionTool) -> dict[str, Callable[[], Awaitable[object]]]:
    """Make one call of each, as its framework makes it once the model has answered."""
    openai, anthropic, agents = OpenAITool(tool), AnthropicTool(tool), openai_agents_tool(tool)
    langchain, pydantic_ai, llama = LangChainTool(tool), pydantic_ai_tool(tool), LlamaIndexTool(tool)
    item = ResponseFunctionToolCall(type="function_call", call_id="c", name=tool.name, arguments=TEXT)
    block = ToolUseBlock(type="tool_use", id="c", name=tool.name, input=ARGUMENTS)
    call = ToolCall(type="tool_call", id="c", name=tool.name, args=ARGUMENTS)
    context: ToolContext[object] = ToolContext(context=None, tool_name=tool.name, tool_call_id="c", tool_arguments=TEXT)
    return {
        "tool.execute": lambda: tool.execute(ARGUMENTS),
        "tool.call, rendered": lambda: tool.call(TEXT),
        "openai": lambda: openai.handle(item),
        "openai-agents": lambda: agents.on_invoke_tool(context, TEXT),
        "anthropic": lambda: anthropic.handle(block),
        "langchain": lambda: langchain.ainvoke(call),
        "pydantic-ai": lambda: pydantic_ai.function_schema.function(**ARGUMENTS),
        "llama-index": lambda: llama.acall(**ARGUMENTS),
    }


async def main(count: int) -> None:
    """Compare the run itself with every face, in turns, each in a fresh container that is warm."""
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=2))) as engine:

        async def settle() -> None:
            await engine.warm()
            await asyncio.sleep(0.3)  # what removes the last one ends

        measured = faces(create_code_execution_tool(engine=engine))
        alone, *taken = await rounds(
            functools.partial(once, lambda: engine.run(LANGUAGE, CODE)),
            *(functools.partial(once, action) for action in measured.values()),
            count=count,
            settle=settle,
        )
        heading()
        for name, milliseconds in zip(measured, taken, strict=True):
            difference_at_most(f"{name} - engine.run", milliseconds, alone, unit="ms", target=TARGET)
        await backends(engine, count)


async def backends(engine: ExecutionEngine, count: int) -> None:
    """Compare a run of the shell in a session with the same through every backend, each in a session of its own."""
    container = ContainerConfig(image=PYTHON.default_image)
    workspace = SandboxWorkspaceBackend(engine)
    inspect = InterpreterToolsSandboxEnvironment(engine.session().commands())
    async with (
        engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session,
        InterpreterToolsSandbox(engine) as sandbox,
    ):
        measured: dict[str, Callable[[], Awaitable[object]]] = {
            "pydantic-ai workspace": lambda: workspace.run(SHELL, shell=True),
            "deepagents sandbox": lambda: sandbox.aexecute(SHELL),
            "inspect-ai sandbox": lambda: inspect.exec(["sh", "-c", SHELL]),
        }
        alone, *taken = await rounds(
            functools.partial(once, lambda: session.run("shell", SHELL)),
            *(functools.partial(once, action) for action in measured.values()),
            count=count,
            settle=lambda: asyncio.sleep(0),
        )
        for name, milliseconds in zip(measured, taken, strict=True):
            difference_at_most(f"{name} - session.run", milliseconds, alone, unit="ms", target=TARGET)


if __name__ == "__main__":
    run(main, rounds=15)
