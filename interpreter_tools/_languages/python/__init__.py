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
    # Python takes a bytecode file for that of any source of the same size and whole second, and so may import what a
    # module was before it was rewritten. Nothing is written either that a run would have to tell as a file of its own.
    # Packages are compiled when they are installed.
    environment={"PYTHONDONTWRITEBYTECODE": "1"},
    boot=InterpreterBoot(
        mode="fork",
        command=("python3", "-c", Path(__file__).with_name("boot.py").read_text("utf-8")),
        fixed_variables=("PYTHON", "LANG", "LC_"),
    ),
    dependencies=PIP,
)
