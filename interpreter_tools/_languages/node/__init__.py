"""JavaScript: one Node.js process booted for each run to come."""

import re
from pathlib import Path

from interpreter_tools._languages.config import CellRunner, InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import NPM

_NO_CODE = re.compile(r"^[ \t]*(?://.*\n|[ \t]+)|[ \t]+// [^'\"`/\n]*$", re.MULTILINE)
NODE_IMAGE = "interpreter-tools/node:1"


def _source(name: str, *parts: str) -> str:
    text = Path(__file__).with_name(name).read_text("utf-8")
    for part in parts:
        text = text.replace(f"  // ---- {part} is put here\n", _source(part))
    return text


def _compact(source: str) -> str:
    """Return the source without comments that hold no quotes, and without indentation: one frame holds it all."""
    return _NO_CODE.sub("", source)


JAVASCRIPT_BOOT = _source("boot.js", "tools.js", "modules.js")
TYPESCRIPT_BOOT = _source("boot.js", "tools.js", "modules.js", "typescript.js")
_CELLS = {
    "javascript": _compact(_source("realm.js", "tools.js", "cells.js", "modules.js")),
    "typescript": _compact(_source("realm.js", "tools.js", "cells.js", "modules.js", "typescript.js")),
}
NODE_FIXED = ("NODE_", "UV_", "LANG", "LC_", "TZ", "SSL_CERT_")


def node_cells(language: str) -> CellRunner:
    """Return the cell runner of a language that Node.js runs."""
    return CellRunner(
        command=("node", "--expose-internals", "-e", _CELLS[language], language),
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
