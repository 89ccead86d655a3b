"""What people type: arguments, statuses, names, words for help, and what they are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import RunOptions
from interpreter_tools._config.options import RunLimits
from interpreter_tools._exceptions import (
    ConfigurationError,
    DockerUnavailable,
    ImageMissing,
    InterpreterToolsError,
    NetworkMissing,
    PoolTimeout,
    UnknownLanguage,
)
from interpreter_tools.cli._errors import explain
from interpreter_tools.cli._language import guess_language
from interpreter_tools.cli._limits import FLAGS, Limits, read_timeout
from interpreter_tools.cli._notebook import program_of_notebook

from .command import call

if TYPE_CHECKING:
    from pathlib import Path

# Options of a run that the command line has under another name, or has no use for.
_OTHERS = {
    "args": "ARGS",
    "dependencies": "--dep",
    "system_dependencies": "--system-dep",
    "auto_dependencies": "--auto-dep",
    "merge_output": "--merge-output",
    "collect": "--out, which keeps all files",
    "files": "--file",
    "run_app": "FILE, which runs under its own name",
    "stdin": "standard input",
    "compile_timeout": "interpreter-tools.toml, which has it for all runs",
    "capture": "--json",
    "strategy": "one run needs none",
    "workspace_sharing": "one run needs none",
    "tools": "functions, which a command line cannot name",
}


def test_every_limit_is_an_option() -> None:
    """What a run can be limited by, `run`, `shell`, `mcp` and `serve` can, too: all take it from one list."""
    assert set(FLAGS) == {*RunLimits.__annotations__, "timeout"}
    assert {flag.removeprefix("--").replace("-", "_") for flag in FLAGS.values()} == set(Limits.__dataclass_fields__)
    for command in ("run", "shell", "mcp", "serve"):
        text = call(command, "--help").stdout.decode()
        assert all(f" {flag} " in text for flag in FLAGS.values()), command


def test_every_option_of_a_run_has_its_place() -> None:
    """An option that is added to `RunOptions` is given to the command line, or said here why not."""
    assert set(RunOptions.__annotations__) - set(FLAGS) == set(_OTHERS)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("-V",), 0, ""),
        (("--version",), 0, ""),
        (("help",), 0, ""),
        (("help", "run"), 0, ""),
        (("frobnicate",), 2, "frobnicate"),
        (("run", "--tiemout", "3", "-c", "1"), 2, "--timeout"),
        (("run", "x.py", "--name", "b"), 2, "after `--`"),
        (("run", "-c", "1", "--pids", "many"), 2, "--pids"),
        (("run", "-c", "1", "--timeout", "soon"), 2, "give seconds"),
        (("run", "-c", "1", "--memory", "lots"), 2, "--memory: 'lots'"),
        (("run", "-c", "1", "--config", "/nonexistent.toml"), 2, "/nonexistent.toml"),
        (("run", "/nonexistent.py"), 2, "No such file"),
        (("deps", "prune"), 2, "--older-than"),
        (("completion", "tcsh"), 2, "tcsh"),
    ],
)
def test_call_that_cannot_work_has_one_status(words: tuple[str, ...], status: int, said: str) -> None:
    """2, whatever is wrong with it, and without Python's names."""
    done = call(*words)
    assert done.returncode == status
    assert said in done.stderr.decode()
    for name in ("ContainerConfig", "EngineConfig", "Traceback", "LanguageRegistry"):
        assert name not in done.stderr.decode()


def test_without_docker_the_way_out_comes_first() -> None:
    """Before all that was tried."""
    done = call("run", "-c", "1", environment={"DOCKER_HOST": "unix:///nonexistent.sock"})
    lines = done.stderr.decode().splitlines()
    assert "interpreter-tools setup" in lines[0]
    assert "nonexistent.sock" in lines[1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("1", 1), ("0.5", 0.5), ("5m", 300), ("1h", 3600), ("0", None), ("none", None)]
)
def test_times_have_units(text: str, seconds: float | None) -> None:
    """As sizes have; 0 means no limit."""
    assert read_timeout(text) == seconds


