"""The executor through smolagents' own agent, with a model that says what it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("smolagents")

from PIL.Image import Image
from smolagents import AgentError, CodeAgent, Model, tool
from smolagents.models import ChatMessage, MessageRole

from interpreter_tools import EngineConfig, PoolConfig
from interpreter_tools.adapters.smolagents import SandboxExecutor
from interpreter_tools.blocking import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker


class Script(Model):
    """Says these steps, one after another."""

    def __init__(self, *steps: str) -> None:
        super().__init__(model_id="script")
        self.steps = list(steps)
        self.seen: list[str] = []

    def generate(self, messages: list[ChatMessage], *_: object, **__: object) -> ChatMessage:
        """Say the next step."""
        self.seen.append(str(messages[-1].content))
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"Thought: so.\n<code>\n{self.steps.pop(0)}\n</code>")


@tool
def scale(value: int) -> int:
    """Scale a value.

    Args:
        value: the value.
    """
    return value * 10


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine of this module's own."""
    with Engine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2))) as made:
        yield made


@pytest.fixture
def executor(engine: Engine) -> Iterator[SandboxExecutor]:
    """An executor with a function of the host."""

    def lookup(word: str) -> str:
        return f"about {word}"

    made = SandboxExecutor(engine, timeout=30, host_tools=[lookup])
    yield made
    made.cleanup()
    made.cleanup()


def test_agent_keeps_variables_until_its_final_answer(executor: SandboxExecutor) -> None:
    """With a tool that runs in the sandbox, the agent's state, a failure that the model reads, and printed output."""
    model = Script(
        "x = scale(given)\nprint('scaled', x)",
        "x / 0",
        "import tools\nfinal_answer({'x': x + 1, 'about': tools.lookup('x')})",
    )
    agent = CodeAgent(tools=[scale], model=model, executor=executor, verbosity_level=0)
    assert agent.run("Go.", additional_args={"given": 4}) == {"x": 41, "about": "about x"}
    assert "scaled 40" in model.seen[1]
    assert "ZeroDivisionError" in model.seen[2]


def test_output_of_a_step_is_its_last_value(executor: SandboxExecutor) -> None:
    """As text, or as a picture; limits are told; the state survives them."""
    assert executor("y = 5\ny * 2").output == "10"
    assert executor("y = 6").output is None
    picture = executor("import PIL.Image\nPIL.Image.new('RGB', (3, 2))").output
    assert isinstance(picture, Image)
    assert picture.size == (3, 2)
    executor._options["timeout"] = 0.5
    with pytest.raises(AgentError, match=r"KeyboardInterrupt|timeout"):
        executor("while True: pass")
    executor._options["timeout"] = 30
    assert executor("y").output == "6"


def test_packages_of_tools_are_installed(executor: SandboxExecutor) -> None:
    """Without a network in the sandbox."""
    executor.install_packages(["six"])
    assert executor("import six\nsix.PY3").output == "True"
    assert executor("!pip install toolz\nimport toolz\ntoolz.identity(3)").output == "3"
