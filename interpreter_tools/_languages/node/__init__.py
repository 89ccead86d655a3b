"""JavaScript: one Node.js process booted for each run to come."""

from pathlib import Path

from interpreter_tools._languages.config import CellRunner, InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import NPM

NODE_IMAGE = "interpreter-tools/node:1"


def _source(name: str, *parts: str) -> str:
    text = Path(__file__).with_name(name).read_text("utf-8")
    for part in parts:
        text = text.replace(f"  // ---- {part} is put here\n", _source(part))
    return text


JAVASCRIPT_BOOT = _source("boot.js", "tools.js")
TYPESCRIPT_BOOT = _source("boot.js", "tools.js", "typescript.js")
_CELLS = _source("cells.js", "tools.js")
NODE_FIXED = ("NODE_", "UV_", "LANG", "LC_", "TZ", "SSL_CERT_")


def node_cells(language: str) -> CellRunner:
    """Return the cell runner of a language that Node.js runs."""
    return CellRunner(
        command=("node", "--expose-internals", "-e", _CELLS, language),
        unforkable="threads of Node, which a fork would lose",
    )


JAVASCRIPT = LanguageConfig(
    language="javascript",
    default_image=NODE_IMAGE,
    code_filename="main.js",
    run_command=("node", "-e", JAVASCRIPT_BOOT, "javascript", "{file}"),
    interpreters=("node", "nodejs"),
    aliases=("js", "node"),
    boot=InterpreterBoot(
        mode="single", command=("node", "-e", JAVASCRIPT_BOOT, "javascript"), fixed_variables=NODE_FIXED
    ),
    dependencies=NPM,
    cells=node_cells("javascript"),
)
