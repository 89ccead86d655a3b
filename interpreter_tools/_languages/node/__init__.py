"""JavaScript: one Node.js process booted for each run to come."""

from pathlib import Path

from interpreter_tools._languages.config import InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import NPM

NODE_IMAGE = "interpreter-tools/node:1"
NODE_BOOT = Path(__file__).with_name("boot.js").read_text("utf-8")
NODE_FIXED = ("NODE_", "UV_", "LANG", "LC_", "TZ", "SSL_CERT_")

JAVASCRIPT = LanguageConfig(
    language="javascript",
    default_image=NODE_IMAGE,
    code_filename="main.js",
    run_command=("node", "-e", NODE_BOOT, "javascript", "{file}"),
    interpreters=("node", "nodejs"),
    aliases=("js", "node"),
    boot=InterpreterBoot(mode="single", command=("node", "-e", NODE_BOOT, "javascript"), fixed_variables=NODE_FIXED),
    dependencies=NPM,
)
