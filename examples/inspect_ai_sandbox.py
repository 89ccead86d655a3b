"""An Inspect evaluation in the sandbox. Without a model in INSPECT_EVAL_MODEL, a scripted one answers.

pip install "interpreter-tools[inspect-ai]", and for a model such as INSPECT_EVAL_MODEL=openai/gpt-5-mini its provider's
package.
"""

import os
import tempfile

from inspect_ai import Task, eval  # noqa: A004 # pyright: ignore[reportUnknownVariableType]
from inspect_ai.dataset import Sample
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import bash, python

QUESTION = "The file numbers.txt holds one number a line. What is the sum of their squares?"
CALLS = [
    ("bash", {"command": "wc -l < numbers.txt"}),
    ("python", {"code": "print(sum(int(line) ** 2 for line in open('numbers.txt')))"}),
]


def stand_in() -> Model:
    """Call both tools, then answer."""
    name = "mockllm/model"
    outputs = [ModelOutput.for_tool_call(name, tool, arguments) for tool, arguments in CALLS]
    outputs.append(ModelOutput.from_content(name, "It is 385."))
    for output in outputs:
        output.usage = ModelUsage()  # else Inspect counts the tokens, with a table that it would download
    return get_model(name, custom_outputs=outputs)


def main() -> None:
    """Evaluate one sample, and print what the tools said in the sandbox, and the score."""
    task = Task(
        dataset=[
            Sample(QUESTION, target="385", files={"numbers.txt": "".join(f"{number}\n" for number in range(1, 11))})
        ],
        solver=[use_tools(bash(timeout=30), python(timeout=30)), generate()],
        scorer=includes(),
        sandbox="interpreter-tools",
    )
    with tempfile.TemporaryDirectory() as logs:
        (log,) = eval(task, model=os.environ.get("INSPECT_EVAL_MODEL") or stand_in(), log_dir=logs, display="none")
        assert log.samples is not None, log.error
        for message in log.samples[0].messages:
            if message.role == "tool":
                print(f"{message.function}: {message.text.strip()}")
        assert log.results is not None, log.error
        print("accuracy:", log.results.scores[0].metrics["accuracy"].value)


if __name__ == "__main__":
    main()
