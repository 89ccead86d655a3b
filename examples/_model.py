"""The model of the `ai_...` examples: the one in PYDANTIC_AI_MODEL, or a stand-in that says what is on its list.

For PYDANTIC_AI_MODEL=openai:gpt-5-mini, say: pip install "pydantic-ai-slim[openai]", and set OPENAI_API_KEY.
"""

import os
from collections.abc import Mapping

from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel


def model_or(*steps: Mapping[str, object] | str) -> Model | str:
    """The real one, if it is named; else one that takes these steps: arguments of the agent's tool, or a text."""
    left = iter(steps)

    def stand_in(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        step = next(left)
        if isinstance(step, str):
            return ModelResponse(parts=[TextPart(step)])
        tool, *_ = (*info.function_tools, *info.output_tools)
        return ModelResponse(parts=[ToolCallPart(tool.name, dict(step))])

    return os.environ.get("PYDANTIC_AI_MODEL") or FunctionModel(stand_in)
