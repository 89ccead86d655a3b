"""What a program displays reaches models as pictures, in each framework that takes them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from agents import ToolOutputImage, ToolOutputText
from anthropic.types import ToolUseBlock
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from openai.types.chat import ChatCompletionMessageFunctionToolCall
from openai.types.responses import ResponseFunctionToolCall
from pydantic_ai import BinaryContent, ToolReturn

from interpreter_tools.adapters.anthropic import AnthropicTool
from interpreter_tools.adapters.langchain import LangChainTool
from interpreter_tools.adapters.llama_index import LlamaIndexTool
from interpreter_tools.adapters.openai import OpenAITool
from interpreter_tools.adapters.openai_agents import openai_agents_tool
from interpreter_tools.adapters.pydantic_ai import pydantic_ai_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools import CodeExecutionTool

pytestmark = pytest.mark.docker

# A picture of one pixel, as any library of pictures displays it.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CODE = f"from IPython.display import Image, display\ndisplay(Image({PIXEL!r}))"
SHOWS: dict[str, Any] = {"language": "python", "code": CODE}
TEXT = f"[ok, exit code 0]\ndisplayed:\n  1. image/png, {len(PIXEL)} bytes"
URL = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


async def test_reply_has_the_pictures_and_names_them(tool: CodeExecutionTool) -> None:
    """Four at most; the text names all, and texts that are displayed stand in it."""
    reply = await tool.call(language="python", code=f"{CODE}\n" * 6 + "display({'a': 1})")
    assert [picture.data for picture in reply.pictures] == [PIXEL] * 4
    assert [line.split(".")[0].strip() for line in reply.text.splitlines()[2:]] == list("1234567")
    assert "{'a': 1}" in reply.text


async def test_figure_that_is_left_open_is_shown(tool: CodeExecutionTool) -> None:
    """And its packages are installed without being asked for."""
    reply = await tool.call(language="python", code="import matplotlib.pyplot as plt\nplt.plot([1, 2])")
    assert (reply.is_error, len(reply.pictures)) == (False, 1), reply.text


async def test_anthropic(tool: CodeExecutionTool) -> None:
    """As blocks of images, both ways."""
    face = AnthropicTool(tool)
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PIXEL).decode()}
    expected = [{"type": "text", "text": TEXT}, {"type": "image", "source": source}]
    block = ToolUseBlock(type="tool_use", id="t", name=tool.name, input=SHOWS)
    assert (await face.handle(block)).get("content") == expected
    assert await face.call(SHOWS) == expected


async def test_openai(tool: CodeExecutionTool) -> None:
    """As images in Responses; Chat Completions take text only, which names them."""
    face, arguments = OpenAITool(tool), json.dumps(SHOWS)
    call = ResponseFunctionToolCall(type="function_call", call_id="c", name=tool.name, arguments=arguments)
    expected = [{"type": "input_text", "text": TEXT}, {"type": "input_image", "image_url": URL}]
    assert (await face.handle(call))["output"] == expected
    chat = ChatCompletionMessageFunctionToolCall.model_validate(
        {"id": "c", "type": "function", "function": {"name": tool.name, "arguments": arguments}}
    )
    assert (await face.handle(chat))["content"] == TEXT


async def test_openai_agents(tool: CodeExecutionTool) -> None:
    """As the SDK's outputs."""
    face = openai_agents_tool(tool)
    told = await face.on_invoke_tool(cast("Any", None), json.dumps(SHOWS))
    assert told == [ToolOutputText(text=TEXT), ToolOutputImage(image_url=URL)]


async def test_pydantic_ai(tool: CodeExecutionTool) -> None:
    """As binary content of the return."""
    run = cast("Any", pydantic_ai_tool(tool).function)
    returned: ToolReturn[Any] = await run(**SHOWS)
    assert returned.return_value == [TEXT, BinaryContent(PIXEL, media_type="image/png")]


async def test_langchain(tool: CodeExecutionTool) -> None:
    """As standard blocks of content."""
    message = await LangChainTool(tool).ainvoke({"name": tool.name, "args": SHOWS, "id": "c", "type": "tool_call"})
    text, picture = cast("list[Mapping[str, str]]", message.content)
    assert text["text"] == TEXT
    assert (picture["type"], picture["mime_type"], base64.b64decode(picture["base64"])) == ("image", "image/png", PIXEL)


async def test_llama_index(tool: CodeExecutionTool) -> None:
    """As blocks; the output's text is the first."""
    output = await LlamaIndexTool(tool).acall(SHOWS)
    assert output.content == TEXT
    text, picture = output.blocks
    assert isinstance(text, TextBlock)
    assert isinstance(picture, ImageBlock)
    assert picture.resolve_image().read() == PIXEL
