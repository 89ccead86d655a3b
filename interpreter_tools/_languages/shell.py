"""Shells: they start faster than anything that could be done ahead."""

from interpreter_tools._languages.config import LanguageConfig
from interpreter_tools._languages.installers import SYSTEM

_IMAGE = "interpreter-tools/shell:1"

SHELL = LanguageConfig(
    language="shell",
    default_image=_IMAGE,
    code_filename="main.sh",
    run_command=("bash:sh", "{file}"),  # what people call a shell script is one of bash, nearly always
    aliases=("sh",),
    dependencies=SYSTEM,
)

BASH = LanguageConfig(
    language="bash",
    default_image=_IMAGE,
    code_filename="main.bash",
    run_command=("bash", "{file}"),
    dependencies=SYSTEM,
)
