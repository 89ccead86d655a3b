"""Every example, and every program in the README and on the page about embedding, run as a reader would run it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
EMBEDDING = (ROOT / "docs" / "embedding.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README + EMBEDDING, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^```bash\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

# What each example prints, among other things. An example that is not listed here fails its test.
PRINTS = {
    "ai_node_project.py": ["project: package.json server.js", "hello world", "killed"],
    "ai_ruby.py": ["languages: bash javascript python ruby shell typescript", "2 3 5 7 11 13 17 19 23 29\nThere are"],
    "ai_shell_jq.py": ["The total is 14.", "files: data/1.json data/2.json data/3.json total.json", '"total": 14'],
    "ai_tool.py": ["error: NameError", "ok: [0, 1, 1, 2, 3, 5, 8, 13, 21, 34] 88\n", "their sum is 88."],
    "tool_alone.py": [
        "stdout:\n55",
        "{'a': 1}",
        "variables of earlier calls are gone",
        "'cobol' is not available",
        "l\ni\nv\ne\n",
    ],
    "anthropic_messages.py": ["The tool says 385."],
    "basic_usage.py": ["ok sum 15 average 3", "error 3 trouble", "timeout within", "ok ('out.txt',)"],
    "reward_server.py": ["n ** 2: 1.0\nn + n: 0.0\n1 / 0: 0.0\nmean of 32: 0.5"],
    "rewind.py": ["rows: 3, files: ['data.csv']", "after a bad step: rows: 0", "after the rewind: rows: 3", "* "],
    "context.py": ["median: 3.5", "error: TypeError", "outcome: timeout", "still there, as Out[5]", "display: 'done'"],
    "deepagents_sandbox.py": ["execute: 1 1\n2 4\n3 9", "grep: /workspace/squares.py", "Done."],
    "inspect_ai_sandbox.py": ["bash: 10\npython: 385\naccuracy: 1.0"],
    "json_sort.py": ["generated: names.txt sorted.json", "Ada\nAlan\nGrace", "kept: names.txt sorted.json"],
    "langchain_agent.py": ["stdout now: 1\nstdout now: 4\nstdout now: 9\nThose are the squares."],
    "llama_index_agent.py": ["outcomes: ok", "The tool says 385."],
    "notebook_over_gateway.py": [
        "stream: the kernel is in /workspace\nexecute_result: 55\nexecute_result: <b>1, 4, 9, 16, 25</b>"
    ],
    "node_express.py": ["hello world", "killed"],
    "openai_agents_sdk.py": ["stdout:\n385", "Done."],
    "openai_responses.py": ["The tool says 385."],
    "pool_benchmark.py": ["python: 20 rounds, median", "javascript: 20 rounds, median"],
    "pydantic_ai_agent.py": ["The sum is written.\nfiles: squares.txt sum.txt\n385\n"],
    "pydantic_ai_workspace.py": [
        "bash: 1 2 3 4 5\nbash: numbers.txt\nThe server works. There is one file.\n",
    ],
    "python_chart.py": ["generated: charts/plot.png", "a PNG: True - large enough: True"],
    "python_dependencies.py": ["again: Python 3 with six 1.16.0, 0.0 s for dependencies"],
    "server_sent_events.py": [],
    "shared_workspace.py": ["sum 15", "all generated files: numbers.txt sorted.txt", "1 2 3 4 5"],
    "shell_jq.py": ['{"ids":[2,3],"total":13}', "files: data/1.json data/2.json data/3.json"],
    "quickstart.py": [
        "squares: [0, 1, 4, 9, 16]",
        "-- python: ok, exit code 0",
        "[ 1, 2, 3 ]",
        "TypeScript: 49",
        "-- shell: error, exit code 3",
    ],
    "mcp_client.py": [
        "progress: counting 1\n",
        "progress: counting 2\n",
        "ok: counting 1 counting 2",
        "interpreter-tools://SESSION/squares.txt: 1 4 9",
        "error: 'nowhere' is not there, and no well-known package has it",
    ],
    "agent_with_state.py": ["step: NameError: name 'longest'", "step:   1. 4\nThe longest run is 4 days."],
    "data_analysis.py": [
        "error: AttributeError",
        "{'north': 6, 'south': 1}",
        "chart: line Sales - kept: ",
    ],
    "recursive_model.py": ["(88405, 2000, ", "'1753 40'] (8 sub-queries)\n(40, 1753) (0 sub-queries)"],
    "smolagents_agent.py": ["answer: 6 in all"],
    "mcp_code_mode.py": [
        "- shop_products(): List the products.\n- shop_stock(product: str): Tell how many",
        "to order: pears, plums\n",
    ],
    "vercel_ai_agent.py": ["stdout now: 385\nDone."],
    "automatic_dependencies.py": ['{"numbers": [1, 2, 3]}\ninstalled: pyyaml'],
    "blocking_threads.py": ["squares: 0 1 4 9\n1\n2\n3\nnote: kept"],
    "compiled_c.py": ["42\ncompiled again: False\ncompile_error - True"],
    "fastapi_server.py": [],
    "preload.py": ["sooner: True"],
    "results.py": ["displayed: ", "now a chart\ndisplayed: ", "table: ", "picture: PNG - chart: bar Fruit"],
    "ruby.py": ['{"1":1,"2":4,"3":9,"4":16,"5":25}\n55'],
    "tools_from_code.py": [
        "refused: delete {'name': 'everything'}, at: tools.delete(\"everything\")",
        "Rome\nKeyError: 'Atlantis'\nPermissionError: the call of delete was not approved\n1 2 3\nParis Madrid",
        "calls: capital=ok capital=error delete=refused count=ok capital=ok capital=ok",
    ],
}

pytestmark = pytest.mark.docker


async def run(*arguments: str, cwd: Path = ROOT) -> str:
    """Run a Python program to its end; what it printed, which must have gone well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *arguments),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


@pytest.mark.parametrize("example", sorted(file.name for file in (ROOT / "examples").glob("[!_]*.py")))
async def test_example(example: str) -> None:
    """Runs without a warning and prints what it is there to show; a server does not start by itself."""
    if example == "vercel_ai_agent.py" and sys.version_info < (3, 12):
        pytest.skip("Vercel's package `ai` needs Python 3.12")
    if example == "smolagents_agent.py":
        pytest.importorskip("smolagents")
    printed = await run(f"examples/{example}")
    for text in PRINTS[example]:
        assert text in printed


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"program{number}" for number in range(len(PROGRAMS))])
async def test_readme_program(program: str, tmp_path: Path) -> None:
    """Runs without a warning, and prints what its comments say."""
    printed = await run("-c", program, cwd=tmp_path)
    for expected in re.findall(r"# prints (.*)$", program, re.MULTILINE):
        assert expected in printed


def test_readme_has_two_commands() -> None:
    """One that sets up and runs the main job, one that passes the tests; CI runs the second as it stands."""
    main_job, tests = COMMANDS
    assert "interpreter-tools setup --yes && .venv/bin/python examples/quickstart.py" in main_job
    assert tests.rstrip().endswith(".venv/bin/nox")
    awk = ("awk", "-v", "wanted=2", "-f", ".ci/readme-command.awk", "README.md")
    assert subprocess.run(awk, cwd=ROOT, check=True, capture_output=True, text=True).stdout == tests
