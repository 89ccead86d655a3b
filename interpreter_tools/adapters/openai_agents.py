"""The tool for the OpenAI Agents SDK: ``Agent(tools=[openai_agents_tool(tool)])``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents import FunctionTool

if TYPE_CHECKING:
    from agents import AgentBase, RunContextWrapper
    from agents.tool_context import ToolContext

    from interpreter_tools.tool import CodeExecutionTool


def openai_agents_tool(tool: CodeExecutionTool) -> FunctionTool:
    """The tool as an agent takes it. A run that the caller cancels is killed.

    Args:
        tool: what runs the code; it stays the caller's to clean up.

    Returns:
        A tool whose calls raise ``InterpreterToolsError`` when the infrastructure fails; the agent's run ends with the
        SDK's ``UserError``, whose cause that is.
    """

    async def invoke(context: ToolContext[object], arguments: str) -> str:
        return (await tool.call(arguments)).text

    def renew(context: RunContextWrapper[object], agent: AgentBase) -> bool:
        """The SDK asks this before each request: the one moment to tell of languages that were registered since."""
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
