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


def sandbox_packages() -> dict[str, bytes]:
    """Return the files of the packages that programs import from us, by path. Reads files: not for the event loop."""
    root = Path(__file__).with_name("display")
    found = (path for path in sorted(root.rglob("*.py")))
    return {f"interpreter_tools_display/{path.relative_to(root).as_posix()}": path.read_bytes() for path in found}
