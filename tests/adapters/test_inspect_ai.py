"""The sandbox through Inspect: its self-check, and what that leaves out."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest
from inspect_ai import Task, eval_async  # pyright: ignore[reportUnknownVariableType]
from inspect_ai.dataset import Sample
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import bash
from inspect_ai.util import (
    ExecStdout,
    OutputLimitExceededError,
    SandboxEnvironmentSpec,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
)
from inspect_ai.util._sandbox.events import SandboxEnvironmentProxy
from inspect_ai.util._sandbox.limits import override_max_exec_output_size
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary]

from interpreter_tools import ConfigurationError
from interpreter_tools.adapters.inspect_ai import InterpreterToolsSandboxEnvironment, SandboxConfig, _Engines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from inspect_ai.util import SandboxEnvironment

pytestmark = [
    pytest.mark.docker,
    # Inspect leaves a stream of its own open
    pytest.mark.filterwarnings("ignore:.*MemoryObjectReceiveStream:pytest.PytestUnraisableExceptionWarning"),
]

# What of the self-check cannot pass here, and why.
IMPOSSIBLE = {
    "test_exec_as_user": "needs root, to add users to the image: a sandbox has one user, and a root that is read-only",
}


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[SandboxEnvironment]:
    """One sample's sandbox, for all of the self-check."""
    kind = InterpreterToolsSandboxEnvironment
    await kind.task_init("self_check", None)
    environments = await kind.sample_init("self_check", None, {})
    yield environments["default"]
    await kind.sample_cleanup("self_check", None, environments, interrupted=False)
    await kind.task_cleanup("self_check", None, cleanup=True)


@pytest.fixture
def sandbox_env(shared: SandboxEnvironment, request: pytest.FixtureRequest) -> SandboxEnvironment:
    """The sandbox under the name that the self-check wants."""
    reason = IMPOSSIBLE.get(request.node.originalname)
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return shared


def answers(*calls: tuple[str, dict[str, str]]) -> Model:
    """A model that makes these calls and is done."""
    name = "mockllm/model"
    outputs = [ModelOutput.for_tool_call(name, tool, arguments) for tool, arguments in calls]
    outputs.append(ModelOutput.from_content(name, "done"))
    for output in outputs:
        output.usage = ModelUsage()
    return get_model(name, custom_outputs=outputs)


async def evaluate(task: Task, model: Model, logs: Path) -> list[str]:
    """What the tools have said in the one sample."""
    (log,) = await eval_async(task, model=model, log_dir=str(logs))
    gc.collect()  # what it leaves open is noticed here, and not in a later test
    assert log.samples is not None, log.error
    assert log.samples[0].error is None, log.samples[0].error
    return [message.text.strip() for message in log.samples[0].messages if message.role == "tool"]


async def test_task_finds_the_sandbox_by_its_name(tmp_path: Path) -> None:
    """The sample's files are there, also those of a call before, and an engine is left by none."""
    task = Task(
        dataset=[Sample("?", files={"in/numbers.txt": "1\n2\n"}, setup="echo 3 >> in/numbers.txt")],
        solver=[use_tools(bash(timeout=60)), generate()],
        sandbox="interpreter-tools",
    )
    users = _Engines.here().users
    calls = [("bash", {"command": "cat in/numbers.txt; echo 4 > new"}), ("bash", {"command": "cat new; pwd"})]
    assert await evaluate(task, answers(*calls), tmp_path) == ["1\n2\n3", "4\n/workspace"]
    assert _Engines.here().users == users


async def test_sandbox_is_configured(tmp_path: Path) -> None:
    """By a model of its own, or by a file."""
    users = _Engines.here().users
    config = SandboxConfig(memory_limit="300m", working_dir="/tmp", environment=(("COLOUR", "blue"),))
    file = tmp_path / "my.toml"
    file.write_text('[container]\nworking_dir = "/tmp"\nenvironment = {COLOUR = "blue"}\n')
    task = Task(dataset=[Sample("?")], solver=[use_tools(bash(timeout=60)), generate()])
    for spec in (SandboxEnvironmentSpec("interpreter-tools", config), ("interpreter-tools", str(file))):
        task.sandbox = SandboxEnvironmentSpec(*spec) if isinstance(spec, tuple) else spec
        assert await evaluate(task, answers(("bash", {"command": "echo $COLOUR; pwd"})), tmp_path) == ["blue\n/tmp"]
    kind = InterpreterToolsSandboxEnvironment
    assert kind.config_deserialize(config.model_dump(mode="json")) == config
    with pytest.raises(ConfigurationError, match="memory_limit"):
        await kind.task_init("t", SandboxConfig(memory_limit="lots"))
    with pytest.raises(ConfigurationError, match=r"sandbox\.config"):
        await kind.task_init("t", Sample("?"))
    assert _Engines.here().users == users


async def test_tools_of_inspect_run_in_the_sandbox(shared: SandboxEnvironment) -> None:
    """Inspect puts a server of its own into the sandbox, which runs in the background."""
    sandbox = SandboxEnvironmentProxy(shared)
    result = await sandbox.exec_remote(["sh", "-c", "echo hello; exit 3"], stream=False)
    assert (result.returncode, result.stdout) == (3, "hello\n")
    process = await sandbox.exec_remote(["sh", "-c", "while true; do echo tick; sleep 0.1; done"])
    async for event in process:
        assert isinstance(event, ExecStdout)
        break
    await process.kill()


async def test_limits_are_the_frameworks_errors(shared: SandboxEnvironment) -> None:
    """And cancelling kills."""
    with override_max_exec_output_size(1000), pytest.raises(OutputLimitExceededError, match="1000 bytes"):
        await shared.exec(["yes"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await shared.exec(["sleep", "306"])
    left = await shared.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'slee[p] 306'"])
    assert left.stdout == ""
    with pytest.raises(SandboxUserUnsupportedError):
        await shared.exec(["true"], user="root")
    await shared.write_file("latin", b"\xe9")
    with pytest.raises(UnicodeDecodeError):
        await shared.read_file("latin")
    assert (await shared.exec(["nope"])).returncode == 127


async def test_sandbox_that_is_gone_is_unavailable() -> None:
    """A sample may clean up what is gone."""
    kind = InterpreterToolsSandboxEnvironment
    environments = await kind.sample_init("t", None, {})
    await environments["default"].as_type(kind).aclose()
    with pytest.raises(SandboxUnavailableError):
        await environments["default"].exec(["true"])
    await kind.sample_cleanup("t", None, environments, interrupted=True)
