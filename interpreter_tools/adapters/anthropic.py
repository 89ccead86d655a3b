"""The tool for Anthropic's Messages: a definition and replies, and a tool for ``client.beta.messages.tool_runner``.

```python
face = AnthropicTool(tool)
message = await client.messages.create(model=..., messages=messages, max_tokens=1024, tools=[face.definition])
results = [await face.handle(block) for block in message.content if block.type == "tool_use"]
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anthropic.lib.tools import BetaAsyncBuiltinFunctionTool, ToolError

if TYPE_CHECKING:
    from anthropic.types import (
        Base64ImageSourceParam,
        ImageBlockParam,
        TextBlockParam,
        ToolParam,
        ToolResultBlockParam,
        ToolUseBlock,
    )
    from anthropic.types.beta import BetaToolParam
    from anthropic.types.beta.beta_tool_result_block_param import Content as BetaContent

    from interpreter_tools.tool import CodeExecutionTool, ToolReply


class AnthropicTool(BetaAsyncBuiltinFunctionTool):
    """The tool in the form of Anthropic's package; it is itself one of ``tool_runner``'s tools.

    Args:
        tool: the tool; the caller cleans it up.
    """

    def __init__(self, tool: CodeExecutionTool) -> None:
        self.tool = tool

    @property
    def definition(self) -> ToolParam:
        """The definition for ``client.messages.create(tools=[...])``."""
        return {
            "name": self.tool.name,
            "description": self.tool.description,
            "input_schema": self.tool.json_schema,
        }

    async def handle(self, block: ToolUseBlock) -> ToolResultBlockParam:
        """Run the call of a model.

        Args:
            block: one of the message's ``tool_use`` blocks.

        Returns:
            The block for the next user message; marked as an error unless the program's outcome is ``ok``.

        Raises:
            InterpreterToolsError: the infrastructure failed; a model cannot mend that.
        """
        reply = await self.tool.call(block.input)
        content = _content(reply) if reply.pictures else reply.text
        return {"type": "tool_result", "tool_use_id": block.id, "content": content, "is_error": reply.is_error}

    def to_dict(self) -> BetaToolParam:
        """Return the definition, as ``tool_runner`` asks for it."""
        return {
            "name": self.tool.name,
            "description": self.tool.description,
            "input_schema": self.tool.json_schema,
        }

    async def call(self, input: object) -> str | list[BetaContent]:  # noqa: A002 - the name is Anthropic's
        """Run the call of a model, as ``tool_runner`` does.

        Raises:
            ToolError: the program's outcome is not ``ok``; the runner tells the model.
        """
        reply = await self.tool.call(input)
        if reply.is_error:
            raise ToolError([*_content(reply)] if reply.pictures else reply.text)
        return [*_content(reply)] if reply.pictures else reply.text


def _content(reply: ToolReply) -> list[TextBlockParam | ImageBlockParam]:
    """Return the reply as blocks: the text, and what was displayed as pictures."""
    blocks: list[TextBlockParam | ImageBlockParam] = [{"type": "text", "text": reply.text}]
    for picture in reply.pictures:
        source: Base64ImageSourceParam = {
            "type": "base64",
            "media_type": picture.mime_type,
            "data": picture.base64,
        }
        blocks.append({"type": "image", "source": source})
    return blocks
