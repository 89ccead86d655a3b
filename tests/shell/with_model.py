"""A shell whose model answers by a list of its own, given as JSON: programs to run, or words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from interpreter_tools import EngineConfig
from interpreter_tools.shell import ShellOptions, run_shell

_script: list[object] = json.loads(Path(sys.argv[1]).read_text("utf-8"))


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """The next one; what it was asked, and which tools it has, are noted beside the list."""
    with Path(f"{sys.argv[1]}.asked").open("a", encoding="utf-8") as asked:
        tools = [tool.name for tool in info.function_tools]
        asked.write(json.dumps({"messages": str(messages), "tools": tools}) + "\n")
    step = _script.pop(0)
    if step == "wait":
        await asyncio.sleep(600)
    if isinstance(step, dict):
        return ModelResponse(parts=[ToolCallPart("execute_code", step)])
    return ModelResponse(parts=[TextPart(str(step))])


if __name__ == "__main__":
    sys.exit(asyncio.run(run_shell(EngineConfig.load(), ShellOptions(), model=FunctionModel(answer))))
