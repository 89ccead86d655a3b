"""The tool through Anthropic's own client, whose transport answers as the API would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from anthropic import AsyncAnthropic

from interpreter_tools.adapters.anthropic import AnthropicTool
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anthropic.types import MessageParam
    from anthropic.types.beta import BetaMessage

    from interpreter_tools import CodeExecutionTool
    from tests.adapters.conftest import Cancelling

pytestmark = pytest.mark.docker


class Model:
    """Answers with a call of the tool, then with what came back. Remembers the requests."""

    def __init__(self, arguments: object) -> None:
        self.arguments = arguments
        self.requests: list[dict[str, Any]] = []

    def client(self) -> AsyncAnthropic:
        """A client that talks to it."""
        return AsyncAnthropic(
            api_key="none", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        )

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """One request's answer."""
        body = json.loads(request.content)
        self.requests.append(body)
        last = body["messages"][-1]["content"]
        if not isinstance(last, str):
            (block,) = last
            assert block["tool_use_id"] == "t1"
            told = json.dumps([block["content"], block.get("is_error", False)])
            content, stop = {"type": "text", "text": told}, "end_turn"
        else:
            name = body["tools"][0]["name"]
            content, stop = {"type": "tool_use", "id": "t1", "name": name, "input": self.arguments}, "tool_use"
        message = {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "model": "none",
            "content": [content],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        return httpx2.Response(200, json=message)


async def converse(tool: CodeExecutionTool, model: Model) -> tuple[str, bool]:
    """One conversation by hand; what the model was told, and whether as an error."""
    face = AnthropicTool(tool)
    messages: list[MessageParam] = [{"role": "user", "content": "What is 6 * 7?"}]
    async with model.client() as client:
        message = await client.messages.create(model="none", max_tokens=100, messages=messages, tools=[face.definition])
        results = [await face.handle(block) for block in message.content if block.type == "tool_use"]
        messages.append({"role": "assistant", "content": message.content})
        messages.append({"role": "user", "content": results})
        message = await client.messages.create(model="none", max_tokens=100, messages=messages, tools=[face.definition])
    (block,) = message.content
    assert block.type == "text"
    text, is_error = json.loads(block.text)
    return text, is_error


async def run_tool(tool: CodeExecutionTool, model: Model) -> tuple[str, bool]:
    """The same by the package's own loop."""
    async with model.client() as client:
        runner = client.beta.messages.tool_runner(
            model="none",
            max_tokens=100,
            tools=[AnthropicTool(tool)],
            messages=[{"role": "user", "content": "What is 6 * 7?"}],
        )
        message: BetaMessage = await runner.until_done()
    (block,) = message.content
    assert block.type == "text"
    content, is_error = json.loads(block.text)
    return content if isinstance(content, str) else content[0]["text"], is_error


@pytest.mark.parametrize("talk", [converse, run_tool])
async def test_conversation(
    tool: CodeExecutionTool, talk: Callable[[CodeExecutionTool, Model], Coroutine[None, None, tuple[str, bool]]]
) -> None:
    """The model asks, the program runs, the model is told: what it printed, or what was wrong, marked as an error."""
    model = Model(HELLO)
    assert await talk(tool, model) == ("[ok, exit code 0]\nstdout:\n42", False)
    (definition,) = model.requests[0]["tools"]
    assert definition == {"name": tool.name, "description": tool.description, "input_schema": tool.json_schema}
    text, is_error = await talk(tool, Model(BROKEN))
    assert "'numpy_of_tests' is not there" in text
    assert is_error
    text, is_error = await talk(tool, Model(WRONG))
    assert "'cobol' is not available" in text
    assert is_error


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """Both ways."""
    await cancelling(converse(tool, Model(ENDLESS)))
    await cancelling(run_tool(tool, Model(ENDLESS)))
