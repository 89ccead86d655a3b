"""Arguments of a program, in every language, as its own interpreter shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, RunApp

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
ARGS = ["--name", "a b", "", "-c", "$HOME", "*", "é\n", "--"]

PROGRAMS = {
    "python": "import json, sys; print(json.dumps(sys.argv[1:]))",
    "javascript": "console.log(JSON.stringify(process.argv.slice(2)))",
    "typescript": "const words: string[] = process.argv.slice(2); console.log(JSON.stringify(words))",
}


@pytest.mark.parametrize("booted", [True, False])
@pytest.mark.parametrize("language", PROGRAMS)
async def test_program_gets_its_arguments(engine: ExecutionEngine, language: str, booted: bool) -> None:
    """Each as it is, whether the interpreter waited or is started for the run."""
    environment = {} if booted else {"PYTHONHASHSEED": "3", "NODE_NO_WARNINGS": "1"}
    result = await engine.run(language, PROGRAMS[language], args=ARGS, environment=environment, strategy=POOL)
    assert json.loads(result.check().stdout) == ARGS


@pytest.mark.parametrize("language", ["shell", "bash"])
async def test_shell_script_gets_its_arguments(engine: ExecutionEngine, language: str) -> None:
    """Each is one parameter."""
    result = await engine.run(language, 'printf "<%s>" "$#" "$@"', args=ARGS, strategy=POOL)
    assert result.check().stdout == "".join(f"<{word}>" for word in (len(ARGS), *ARGS))


async def test_argparse_reads_arguments(engine: ExecutionEngine) -> None:
    """Of a snippet and of an app."""
    code = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--name")
parser.add_argument("count", type=int)
print(parser.parse_args())
"""
    args = ["--name", "a b", "2"]
    snippet = await engine.run("python", code, args=args, strategy=POOL)
    app = RunApp(entry_file="tool.py")
    files = {"tool.py": code.encode()}
    as_app = await engine.run("python", "", run_app=app, files=files, args=args, strategy=POOL)
    assert snippet.check().stdout == as_app.check().stdout == "Namespace(name='a b', count=2)\n"
