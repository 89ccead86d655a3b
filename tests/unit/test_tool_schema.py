"""What models are shown of the tool."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import cast

import pytest

from interpreter_tools import (
    CodeExecutionTool,
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    HostTool,
    Mount,
    RunLimits,
    RunOptions,
    ToolArguments,
    create_code_execution_tool,
)
from interpreter_tools._config import options


def test_schema() -> None:
    """Two fields are required, and no others are allowed than those described."""
    schema = create_code_execution_tool(timeout=5, languages=("python", "js")).json_schema
    properties = cast("dict[str, dict[str, object]]", schema["properties"])
    own = ["language", "code", "dependencies", "timeout", "stdin", "args", "system_dependencies", "merge_output"]
    assert list(properties) == own
    assert (schema["type"], schema["required"]) == ("object", ["language", "code"])
    assert schema["additionalProperties"] is False
    assert properties["language"]["enum"] == ["javascript", "python"]
    assert "at most 5" in str(properties["timeout"]["description"])
    assert all(field["description"] for field in properties.values())


def test_every_option_of_a_run_has_a_place_in_the_tool() -> None:
    """Models give some, callers give some with a call, and makers of a tool give the others."""
    by_models = set(ToolArguments.__struct_fields__)
    with_calls = set(inspect.signature(CodeExecutionTool.execute).parameters)
    by_makers = {*inspect.signature(create_code_execution_tool).parameters, *RunLimits.__annotations__}
    # A call brings its program, a reply is made of the output, and the engine limits compilers.
    the_tools_own = {"run_app", "capture", "compile_timeout"}
    places = by_models | with_calls | by_makers | the_tools_own
    assert set(RunOptions.__annotations__) <= places


def test_strict_schema() -> None:
    """Everything is required there, and what may be left out may be null."""
    schema = create_code_execution_tool().strict_json_schema
    properties = cast("dict[str, dict[str, object]]", schema["properties"])
    assert schema["required"] == list(properties)
    assert schema["additionalProperties"] is False
    for name in ("dependencies", "timeout", "stdin"):
        assert {"type": "null"} in cast("list[object]", properties[name]["anyOf"])
        assert "default" not in properties[name]


def test_schema_is_a_new_object_each_time() -> None:
    """Frameworks write into what they are given."""
    tool = create_code_execution_tool()
    cast("dict[str, object]", tool.json_schema["properties"]).clear()
    assert tool.json_schema["properties"]


def test_description_is_short_enough() -> None:
    """Some providers take 1,024 characters and no more."""
    tool = create_code_execution_tool(network="bridge", timeout=None)
    assert len(tool.description) < 800
    assert "no network" not in tool.description
    assert "seconds" not in tool.description
    assert create_code_execution_tool(description="Mine.").description == "Mine."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "run it"),
        ("name", "x" * 65),
        ("languages", "python"),
        ("timeout", 0),
        ("max_tokens", 10),
        ("environment", {"": "x"}),
        ("strategy", "forever"),
        ("workspace_sharing", "perhaps"),
        ("session_id", "mine"),
        ("mounts", ["/etc"]),
        ("mounts", None),
        ("mounts", Mount(target="a")),
        ("environment", ["A=1"]),
        ("dependencies", "no"),
        ("network", 5),
    ],
)
def test_wrong_option_is_refused(field: str, value: object) -> None:
    """When the tool is made."""
    with pytest.raises(ConfigurationError, match=rf"^{field}"):
        create_code_execution_tool(**{field: value})  # type: ignore[arg-type]


def test_tool_takes_its_limits_from_the_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that is added to `RunLimits` is one of the tool, without a change to it."""
    for name in RunLimits.__annotations__:
        with pytest.raises(ConfigurationError, match=rf"^{name}"):
            create_code_execution_tool(**{name: object()})  # type: ignore[arg-type]
    monkeypatch.setitem(RunLimits.__annotations__, "brightness", int)
    monkeypatch.setitem(RunOptions.__annotations__, "brightness", int)
    options._kinds_of_limits.cache_clear()
    assert options.check_limits(cast("RunLimits", {"brightness": 3})) == {"brightness": 3}
    create_code_execution_tool(**cast("RunLimits", {"brightness": 3}))
    monkeypatch.undo()
    options._kinds_of_limits.cache_clear()
    with pytest.raises(ConfigurationError, match=r"did you mean 'memory_limit'"):
        create_code_execution_tool(**cast("RunLimits", {"memory": "1g"}))


def test_engine_or_its_configuration() -> None:
    """Not both: an engine has its own."""
    with pytest.raises(ConfigurationError, match=r"^config"):
        create_code_execution_tool(engine=ExecutionEngine(), config=EngineConfig())


def test_pool_shares_nothing() -> None:
    """It wipes the workspace after each run."""
    with pytest.raises(ConfigurationError, match="POOL"):
        create_code_execution_tool(strategy=ContainerStrategy.POOL, workspace_sharing="shared")


def test_nothing_is_started_by_import() -> None:
    """Nor by making a tool: no event loop runs yet."""
    code = (
        "import interpreter_tools, sys\n"
        "tool = interpreter_tools.create_code_execution_tool()\n"
        "print(tool.name, repr(tool), tool.json_schema['type'])\n"
        "optional = {'openai', 'agents', 'anthropic', 'langchain_core', 'pydantic_ai', 'llama_index', 'pydantic'}\n"
        "assert not optional & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "execute_code <CodeExecutionTool execute_code <Runner no engine yet>> object\n"


def test_packages_can_be_left_out() -> None:
    """Models are not shown then what they cannot ask for."""
    tool = create_code_execution_tool(dependencies=False)
    for schema in (tool.json_schema, tool.strict_json_schema):
        assert "dependencies" not in cast("dict[str, object]", schema["properties"])


def test_description_tells_what_is_kept() -> None:
    """Between calls."""
    assert "Nothing is kept" in create_code_execution_tool().description
    for kept in (
        create_code_execution_tool(strategy=ContainerStrategy.PER_SESSION),
        create_code_execution_tool(workspace_sharing="shared"),
    ):
        assert "Files are kept" in kept.description


def test_description_tells_of_the_network() -> None:
    """The tool's, or its engine's."""
    networked = EngineConfig(container=ContainerConfig(network="bridge"))
    assert "no network" in create_code_execution_tool().description
    assert "no network" in create_code_execution_tool(config=networked, network="none").description
    assert "no network" not in create_code_execution_tool(config=networked).description
    assert "no network" not in create_code_execution_tool(engine=ExecutionEngine(networked)).description


def test_description_names_the_functions_that_programs_may_call() -> None:
    """As many as there is room for."""
    few = create_code_execution_tool(tools=[test_schema]).description
    assert few.endswith("help(tools.NAME) explains one. Names: test_schema.")
    many = [HostTool(test_schema, name=f"function_number_{number}") for number in range(100)]
    description = create_code_execution_tool(tools=many).description
    assert len(description) < 1024
    assert description.endswith("; dir(tools) lists all.")
