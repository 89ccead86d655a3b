"""Python: a pristine process that forks for each run."""

from pathlib import Path

from interpreter_tools._languages.config import InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import PIP

PYTHON = LanguageConfig(
    language="python",
    default_image="interpreter-tools/python:1",
    code_filename="main.py",
    run_command=("python3", "-u", "{file}"),
    aliases=("py", "python3"),
    boot=InterpreterBoot(
        mode="fork",
        command=("python3", "-c", Path(__file__).with_name("boot.py").read_text("utf-8")),
        fixed_variables=("PYTHON", "LANG", "LC_"),
    ),
    dependencies=PIP,
)
