"""The tool for LlamaIndex: ``FunctionAgent(tools=[LlamaIndexTool(tool)], llm=...)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from llama_index.core.tools import AsyncBaseTool, ToolMetadata, ToolOutput

if TYPE_CHECKING:
    from interpreter_tools.tool import CodeExecutionTool


class _Metadata(ToolMetadata):
    """What models are shown, with a schema that is no pydantic model."""

    def __init__(self, tool: CodeExecutionTool) -> None:
        super().__init__(name=tool.name, description=tool.description)
        self._tool = tool

    def get_parameters_dict(self) -> dict[str, object]:
        return self._tool.json_schema


class LlamaIndexTool(AsyncBaseTool):
    """The tool as agents take it. An output's ``raw_output`` is the ``ExecutionResult``.

    Args:
        tool: what runs the code; it stays the caller's to clean up.
    """

    def __init__(self, tool: CodeExecutionTool) -> None:
        self.tool = tool

    @property
    def metadata(self) -> ToolMetadata:
        """What models are shown, with the languages that are registered now."""
        return _Metadata(self.tool)

    def call(self, *arguments: object, **fields: object) -> Never:
        """Refuses to run."""
        raise NotImplementedError(f"{self.tool.name} is asyncio only: use `await tool.acall(...)`")

    async def acall(self, *arguments: object, **fields: object) -> ToolOutput:
        """Runs what the model asks for; cancelling it kills the run."""
        reply = await self.tool.call(arguments[0] if arguments else fields)
        return ToolOutput(
            tool_name=self.tool.name,
            content=reply.text,
            raw_input={"args": arguments, "kwargs": fields},
            raw_output=reply.result,
            is_error=reply.is_error,
        )
