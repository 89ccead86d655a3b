"""The models of the examples: a real one where the environment names it, else a stand-in with a list of what to say.

Take a function from here to try your own agent without a model, and drop it for the real one. Each imports its own
framework only, when it is called.
"""

# ruff: noqa: PLC0415
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportMissingImports=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2
    from anthropic import AsyncAnthropic
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from openai import AsyncOpenAI
    from pydantic_ai import ModelMessage, ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.models.function import AgentInfo


def agent_model(*steps: Mapping[str, object] | str) -> Model | str:
    """Return PYDANTIC_AI_MODEL, or one that takes these steps: arguments of the agent's tool, or a text.

    For PYDANTIC_AI_MODEL=openai:gpt-5-mini, say: pip install "pydantic-ai-slim[openai]", and set OPENAI_API_KEY.
    """
    from pydantic_ai import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    left = iter(steps)

    def stand_in(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        step = next(left)
        if isinstance(step, str):
            return ModelResponse(parts=[TextPart(step)])
        tool, *_ = (*info.function_tools, *info.output_tools)
        return ModelResponse(parts=[ToolCallPart(tool.name, dict(step))])

    return os.environ.get("PYDANTIC_AI_MODEL") or FunctionModel(stand_in)


def anthropic_client(call: Mapping[str, object]) -> AsyncAnthropic:
    """Return Anthropic's client if ANTHROPIC_API_KEY is set, else one that calls the tool and repeats its answer."""
    import httpx2
    from anthropic import AsyncAnthropic

    if "ANTHROPIC_API_KEY" in os.environ:
        return AsyncAnthropic()

    def stand_in(request: httpx2.Request) -> httpx2.Response:
        last = json.loads(request.content)["messages"][-1]["content"]
        if isinstance(last, str):
            content, why = {"type": "tool_use", "id": "t", "name": "execute_code", "input": call}, "tool_use"
        else:
            content, why = {"type": "text", "text": f"The tool says {last[0]['content'].split()[-1]}."}, "end_turn"
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "none", "content": [content]}
        return httpx2.Response(200, json={**message, "stop_reason": why, "stop_sequence": None, "usage": usage})

    return AsyncAnthropic(api_key="none", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(stand_in)))


def openai_client(call: Mapping[str, object]) -> AsyncOpenAI:
    """Return OpenAI's client if OPENAI_API_KEY is set, else one that calls the tool and repeats its answer."""
    import httpx2
    from openai import AsyncOpenAI

    if "OPENAI_API_KEY" in os.environ:
        return AsyncOpenAI()

    def stand_in(request: httpx2.Request) -> httpx2.Response:
        given = json.loads(request.content)["input"]
        item: dict[str, object] = {"type": "function_call", "id": "f", "call_id": "c", "name": "execute_code"}
        item["arguments"] = json.dumps(call)
        if not isinstance(given, str):
            text = f"The tool says {given[0]['output'].split()[-1]}."
            content = {"type": "output_text", "text": text, "annotations": list[str]()}
            item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [content]}
        return httpx2.Response(200, json={"id": "r", "object": "response", "model": "none", "output": [item]})

    return AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(stand_in)))


def langchain_model(*messages: AIMessage) -> BaseChatModel | str:
    """Return LANGCHAIN_MODEL, or a model that says these messages and takes no notice of tools.

    For LANGCHAIN_MODEL=openai:gpt-5-mini, say: pip install langchain-openai, and set OPENAI_API_KEY.
    """
    from langchain_core.language_models import GenericFakeChatModel

    class StandIn(GenericFakeChatModel):
        def bind_tools(self, *tools: object, **options: object) -> StandIn:  # pyright: ignore[reportIncompatibleMethodOverride]
            return self

    return os.environ.get("LANGCHAIN_MODEL") or StandIn(messages=iter(messages))


def llama_index_model(call: Mapping[str, object]) -> FunctionCallingLLM:
    """Return OpenAI's model if OPENAI_API_KEY is set, else a mock that calls the tool and repeats its answer."""
    from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
    from llama_index.core.llms.mock import MockFunctionCallingLLM

    if "OPENAI_API_KEY" in os.environ:
        from llama_index.llms.openai import OpenAI

        return OpenAI(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))

    def stand_in(messages: list[ChatMessage], **_: object) -> ChatMessage:
        if messages[-1].role != "tool":
            block = ToolCallBlock(tool_call_id="c", tool_name="execute_code", tool_kwargs=dict(call))
            return ChatMessage(role="assistant", blocks=[block])
        text = f"The tool says {str(messages[-1].content).split()[-1]}."
        return ChatMessage(role="assistant", blocks=[TextBlock(text=text)])

    return MockFunctionCallingLLM(response_generator=stand_in)
