"""Shells: they start faster than anything that could be done ahead."""

from interpreter_tools._languages.config import CellRunner, LanguageConfig
from interpreter_tools._languages.installers import SYSTEM

_IMAGE = "interpreter-tools/shell:1"
_CELLS = CellRunner(command=("interpreter-tools-cells",), unforkable="")  # a part of the supervisor: supervisor/cells.c

SHELL = LanguageConfig(
    language="shell",
    default_image=_IMAGE,
    code_filename="main.sh",
    run_command=("bash:sh", "{file}"),  # what people call a shell script is one of bash, nearly always
    aliases=("sh",),
    dependencies=SYSTEM,
    cells=_CELLS,
)

BASH = LanguageConfig(
    language="bash",
    default_image=_IMAGE,
    code_filename="main.bash",
    run_command=("bash", "{file}"),
    dependencies=SYSTEM,
    cells=_CELLS,
)
