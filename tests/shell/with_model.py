"""A shell whose model answers by a list of its own, given as JSON: programs to run, or words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import cast

from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from interpreter_tools import EngineConfig
from interpreter_tools.shell import ShellOptions, run_shell

_script: list[object] = json.loads(Path(sys.argv[1]).read_text("utf-8"))


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """The next one; what it was asked, and which tools it has, are noted beside the list."""
    _note({"messages": str(messages), "tools": [tool.name for tool in info.function_tools]})
    step = _script.pop(0)
    if step == "wait":
        await asyncio.sleep(600)
    if isinstance(step, dict):
        return ModelResponse(parts=[ToolCallPart("execute_code", cast("dict[str, object]", step))])
    return ModelResponse(parts=[TextPart(str(step))])


def _note(asked: dict[str, object]) -> None:
    with Path(f"{sys.argv[1]}.asked").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asked) + "\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(run_shell(EngineConfig.load(), ShellOptions(), model=FunctionModel(answer))))
