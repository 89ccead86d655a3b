"""TypeScript: Node.js with the compiler loaded ahead of need; types are stripped, not checked."""

from interpreter_tools._languages.config import InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import NPM
from interpreter_tools._languages.node import NODE_FIXED, NODE_IMAGE, TYPESCRIPT_BOOT, node_cells

TYPESCRIPT = LanguageConfig(
    language="typescript",
    default_image=NODE_IMAGE,
    code_filename="main.ts",
    run_command=("node", "-e", TYPESCRIPT_BOOT, "typescript", "{file}"),
    interpreters=("node", "nodejs", "npx", "tsx", "ts-node"),
    aliases=("ts",),
    boot=InterpreterBoot(
        mode="single", command=("node", "-e", TYPESCRIPT_BOOT, "typescript"), fixed_variables=NODE_FIXED
    ),
    dependencies=NPM,
    cells=node_cells("typescript"),
)
