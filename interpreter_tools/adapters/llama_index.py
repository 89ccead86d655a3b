"""The tool for LlamaIndex: ``FunctionAgent(tools=[LlamaIndexTool(tool)], llm=...)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.tools import AsyncBaseTool, ToolMetadata, ToolOutput

if TYPE_CHECKING:
    from interpreter_tools.tool import CodeExecutionTool


class _Metadata(ToolMetadata):
    """The description of the tool for models, with a schema that is no pydantic model."""

    def __init__(self, tool: CodeExecutionTool) -> None:
        super().__init__(name=tool.name, description=tool.description)
        self._tool = tool

    def get_parameters_dict(self) -> dict[str, object]:
        return self._tool.json_schema


class LlamaIndexTool(AsyncBaseTool):
    """The tool in the form for agents. An output's ``raw_output`` is the ``ExecutionResult``.

    Args:
        tool: the tool; the caller cleans it up.
    """

    def __init__(self, tool: CodeExecutionTool) -> None:
        self.tool = tool

    @property
    def metadata(self) -> ToolMetadata:
        """The description of the tool for models, with the languages that are registered now."""
        return _Metadata(self.tool)

    def call(self, *arguments: object, **fields: object) -> Never:
        """Refuse to run: the tool is for asynchronous agents only.

        Raises:
            NotImplementedError: always; ``acall`` runs the call.
        """
        raise NotImplementedError(f"{self.tool.name} is asyncio only: use `await tool.acall(...)`")

    async def acall(self, *arguments: object, **fields: object) -> ToolOutput:
        """Run the call of a model. Cancelling kills the run."""
        reply = await self.tool.call(arguments[0] if arguments else fields)
        return ToolOutput(
            tool_name=self.tool.name,
            blocks=[
                TextBlock(text=reply.text),
                *(ImageBlock(image=shown.data, image_mimetype=shown.mime_type) for shown in reply.pictures),
            ],
            raw_input={"args": arguments, "kwargs": fields},
            raw_output=reply.result,
            is_error=reply.is_error,
        )
