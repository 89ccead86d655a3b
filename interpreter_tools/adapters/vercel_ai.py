"""The tool for Vercel's ``ai``: ``ai.Agent(tools=[VercelAITool(tool)])``. The package needs Python 3.12."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from ai import AgentTool, events, tools

from interpreter_tools._exceptions import InvalidArguments
from interpreter_tools.tool._arguments import blame_arguments
from interpreter_tools.tool._excerpt import excerpt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools.tool import CodeExecutionTool

_SHOWN = 16_000  # characters of output that are shown while the program runs


class Piece(TypedDict):
    """A piece that a call yields: output, or at last the text for the model, whose ``stream`` is ``"reply"``."""

    stream: str
    text: str


class Reply(events.Aggregator[Piece, str, str]):
    """The result of a call: the output so far while it runs, the text for the model after its end."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, item: Piece) -> None:
        """Add a piece that the call yields."""
        self._text = item["text"] if item["stream"] == "reply" else excerpt(self._text + item["text"], _SHOWN)

    def snapshot(self) -> str:
        """Return the text to show."""
        return self._text

    @classmethod
    def to_model_input(cls, snapshot: str) -> str:
        """Return the snapshot unchanged: it was made for the model."""
        return snapshot


class VercelAITool(AgentTool):
    """The tool in the form for agents.

    Output comes as ``PartialToolCallResult`` events while the program runs. Leaving the agent's stream kills the run.
    When the infrastructure fails, the agent's loop tells the model, as it does for every exception.

    Args:
        tool: the tool; the caller cleans it up.
    """

    _code: CodeExecutionTool

    def __init__(self, tool: CodeExecutionTool) -> None:
        async def run(**arguments: object) -> AsyncGenerator[Piece]:
            try:
                with blame_arguments():
                    async with tool.stream(arguments) as execution:
                        async for chunk in execution:
                            yield {"stream": chunk.stream, "text": chunk.text}
                        result = await execution.result()
            except InvalidArguments as error:
                yield {"stream": "reply", "text": tool.render_error(error)}
            else:
                yield {"stream": "reply", "text": tool.reply(arguments, result).text}

        object.__setattr__(self, "_code", tool)  # the base is a frozen dataclass, whose `tool` is a property here
        object.__setattr__(self, "fn", run)
        object.__setattr__(self, "aggregator", Reply)
        object.__setattr__(self, "return_type", str)

    @property
    def tool(self) -> tools.Tool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The description of the tool for models, with the languages registered when an agent's run begins."""
        spec = tools.ToolSpec(description=self._code.description, params=self._code.json_schema)
        return tools.Tool(kind="function", name=self._code.name, spec=spec)
