"""The tool for PydanticAI: ``Agent(model, tools=[pydantic_ai_tool(tool)])``, or ``toolsets=[...]``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pydantic_ai import FunctionToolset, ModelRetry, Tool, ToolReturn

if TYPE_CHECKING:
    from pydantic_ai import RunContext
    from pydantic_ai.tools import ToolDefinition

    from interpreter_tools.tool import CodeExecutionTool


def pydantic_ai_tool(tool: CodeExecutionTool) -> Tool[object]:
    """The tool as an agent takes it. Its return's metadata is the ``ExecutionResult``.

    Arguments that cannot be understood are asked for again, within the agent's number of retries. A run that the caller
    cancels is killed.

    Args:
        tool: what runs the code; it stays the caller's to clean up.
    """

    async def run(**arguments: object) -> ToolReturn:
        reply = await tool.call(arguments)
        if reply.result is None:
            raise ModelRetry(reply.text)
        return ToolReturn(reply.text, metadata=reply.result)

    async def renew(context: RunContext[object], definition: ToolDefinition) -> ToolDefinition:
        """The agent asks this before each request, so languages that were registered since are told."""
        return dataclasses.replace(definition, parameters_json_schema=tool.json_schema)

    face: Tool[object] = Tool.from_schema(run, tool.name, tool.description, tool.json_schema)
    face.prepare = renew
    return face


def pydantic_ai_toolset(tool: CodeExecutionTool, *, id: str | None = None) -> FunctionToolset[object]:  # noqa: A002
    """The same as a toolset, which can be filtered, prefixed or combined with others.

    Args:
        tool: what runs the code; it stays the caller's to clean up.
        id: the toolset's name, which durable execution needs.
    """
    return FunctionToolset([pydantic_ai_tool(tool)], id=id)