@pytest.mark.parametrize(
    "error",
    [
        UnknownLanguage("cobol", ["python"]),
        ImageMissing("x:1"),
        NetworkMissing("n"),
        PoolTimeout("python", 3),
        DockerUnavailable("no Docker engine answers:\n  x", hint="run `interpreter-tools setup`"),
        ConfigurationError("container.memory_limit", "x", "is not a size", hint="set ContainerConfig(...)"),
        ConfigurationError("run_app", 1, "is not a RunApp", hint="use RunApp(entry_file='main.py')"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_speak_the_command_lines_language(error: InterpreterToolsError) -> None:
    """No class or call of the library is named."""
    text = explain(error, given={"memory_limit"})
    assert "Config(" not in text
    assert "Registry" not in text
    if isinstance(error, ConfigurationError) and "memory" in error.field:
        assert text.startswith("--memory: 'x' is not a size")


@pytest.mark.parametrize(
    ("name", "language"),
    [("a.py", "python"), ("a.tsx", "typescript"), ("a.mts", "typescript"), ("a.jsx", "javascript"), ("a.sh", "shell")],
)
def test_suffix_tells_the_language(name: str, language: str) -> None:
    """The usual ones, and those of the same language's other kinds of files."""
    assert guess_language(name, b"") == language


def test_notebook_is_a_program() -> None:
    """Cells in order; IPython's own lines are comments; text is left out."""
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["%pip install x\n", "a = 1\n", "if a:\n", "    !ls"]},
        {"cell_type": "code", "source": "print(a)"},
    ]
    notebook = {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4}
    language, code = program_of_notebook(json.dumps(notebook).encode())
    assert language == "python"
    assert code == b"# %pip install x\na = 1\nif a:\n    # !ls\n\nprint(a)\n"
    with pytest.raises(ConfigurationError, match="no Jupyter notebook"):
        program_of_notebook(b"[]")


@pytest.mark.parametrize(
    ("source", "program"),
    [
        ("%%bash\necho hi\nls", "# %%bash\n# echo hi\n# ls\n"),
        ("%%writefile a.txt\n{ text", "# %%writefile a.txt\n# { text\n"),
        ("%%time\nx = 1", "# %%time\nx = 1\n"),
        ("%%timeit -n 1\nx = 1\n", "# %%timeit -n 1\nx = 1\n\n"),
    ],
)
def test_cell_of_another_language_is_no_program(source: str, program: str) -> None:
    """Only magics that run Python leave a cell of Python."""
    notebook = {"cells": [{"cell_type": "code", "source": source}], "nbformat": 4}
    assert program_of_notebook(json.dumps(notebook).encode()) == ("python", program.encode())


@pytest.mark.docker
def test_program_has_its_own_name_and_arguments(tmp_path: Path) -> None:
    """In `argv`, and in tracebacks; what looks like an option stands after `--`."""
    script = tmp_path / "report.py"
    script.write_text("import sys\nprint(sys.argv)\nraise SystemError\n")
    done = call("run", str(script), "a", "b c", "--", "--name", "-", "*")
    assert done.stdout.decode() == "['/workspace/report.py', 'a', 'b c', '--name', '-', '*']\n"
    assert b'report.py", line 3' in done.stderr
    assert done.returncode == 1
    done = call("run", "-c", "import sys; print(sys.argv[1:])", "a", "-", "b")
    assert done.stdout == b"['a', '-', 'b']\n"


@pytest.mark.docker
@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import helper", "--file"),
        ("import yaml", "--dep pyyaml"),
        ("from nothing_like_it import x", "ModuleNotFoundError"),
    ],
)
def test_missing_module_is_told_with_the_option(code: str, hint: str, tmp_path: Path) -> None:
    """A file beside the program, or a package; none that nobody knows, as anyone can publish one of any name."""
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "main.py").write_text(code)
    done = call("run", str(tmp_path / "main.py"))
    assert done.returncode == 1
    last = done.stderr.decode().splitlines()[-1]
    assert hint in last
    assert ("helper.py" in last) == (hint == "--file")


@pytest.mark.docker
def test_statuses_are_those_of_other_commands() -> None:
    """timeout(1) has 124, a program that is killed 137."""
    assert call("run", "-c", "while True: pass", "--timeout", "300ms").returncode == 124
    assert call("run", "-c", "import os; os.kill(os.getpid(), 9)").returncode == 137


@pytest.mark.docker
def test_variable_that_is_not_set_is_left_out() -> None:
    """As `docker run --env` leaves it out; it is said."""
    done = call("run", "-c", "import os; print('NOBODY' in os.environ)", "--env", "NOBODY")
    assert done.stdout == b"False\n"
    assert b"--env NOBODY" in done.stderr


@pytest.mark.docker
def test_writable_mount_that_is_not_is_told(tmp_path: Path) -> None:
    """The directory's owner is another user than the program's; the example of the help works."""
    (tmp_path / "results").mkdir(mode=0o755)
    code = "open('/results/a', 'w').write('x')"
    done = call("run", "-c", code, "--mount", f"{tmp_path}/results:/results:rw")
    assert done.returncode == 1
    assert f"chmod o+w {tmp_path}/results" in done.stderr.decode()
    (tmp_path / "results").chmod(0o777)
    done = call("run", "-c", code, "--mount", f"{tmp_path}/results:/results:rw")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "results/a").read_text() == "x"


_RUBY = """
[languages.ruby]
default_image = "interpreter-tools/ruby:1"
code_filename = "main.rb"
run_command = ["ruby", "{file}"]
aliases = ["rb"]
"""


@pytest.mark.docker
@pytest.mark.parametrize("way", ["configuration", "package"])
def test_language_comes_from_configuration_or_a_package(way: str, tmp_path: Path) -> None:
    """A table of the settings, or an entry point of an installed package."""
    (tmp_path / "hello.rb").write_text("puts 'hello ' + File.basename(__FILE__)")
    environment = {"PYTHONPATH": f"{tmp_path}:{__file__.rpartition('/tests/')[0]}"}
    if way == "configuration":
        (tmp_path / "settings.toml").write_text(_RUBY)
        done = call("run", str(tmp_path / "hello.rb"), "--config", str(tmp_path / "settings.toml"))
    else:
        (tmp_path / "ruby_language.py").write_text(
            "from interpreter_tools import LanguageConfig\n"
            "RUBY = LanguageConfig(language='ruby', default_image='interpreter-tools/ruby:1', code_filename='main.rb',"
            " run_command=('ruby', '{file}'), aliases=('rb',))\n"
        )
        info = tmp_path / "ruby_language-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ruby-language\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[interpreter_tools.languages]\nruby = ruby_language:RUBY\nbroken = nothing_there:X\n"
        )
        done = call("run", str(tmp_path / "hello.rb"), environment=environment)
    assert (done.returncode, done.stdout) == (0, b"hello hello.rb\n"), done.stderr
