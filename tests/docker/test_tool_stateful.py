"""The tool of a model whose variables stay between calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import create_code_execution_tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import CodeExecutionTool, ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture
async def tool(engine: ExecutionEngine) -> AsyncGenerator[CodeExecutionTool]:
    """A stateful tool in a session of its own."""
    languages = ["python", "javascript", "shell", "awk"]
    async with create_code_execution_tool(engine=engine, stateful=True, timeout=20, languages=languages) as tool:
        yield tool


@pytest.mark.parametrize(
    ("language", "first", "second", "shown"),
    [
        ("python", "x = 41", "x + 1", "42"),
        ("javascript", "const x = 41", "x + 1", "42"),
        ("shell", "x=42", "echo $x", "42"),
    ],
)
async def test_variables_stay_between_calls(
    tool: CodeExecutionTool, language: str, first: str, second: str, shown: str
) -> None:
    """The value of a last expression is in the answer."""
    assert not (await tool.call(language=language, code=first)).is_error
    reply = await tool.call({"language": language, "code": second})
    assert shown in reply.text


async def test_errors_and_timeouts_keep_the_variables(tool: CodeExecutionTool) -> None:
    """The model reads the trace, and that the variables are kept."""
    await tool.call(language="javascript", code="let kept = 7")
    reply = await tool.call(language="javascript", code="null.x")
    assert reply.is_error
    assert "TypeError" in reply.text
    reply = await tool.call(language="javascript", code="while (true) {}", timeout=0.5)
    assert "variables of the context are kept" in reply.text
    assert "7" in (await tool.call(language="javascript", code="kept")).text


async def test_languages_share_the_files(tool: CodeExecutionTool) -> None:
    """Languages without a cell runner run programs in the same session."""
    await tool.call(language="python", code="open('a.txt', 'w').write('from python')")
    assert "from python" in (await tool.call(language="shell", code="cat a.txt")).text
    assert "from python" in (await tool.call(language="awk", code='BEGIN { getline x < "a.txt"; print x }')).text


async def test_calls_can_be_streamed(tool: CodeExecutionTool) -> None:
    """As runs can, with files and input."""
    code = "import sys\nprint(open('in.txt').read(), input())"
    async with tool.stream(language="python", code=code, stdin="typed", files={"in.txt": "given"}) as execution:
        text = "".join([chunk.text async for chunk in execution])
        result = await execution.result()
    assert (text, result.ok) == ("given typed\n", True)


async def test_arguments_of_programs_are_refused(tool: CodeExecutionTool) -> None:
    """A live program has none; the model is told what to do."""
    reply = await tool.call(language="python", code="1", args=["a"])
    assert reply.is_error
    assert "set them as variables" in reply.text


async def test_packages_come_without_the_loss_of_variables(tool: CodeExecutionTool) -> None:
    """Those that a call asks for, and well-known ones that its code imports."""
    await tool.call(code="x = 41", language="python")
    assert "(41, True)" in (await tool.call(code="import six\nx, six.PY3", language="python")).text
    reply = await tool.call(code="import toolz\ntoolz.identity(x)", language="python", dependencies=["toolz"])
    assert "41" in reply.text
