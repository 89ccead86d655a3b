"""The tool for the OpenAI Agents SDK: ``Agent(tools=[openai_agents_tool(tool)])``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents import FunctionTool, ToolOutputImage, ToolOutputText

if TYPE_CHECKING:
    from agents import AgentBase, RunContextWrapper
    from agents.tool_context import ToolContext

    from interpreter_tools.tool import CodeExecutionTool


def openai_agents_tool(tool: CodeExecutionTool) -> FunctionTool:
    """Return the tool in the form for an agent. A cancelled run is killed.

    Args:
        tool: the tool; the caller cleans it up.

    Returns:
        A tool whose calls raise ``InterpreterToolsError`` when the infrastructure fails. The agent's run then ends with
        the SDK's ``UserError``, which has this error as its cause.
    """

    async def invoke(context: ToolContext[object], arguments: str) -> str | list[ToolOutputText | ToolOutputImage]:
        reply = await tool.call(arguments)
        if not reply.pictures:
            return reply.text
        return [ToolOutputText(text=reply.text), *(ToolOutputImage(image_url=shown.url) for shown in reply.pictures)]

    def renew(context: RunContextWrapper[object], agent: AgentBase) -> bool:
        """Update the languages in the schema; the SDK calls this before each request."""
        face.params_json_schema = tool.strict_json_schema
        return True

    face = FunctionTool(
        name=tool.name,
        description=tool.description,
        params_json_schema=tool.strict_json_schema,
        on_invoke_tool=invoke,
        is_enabled=renew,
    )
    return face
