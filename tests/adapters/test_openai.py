"""The tool through OpenAI's own client, whose transport answers as the API would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from openai import AsyncOpenAI

from interpreter_tools.adapters.openai import OpenAITool
from tests.adapters.conftest import BROKEN, ENDLESS, HELLO, WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from openai.types.chat import ChatCompletionMessageParam
    from openai.types.responses import ResponseInputParam

    from interpreter_tools import CodeExecutionTool
    from tests.adapters.conftest import Cancelling

pytestmark = pytest.mark.docker


class Model:
    """Answers with a call of the tool, then with what came back. Remembers the requests."""

    def __init__(self, arguments: str) -> None:
        self.arguments = arguments
        self.requests: list[dict[str, Any]] = []

    def client(self) -> AsyncOpenAI:
        """A client that talks to it."""
        return AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer)))

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """One request's answer."""
        body = json.loads(request.content)
        self.requests.append(body)
        return httpx2.Response(200, json=self.chat(body) if "chat" in request.url.path else self.respond(body))

    def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        """The Responses API."""
        last = body["input"][-1]
        if last.get("type") == "function_call_output":
            content = {"type": "output_text", "text": last["output"], "annotations": list[object]()}
            item: dict[str, Any] = {
                "type": "message",
                "id": "m1",
                "role": "assistant",
                "status": "completed",
                "content": [content],
            }
        else:
            name = body["tools"][0]["name"]
            item = {"type": "function_call", "id": "f1", "call_id": "c1", "name": name, "arguments": self.arguments}
        return {
            "id": "r1",
            "object": "response",
            "created_at": 0,
            "model": "none",
            "output": [item],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """The Chat Completions API."""
        last = body["messages"][-1]
        if last["role"] == "tool":
            assert last["tool_call_id"] == "c1"
            message = {"role": "assistant", "content": last["content"]}
        else:
            function = {"name": body["tools"][0]["function"]["name"], "arguments": self.arguments}
            calls = [{"id": "c1", "type": "function", "function": function}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return {"id": "x", "object": "chat.completion", "created": 0, "model": "none", "choices": [choice]}


async def respond(tool: CodeExecutionTool, model: Model) -> str:
    """One conversation over the Responses API."""
    face = OpenAITool(tool)
    items: ResponseInputParam = [{"role": "user", "content": "What is 6 * 7?"}]
    async with model.client() as client:
        response = await client.responses.create(model="none", input=items, tools=[face.responses])
        for item in response.output:
            if item.type == "function_call":
                items += [cast("Any", item.to_dict()), await face.handle(item)]
        return (await client.responses.create(model="none", input=items, tools=[face.responses])).output_text


async def chat(tool: CodeExecutionTool, model: Model) -> str | None:
    """One conversation over the Chat Completions API."""
    face = OpenAITool(tool)
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is 6 * 7?"}]
    async with model.client() as client:
        answer = await client.chat.completions.create(model="none", messages=messages, tools=[face.chat])
        message = answer.choices[0].message
        messages.append(cast("Any", message.to_dict()))
        calls = [call for call in message.tool_calls or () if call.type == "function"]
        messages.extend([await face.handle(call) for call in calls])
        answer = await client.chat.completions.create(model="none", messages=messages, tools=[face.chat])
        return answer.choices[0].message.content


@pytest.mark.parametrize("converse", [respond, chat])
async def test_conversation(
    tool: CodeExecutionTool, converse: Callable[[CodeExecutionTool, Model], Coroutine[None, None, str]]
) -> None:
    """The model asks, the program runs, the model is told: what it printed, or what was wrong."""
    assert await converse(tool, Model(json.dumps(HELLO))) == "[ok, exit code 0]\nstdout:\n42"
    assert "'numpy_of_tests' is not there" in await converse(tool, Model(json.dumps(BROKEN)))
    assert "'cobol' is not available" in await converse(tool, Model(json.dumps(WRONG)))
    assert "is not JSON" in await converse(tool, Model('{"language": "py'))


async def test_definitions_are_strict(tool: CodeExecutionTool) -> None:
    """And the same for both APIs but for their nesting."""
    responses, chats = Model(json.dumps(HELLO)), Model(json.dumps(HELLO))
    await respond(tool, responses)
    await chat(tool, chats)
    (definition,) = responses.requests[0]["tools"]
    assert definition == {"type": "function", **chats.requests[0]["tools"][0]["function"]}
    assert definition["strict"] is True
    assert definition["parameters"] == tool.strict_json_schema


async def test_nulls_of_strict_mode_are_understood(tool: CodeExecutionTool) -> None:
    """A model has to give every field there."""
    arguments = json.dumps({**HELLO, "dependencies": None, "timeout": None, "stdin": None})
    assert "42" in await respond(tool, Model(arguments))


async def test_cancelling_kills_the_run(tool: CodeExecutionTool, cancelling: Cancelling) -> None:
    """The conversation is given up."""
    await cancelling(respond(tool, Model(json.dumps(ENDLESS))))
