"""What is imported, and what is not: help is to be quick."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .command import ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

_HEAVY = (
    *("aiohttp", "aiodocker", "tenacity", "interpreter_tools._engine", "interpreter_tools._docker"),
    *("cyclopts", "rich", "importlib.metadata", "logging"),
    *(
        "openai",
        "agents",
        "anthropic",
        "langchain_core",
        "pydantic_ai",
        "pydantic",
        "mcp",
        "llama_index",
        "prompt_toolkit",
    ),
)

_SHOW = f"""
import sys
from interpreter_tools.cli import main
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
print("heavy:", *(name for name in {_HEAVY!r} if name in sys.modules))
"""

_RUN = """
import sys
from interpreter_tools.cli import main
try:
    main()
except SystemExit as exit:
    assert exit.code == 125, exit.code
unwanted = ("cyclopts", "rich", "interpreter_tools.tool._tool", "aiodocker", "aiohttp", "importlib.metadata")
print(*(name for name in unwanted if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("deps", "warm", "-h")])
def test_help_imports_no_client_and_no_framework(arguments: tuple[str, ...]):
    """Nor the parser of the command line, nor what only warnings need."""
    command = [sys.executable, "-c", _SHOW, *arguments]
    done = subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT, timeout=60, text=True)
    assert done.stdout.splitlines()[-1] == "heavy:"
    assert done.stderr == ""


def test_package_is_imported_without_what_it_needs_later():
    """Its names bring it in."""
    code = (
        "import sys, interpreter_tools\n"
        "print(*(name in sys.modules for name in ('aiohttp', 'msgspec')))\n"
        "from interpreter_tools import *\n"
        "print('msgspec' in sys.modules, ExecutionEngine is interpreter_tools.ExecutionEngine)\n"
        "print('ExecutionEngine' in dir(interpreter_tools), hasattr(interpreter_tools, 'Nonsense'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=ENVIRONMENT, timeout=60, text=True
    )
    assert done.stdout.split() == ["False", "False", "True", "True", "True", "False"]


def test_each_command_is_explained_by_examples():
    """And the first steps by the help of the whole."""
    names = ("setup", "doctor", "run", "ps", "clean", "completion", "deps", "mcp", "serve", "shell")
    for arguments in ((), *((name,) for name in names)):
        command = [sys.executable, "-m", "interpreter_tools.cli", *arguments, "--help"]
        done = subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT, timeout=60, text=True)
        assert f"\n  interpreter-tools {arguments[0]} " in done.stdout if arguments else "First:" in done.stdout


def test_plain_run_imports_neither_aiodocker_nor_a_parser_of_the_command_line(tmp_path: Path):
    """Each would take as long as the start of a container; an address where nobody listens ends the run early."""
    address = f"unix://{tmp_path}/nobody.sock"
    command = [sys.executable, "-c", _RUN, "run", "-c", "print(1)", "--memory", "1g", "--docker-host", address]
    done = subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT, timeout=60, text=True)
    assert done.stdout.split() == []
    assert "no Docker engine answers" in done.stderr
