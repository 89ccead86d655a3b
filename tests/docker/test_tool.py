"""The tool against a real engine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    CodeExecutionTool,
    ConfigurationError,
    ContainerStrategy,
    EngineClosed,
    EngineConfig,
    ExecutionEngine,
    InvalidArguments,
    LanguageConfig,
    LanguageRegistry,
    PoolConfig,
    create_code_execution_tool,
)
from tests.watch import eventually

if TYPE_CHECKING:
    from interpreter_tools import OutputChunk

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
SMALL = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=2, wait_timeout=120))


@pytest.fixture
def tool(engine: ExecutionEngine) -> CodeExecutionTool:
    """A tool over the engine that all tests share."""
    return create_code_execution_tool(engine=engine, strategy=POOL)


async def test_execute_gives_the_result(tool: CodeExecutionTool) -> None:
    """The engine's own, for messy arguments too."""
    for arguments in ({"language": "python", "code": "print(6 * 7)"}, "```py\nprint(6 * 7)\n```"):
        result = await tool.execute(arguments)
        assert (result.stdout, result.outcome) == ("42\n", "ok")
    result = await tool.execute(language="shell", code="cat; cat in/a", stdin="x", files={"in/a": b"y"})
    assert result.stdout == "xy"


async def test_program_that_reads_nothing_ends(tool: CodeExecutionTool) -> None:
    """Its standard input is empty unless something is given."""
    assert (await tool.execute(language="shell", code="cat; echo end")).stdout == "end\n"


async def test_stream_gives_output_as_it_comes(tool: CodeExecutionTool) -> None:
    """And can be killed."""
    code = "import time\nprint(1, flush=True)\ntime.sleep(600)"
    async with tool.stream(language="python", code=code) as execution:
        async for chunk in execution:
            assert chunk.text == "1\n"
            await execution.kill()
        assert (await execution.result()).outcome == "killed"


async def test_call_answers_a_model(tool: CodeExecutionTool) -> None:
    """With text; the whole result is behind it."""
    chunks: list[OutputChunk] = []
    reply = await tool.call(language="python", code="print('x' * 50_000)", on_chunk=chunks.append)
    assert "characters cut" in reply.text
    assert not reply.is_error
    assert reply.output_id is not None
    assert tool.full_output(reply.output_id).stdout == "x" * 50_000 + "\n"
    assert b"".join(chunk.data for chunk in chunks) == b"x" * 50_000 + b"\n"


async def test_call_explains_failures(tool: CodeExecutionTool) -> None:
    """What real interpreters write is understood."""
    for language, code in [
        ("python", "import numpy_of_tests"),
        ("javascript", "require('numpy_of_tests/x')"),
        ("shell", "numpy_of_tests -x"),
        ("bash", "numpy_of_tests -x"),
    ]:
        reply = await tool.call(language=language, code=code)
        assert "'numpy_of_tests' is not there" in reply.text
        assert reply.is_error
        assert reply.result is not None
    reply = await tool.call(language="python", code="while True: pass", timeout="0.3s")
    assert "did not end within 0.3 s" in reply.text
    reply = await tool.call(language="python", code="input()")
    assert "pass it as stdin" in reply.text
    reply = await tool.call(language="python", code="import socket; socket.create_connection(('example.org', 80))")
    assert "no network" in reply.text
    for language, code, said in [
        ("python", "x = bytearray(1 << 45)", "in smaller pieces"),
        ("python", "!ls\nprint(1)", "no notebook"),
        ("python", "open('made-before')", "Files of earlier calls are gone"),
    ]:
        assert said in (await tool.call(language=language, code=code)).text


async def test_wrong_arguments_run_nothing(tool: CodeExecutionTool) -> None:
    """The caller gets an error, a model text."""
    with pytest.raises(InvalidArguments, match="language"):
        await tool.execute(language="cobol", code="x")
    reply = await tool.call('{"language": "python"')
    assert reply.is_error
    assert (reply.result, reply.output_id) == (None, None)
    assert "is not JSON" in reply.text
    reply = await tool.call(language="python", code="\ud800")
    assert "lone surrogate" in reply.text


async def test_language_registered_later_runs(tool: CodeExecutionTool) -> None:
    """By the tool that was there before."""
    LanguageRegistry.register(
        LanguageConfig(
            language="upper",
            default_image="interpreter-tools/shell:1",
            code_filename="main.up",
            run_command=("sh", "-c", 'tr a-z A-Z < "{file}"'),
        )
    )
    assert (await tool.execute(language="Upper", code="abc")).stdout == "ABC"


async def test_timeout_of_the_tool_is_the_most(engine: ExecutionEngine) -> None:
    """Whatever the model asks for."""
    tool = create_code_execution_tool(engine=engine, timeout=0.3, environment={"A": "b"}, strategy=POOL)
    code = "import os, time; print(os.environ['A'], flush=True); time.sleep(600)"
    result = await tool.execute(language="python", code=code, timeout=600)
    assert (result.outcome, result.stdout) == ("timeout", "b\n")


