"""JavaScript: one Node.js process booted for each run to come."""

from pathlib import Path

from interpreter_tools._languages.config import CellRunner, InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import NPM

NODE_IMAGE = "interpreter-tools/node:1"


def _source(name: str) -> str:
    text, tools = (Path(__file__).with_name(each).read_text("utf-8") for each in (name, "tools.js"))
    return text.replace("  // ---- tools.js is put here\n", tools)


NODE_BOOT = _source("boot.js")
_CELLS = _source("cells.js")
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
    run_command=("node", "-e", NODE_BOOT, "javascript", "{file}"),
    interpreters=("node", "nodejs"),
    aliases=("js", "node"),
    boot=InterpreterBoot(mode="single", command=("node", "-e", NODE_BOOT, "javascript"), fixed_variables=NODE_FIXED),
    dependencies=NPM,
    cells=node_cells("javascript"),
)
