"""The tool for PydanticAI: ``Agent(model, tools=[pydantic_ai_tool(tool)])``, or ``toolsets=[...]``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pydantic_ai import BinaryContent, FunctionToolset, ModelRetry, Tool, ToolReturn

if TYPE_CHECKING:
    from pydantic_ai import RunContext
    from pydantic_ai.tools import ToolDefinition

    from interpreter_tools.tool import CodeExecutionTool


def pydantic_ai_tool(tool: CodeExecutionTool) -> Tool[object]:
    """Return the tool in the form for an agent. The metadata of its return is the ``ExecutionResult``.

    The agent asks the model again for arguments that cannot be understood, within its number of retries. A cancelled
    run is killed.

    Args:
        tool: the tool; the caller cleans it up.
    """

    async def run(**arguments: object) -> ToolReturn:
        reply = await tool.call(arguments)
        if reply.result is None:
            raise ModelRetry(reply.text)
        pictures = [BinaryContent(shown.data, media_type=shown.mime_type) for shown in reply.pictures]
        return ToolReturn([reply.text, *pictures] if pictures else reply.text, metadata=reply.result)

    async def renew(context: RunContext[object], definition: ToolDefinition) -> ToolDefinition:
        """Return the definition with the languages registered now; the agent calls this before each request."""
        return dataclasses.replace(definition, parameters_json_schema=tool.json_schema)

    face: Tool[object] = Tool.from_schema(run, tool.name, tool.description, tool.json_schema)
    face.prepare = renew
    return face


def pydantic_ai_toolset(tool: CodeExecutionTool, *, id: str | None = None) -> FunctionToolset[object]:  # noqa: A002
    """Return the tool as a toolset, which can be filtered, prefixed or combined with others.

    Args:
        tool: the tool; the caller cleans it up.
        id: the toolset's name, which durable execution needs.
    """
    return FunctionToolset([pydantic_ai_tool(tool)], id=id)