async def test_engine_is_made_on_first_use() -> None:
    """Once, also for many callers at a time, and closed by cleanup."""
    tool = create_code_execution_tool(config=SMALL)
    assert "no engine yet" in repr(tool)
    results = await asyncio.gather(*(tool.execute(language="shell", code=f"echo {number}") for number in range(4)))
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(4)]
    assert "running" in repr(tool)
    await tool.cleanup()
    await tool.cleanup()
    assert "closed" in repr(tool)
    with pytest.raises(EngineClosed, match="cleaned up"):
        await tool.execute(language="shell", code="echo 1")


async def test_tool_never_used_is_cleaned_up() -> None:
    """There is nothing to close."""
    async with create_code_execution_tool(config=SMALL) as tool:
        pass
    with pytest.raises(EngineClosed):
        tool.stream(language="shell", code="echo 1")


async def test_given_engine_stays(engine: ExecutionEngine) -> None:
    """It is the caller's."""
    async with create_code_execution_tool(engine=engine) as tool:
        await tool.execute(language="python", code="1")
    assert (await engine.run("python", "print(1)")).stdout == "1\n"


async def test_cancelled_call_ends_the_run(own_engine: ExecutionEngine) -> None:
    """And the container is not given to anybody else."""
    tool = create_code_execution_tool(engine=own_engine)
    started = asyncio.Event()
    code = "print(1, flush=True)\nimport time; time.sleep(600)"
    call = asyncio.create_task(tool.call(language="python", code=code, on_chunk=lambda _: started.set()))
    await asyncio.wait_for(started.wait(), 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: asyncio.sleep(0, own_engine.stats().busy), lambda busy: busy == 0)


async def test_cancelled_first_call_leaves_a_usable_tool() -> None:
    """The engine that was just starting starts again for the next one."""
    async with create_code_execution_tool(config=SMALL) as tool:
        call = asyncio.create_task(tool.execute(language="shell", code="echo 1"))
        await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert (await tool.execute(language="shell", code="echo 2")).stdout == "2\n"


async def test_error_of_an_option_is_not_the_models(engine: ExecutionEngine) -> None:
    """It goes to whoever made the tool."""
    tool = create_code_execution_tool(engine=engine, memory_limit="1m")
    with pytest.raises(ConfigurationError, match="memory_limit"):
        await tool.call(language="python", code="1")


async def test_limits_of_a_tool_are_those_of_its_runs(engine: ExecutionEngine) -> None:
    """Whatever the engine's own are."""
    code = """
for path in /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max; do [ -e $path ] && cat $path; done
exit 0
"""
    tool = create_code_execution_tool(engine=engine, pids_limit=33)
    assert (await tool.execute(language="shell", code=code)).stdout == "33\n"


async def test_first_line_that_names_what_is_not_there_is_told_to_the_model(tool: CodeExecutionTool) -> None:
    """It can mend that; one that names another language is run as that."""
    reply = await tool.call(language="shell", code="#!/bin/zsh\necho 1")
    assert reply.is_error
    assert "'zsh' cannot be started" in reply.text
    assert "leave the first line out" in reply.text
    reply = await tool.call(language="shell", code="#!/usr/bin/env python3\nprint(6 * 7)")
    assert reply.text == (
        "[ok, exit code 0]\nIts first line asks for it, so it was run as python, not as shell.\nstdout:\n42"
    )


async def test_models_may_merge_the_output(tool: CodeExecutionTool) -> None:
    """And callers bring files along."""
    code = "echo 1; echo 2 >&2; echo 3; echo x > made.txt"
    reply = await tool.call(language="shell", code=code, merge_output="true", collect=["*.txt"])
    assert reply.result is not None
    assert (reply.result.stdout, reply.result.stderr, reply.result.files) == ("1\n2\n3\n", "", {"made.txt": b"x\n"})


async def test_what_the_system_lacks_is_named_with_its_package(tool: CodeExecutionTool) -> None:
    """The advice is what the next call can do."""
    code = "import subprocess\nsubprocess.run(['dot', '-V'], check=True)"
    reply = await tool.call(language="python", code=code)
    assert 'call again with system_dependencies=["graphviz"]' in reply.text
    reply = await tool.call(language="javascript", code="require('child_process').execSync('ffmpeg -version')")
    assert 'call again with system_dependencies=["ffmpeg"]' in reply.text


async def test_installing_without_a_network_is_told(tool: CodeExecutionTool) -> None:
    """In whatever way a program tries."""
    refused = "Programs cannot install packages"
    run = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'nobodys-name'], check=True)"
    for language, code, said in (
        ("python", run, refused),
        ("python", "!pip install -r list.txt\nimport six", "no notebook"),
        ("shell", "pip install six", refused),
        ("shell", "set -e\napt-get install -y jq", refused),
    ):
        reply = await tool.call(language=language, code=code)
        assert said in reply.text, reply.text
        assert "dependencies" in reply.text
        assert "no network" not in reply.text
    reply = await tool.call(language="python", code="!pip install six\nimport six\nprint(six.__name__)")
    assert reply.text.endswith("\nsix"), reply.text  # as it is meant
