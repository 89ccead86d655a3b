"""Python: a pristine process that forks for each run."""

import marshal
from pathlib import Path

from interpreter_tools._config.host_tools import VARIABLE
from interpreter_tools._languages.config import CellRunner, InterpreterBoot, LanguageConfig
from interpreter_tools._languages.installers import PIP

PYTHON = LanguageConfig(
    language="python",
    default_image="interpreter-tools/python:1",
    code_filename="main.py",
    run_command=("python3", "-u", "{file}"),
    interpreters=("python", "python3", "python3.*", "uv"),
    aliases=("py", "python3"),
    # Python takes a bytecode file for that of any source of the same size and whole second, and so may import what a
    # module was before it was rewritten. Nothing is written either that a run would have to tell as a file of its own.
    # Packages are compiled when they are installed.
    environment={"PYTHONDONTWRITEBYTECODE": "1"},
    boot=InterpreterBoot(
        mode="fork",
        command=("python3", "-c", Path(__file__).with_name("boot.py").read_text("utf-8")),
        fixed_variables=("PYTHON", "LANG", "LC_"),
        preloads=True,
    ),
    dependencies=PIP,
    cells=CellRunner(
        command=("interpreter-tools-cells",),
        booted=True,
        preload="interpreter_tools_cells",
        package="ipython",
        unforkable="",
        environment={VARIABLE: "1"},
    ),
)


def sandbox_modules() -> bytes:
    """Return the modules that programs import from us: sources by name, as ``marshal`` of every version reads them.

    Reads files: not for the event loop.
    """
    sources: dict[str, str] = {}
    for directory in ("cells", "display"):
        root = Path(__file__).with_name(directory)
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            package = ("IPython", *parts[1:]) if parts[0] == "ipython" else (f"interpreter_tools_{directory}", *parts)
            if path == root / "tools.py":
                package = parts  # `import tools`
            sources[".".join(package).removesuffix(".__init__")] = path.read_text("utf-8")
    return marshal.dumps(sources, 2)
