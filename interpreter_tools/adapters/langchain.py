"""The tool for LangChain and LangGraph: ``model.bind_tools([LangChainTool(tool)])``, ``ToolNode([...])``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Never

from langchain_core.tools import ArgsSchema, BaseTool, ToolException
from langgraph.config import get_stream_writer
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from langgraph.types import StreamWriter

    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools.tool import CodeExecutionTool


class LangChainTool(BaseTool):
    """The tool in the form for chains and graphs.

    A call's content is the text for the model, as blocks where pictures were displayed; its artifact is the
    ``ExecutionResult``. In a graph that is streamed with ``stream_mode="custom"``, output appears as it comes:
    ``{"tool": ..., "stream": "stdout", "text": ...}``. Cancelling a call kills its run.

    Args:
        tool: the tool; the caller cleans it up.
    """

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    _tool: CodeExecutionTool = PrivateAttr()

    def __init__(self, tool: CodeExecutionTool) -> None:
        super().__init__(
            name=tool.name, description=tool.description, args_schema=tool.json_schema, handle_tool_error=True
        )
        self._tool = tool

    @property
    def tool_call_schema(self) -> ArgsSchema:
        """The schema that models see, with the languages that are registered now."""
        return {**self._tool.json_schema, "description": self._tool.description}

    def _run(self, **arguments: object) -> Never:
        message = f"{self.name} is asyncio only: use `await tool.ainvoke(...)`, or `ainvoke` or `astream` of the graph"
        raise NotImplementedError(message)

    async def _arun(self, **arguments: object) -> tuple[str | list[dict[str, str]], ExecutionResult]:
        writer = _stream_writer()

        def write(chunk: OutputChunk) -> None:
            if writer is not None:
                writer({"tool": self.name, "stream": chunk.stream, "text": chunk.text})

        reply = await self._tool.call(arguments, on_chunk=write if writer is not None else None)
        if reply.result is None:
            raise ToolException(reply.text)
        if not reply.pictures:
            return reply.text, reply.result
        pictures = [{"type": "image", "base64": shown.base64, "mime_type": shown.mime_type} for shown in reply.pictures]
        return [{"type": "text", "text": reply.text}, *pictures], reply.result


def _stream_writer() -> StreamWriter | None:
    """Return the stream writer of the graph; None outside of a graph."""
    try:
        return get_stream_writer()
    except (RuntimeError, KeyError):  # outside of any chain, and in a chain without a graph
        return None
