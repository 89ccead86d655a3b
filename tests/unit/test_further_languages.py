"""Compiled languages, and what is registered beside the first ones."""

from __future__ import annotations

import msgspec
import pytest

from interpreter_tools import ConfigurationError, EngineConfig, LanguageConfig, LanguageRegistry
from interpreter_tools._config.options import resolve
from interpreter_tools._languages import CompileStep, Job, plan
from interpreter_tools._languages.compiled import CSHARP, GO, HASKELL, RUST, C
from interpreter_tools._languages.config import Opening
from interpreter_tools._languages.interpreted import LUA, OCTAVE, PHP
from interpreter_tools.setup.recipes import find_recipe

TWENTY = (
    *("awk", "bun", "c", "cpp", "csharp", "deno", "elixir", "erlang", "fortran", "go", "haskell", "java", "julia"),
    *("kotlin", "lisp", "lua", "ocaml", "octave", "pascal", "perl", "php", "r", "rust", "sql"),
)


def job(language: LanguageConfig, code: str, **variables: str) -> Job:
    """The job of a program."""
    options = resolve(EngineConfig(), {"environment": variables, "timeout": 1.0})
    return plan(language, code.encode(), {}, options, image_environment={})


def key(language: LanguageConfig, code: str, **variables: str) -> str:
    """What the compiled program is found by; empty where it is compiled for each run."""
    compilation = job(language, code, **variables).compilation
    assert compilation is not None
    return compilation.key


@pytest.mark.parametrize("language", TWENTY)
def test_each_language_has_an_image_recipe(language: str) -> None:
    """So that ``interpreter-tools setup LANGUAGE`` makes what its runs need."""
    recipe = find_recipe(language)
    assert recipe is not None
    assert recipe.image == LanguageRegistry.get(language).default_image


def test_models_are_offered_what_set_up_makes_and_what_a_program_registers() -> None:
    """A language whose image nobody has made would only be tried in vain."""
    assert LanguageRegistry.offered() == ["bash", "javascript", "python", "shell", "typescript"]
    LanguageRegistry.register(msgspec.structs.replace(C, default_image="own:1"))
    assert "c" in LanguageRegistry.offered()


def test_compiled_program_is_known_by_its_text_and_variables() -> None:
    """A run of the same text finds it; one with another text or other variables for the compiler does not."""
    assert key(C, "int main;") == key(C, "int main;") != key(C, "int main; ")
    assert key(C, "int main;") != key(C, "int main;", CPATH="/workspace")


@pytest.mark.parametrize(
    ("language", "alone", "with_others"),
    [
        (C, "#include <stdio.h>", '#  include "own.h"'),
        (RUST, "mod own { fn f() {} }", "mod own;"),
        (HASKELL, "import qualified Data.Map as Map", "import Own"),
    ],
)
def test_program_that_takes_in_other_files_is_compiled_for_each_run(
    language: LanguageConfig, alone: str, with_others: str
) -> None:
    """They may have changed since the last one."""
    assert key(language, alone)
    assert not key(language, with_others)


def test_compiler_writes_where_the_program_is_run_from() -> None:
    """Outside of the workspace: what it makes is none of the files that the run makes."""
    planned = job(C, "int main;")
    assert planned.compilation is not None
    assert planned.argv[0].rpartition("/")[0] in planned.compilation.argv
    assert not planned.argv[0].startswith("/workspace")
    assert "/workspace/main.c" in planned.compilation.argv


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"compile": CompileStep(command=("cc", "{file}")), "run_command": ("prog",)}, "run_command"),
        ({"run_command": ("{directory}/program",)}, "run_command"),
    ],
)
def test_run_command_that_cannot_work_is_refused(values: dict[str, object], field: str) -> None:
    """A compiled program is named by its directory, another one by its file."""
    with pytest.raises(ConfigurationError, match=f"^{field}: "):
        LanguageConfig(language="x", default_image="x:1", code_filename="main.x", **values)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("values", [{"command": ("cc",)}, {"command": "cc {file}"}, {"others": "("}])
def test_compile_step_that_cannot_work_is_refused(values: dict[str, object]) -> None:
    """By the path of its field."""
    with pytest.raises(ConfigurationError, match=r"^compile\."):
        CompileStep(**{"command": ("cc", "{file}"), **values})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("language", "code", "run"),
    [
        (PHP, "echo 1;", "<?php echo 1;"),
        (PHP, "#!/usr/bin/php\n<?php echo 1;", "#!/usr/bin/php\n<?php echo 1;"),
        (PHP, "<b>\n<?= 1 ?>", "<b>\n<?= 1 ?>"),
        (OCTAVE, "function f()\nend\nf()", "1; function f()\nend\nf()"),
        (OCTAVE, "# text\n\n  function f()\nend", "1; # text\n\n  function f()\nend"),
        (OCTAVE, "x = 1;\nfunction f()\nend", "x = 1;\nfunction f()\nend"),
        (GO, 'import "fmt"\n', 'package main; import "fmt"\n'),
        (GO, '// text\n\npackage main\nimport "fmt"\n', '// text\n\npackage main\nimport "fmt"\n'),
    ],
)
def test_beginning_that_snippets_lack_is_put_before_them(language: LanguageConfig, code: str, run: str) -> None:
    """In their first line, and only where it is missing."""
    assert job(language, code).code == run.encode()


def test_opening_that_is_no_expression_is_refused() -> None:
    """By the field's name."""
    with pytest.raises(ConfigurationError, match=r"opening\.when"):
        Opening(text="x", when="(")


@pytest.mark.parametrize(
    ("language", "line"),
    [
        (CSHARP, "#!/usr/bin/env dotnet run"),
        (RUST, "#!/usr/bin/env -S cargo +nightly -Zscript"),
        (HASKELL, "#!/usr/bin/env runhaskell"),
        (GO, "#!/usr/bin/env -S go run"),
    ],
)
def test_first_line_of_a_compiled_program_is_not_compiled(language: LanguageConfig, line: str) -> None:
    """It names the language's own tools; the other lines keep their numbers."""
    planned = job(language, f"{line}\npackage main\n")
    assert planned.compilation is not None
    assert planned.code == b"\npackage main\n"


def test_first_line_with_another_version_means_the_one_that_is_there() -> None:
    """So does another implementation."""
    for name in ("lua5.3", "luajit", "lua"):
        assert job(LUA, f"#!/usr/bin/env {name}\n").argv == ("lua5.4", "/workspace/main.lua")


@pytest.mark.parametrize(
    ("program", "language"),
    [
        ("python3", "python"),
        ("python3.9", "python"),
        ("node", "javascript"),
        ("perl", "perl"),
        ("dotnet", "csharp"),
        ("runghc", "haskell"),
        ("octave-cli", "octave"),
        ("python2.7", "python"),
        ("sh", "shell"),
        ("nothing", None),
    ],
)
def test_language_is_found_by_the_program_that_runs_it(program: str, language: str | None) -> None:
    """A first line names it, or an image lacks it."""
    found = LanguageRegistry.run_by(program)
    assert (None if found is None else found.language) == language
