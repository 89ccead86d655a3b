"""smolagents: a code agent whose steps share variables in a sandbox, with a tool of its own and its final answer.

pip install "interpreter-tools[smolagents]"
"""

from smolagents import CodeAgent, Model, tool
from smolagents.models import ChatMessage, MessageRole

from interpreter_tools.adapters.smolagents import SandboxExecutor

STEPS = [
    "prices = {name: price(name) for name in ('tea', 'milk')}\nprint(prices)",
    "total = sum(prices.values())",
    "final_answer(f'{total} in all')",
]


class StandIn(Model):
    """A stand-in for a model, such as smolagents' InferenceClientModel."""

    def generate(self, messages: list[ChatMessage], *_: object, **__: object) -> ChatMessage:
        """Say the next step."""
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"Thought: next.\n<code>\n{STEPS.pop(0)}\n</code>")


@tool
def price(name: str) -> int:
    """Tell the price of something.

    Args:
        name: the thing.
    """
    return {"tea": 4, "milk": 2}[name]


def main() -> None:
    """Run an agent; smolagents is synchronous."""
    with CodeAgent(tools=[price], model=StandIn(), executor=SandboxExecutor(), verbosity_level=0) as agent:
        print("answer:", agent.run("What do tea and milk cost?"))


if __name__ == "__main__":
    main()
