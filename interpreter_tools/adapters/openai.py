"""The tool for OpenAI's Responses and Chat Completions: definitions for requests, and replies to the model's calls.

```python
face = OpenAITool(tool)
response = await client.responses.create(model=..., input=items, tools=[face.responses])
items += [await face.handle(call) for call in response.output if call.type == "function_call"]
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from openai.types.responses import ResponseFunctionToolCall

if TYPE_CHECKING:
    from openai.types.chat import (
        ChatCompletionFunctionToolParam,
        ChatCompletionMessageFunctionToolCall,
        ChatCompletionToolMessageParam,
    )
    from openai.types.responses import FunctionToolParam, ResponseFunctionCallOutputItemListParam
    from openai.types.responses.response_input_param import FunctionCallOutput

    from interpreter_tools.tool import CodeExecutionTool, ToolReply


class OpenAITool:
    """The tool in the form of OpenAI's package, in strict mode: the model's arguments follow the schema.

    Args:
        tool: the tool; the caller cleans it up.
    """

    def __init__(self, tool: CodeExecutionTool) -> None:
        self.tool = tool

    @property
    def responses(self) -> FunctionToolParam:
        """The definition for ``client.responses.create(tools=[...])``."""
        return {
            "type": "function",
            "name": self.tool.name,
            "description": self.tool.description,
            "parameters": self.tool.strict_json_schema,
            "strict": True,
        }

    @property
    def chat(self) -> ChatCompletionFunctionToolParam:
        """The definition for ``client.chat.completions.create(tools=[...])``."""
        return {
            "type": "function",
            "function": {
                "name": self.tool.name,
                "description": self.tool.description,
                "parameters": self.tool.strict_json_schema,
                "strict": True,
            },
        }

    @overload
    async def handle(self, call: ResponseFunctionToolCall) -> FunctionCallOutput: ...

    @overload
    async def handle(self, call: ChatCompletionMessageFunctionToolCall) -> ChatCompletionToolMessageParam: ...

    async def handle(
        self, call: ResponseFunctionToolCall | ChatCompletionMessageFunctionToolCall
    ) -> FunctionCallOutput | ChatCompletionToolMessageParam:
        """Run the call of a model.

        Args:
            call: a ``function_call`` item of a response, or one of a chat message's ``tool_calls``.

        Returns:
            The item for the next request's ``input`` or ``messages``.

        Raises:
            InterpreterToolsError: the infrastructure failed; a model cannot mend that.
        """
        if isinstance(call, ResponseFunctionToolCall):
            reply = await self.tool.call(call.arguments)
            return {"type": "function_call_output", "call_id": call.call_id, "output": _output(reply)}
        reply = await self.tool.call(call.function.arguments)
        return {"role": "tool", "tool_call_id": call.id, "content": reply.text}  # pictures cannot be in it


def _output(reply: ToolReply) -> str | ResponseFunctionCallOutputItemListParam:
    """Return the reply as an output: the text, and what was displayed as pictures."""
    if not reply.pictures:
        return reply.text
    pictures: ResponseFunctionCallOutputItemListParam = [
        {"type": "input_image", "image_url": picture.url} for picture in reply.pictures
    ]
    return [{"type": "input_text", "text": reply.text}, *pictures]
