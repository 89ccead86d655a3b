"""The names that callers rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import interpreter_tools

_PROMISED = [
    "ContainerConfig",
    "ContainerStrategy",
    "EngineConfig",
    "Execution",
    "ExecutionEngine",
    "ExecutionResult",
    "LanguageConfig",
    "LanguageRegistry",
    "OutputChunk",
    "PoolConfig",
]


@pytest.mark.parametrize("name", _PROMISED)
def test_promised_name(name: str) -> None:
    """Checks outside of this repository import it."""
    assert name in interpreter_tools.__all__
    assert isinstance(getattr(interpreter_tools, name), type)


def test_list_of_names_is_sorted() -> None:
    """And holds none twice."""
    assert interpreter_tools.__all__ == sorted(set(interpreter_tools.__all__))


def test_list_of_names_is_complete() -> None:
    """Everything without an underscore that is not a module."""
    names = {
        name
        for name, value in vars(interpreter_tools).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert names == set(interpreter_tools.__all__)


@pytest.mark.parametrize("name", interpreter_tools.__all__)
def test_public_name_is_described(name: str) -> None:
    """By a docstring."""
    assert (getattr(interpreter_tools, name).__doc__ or "").strip()


_METHODS = {
    "Cell": "aclose close_stdin interrupt kill result send_stdin",
    "Context": "aclose checkpoint complete fork history info inspect interrupt is_complete replay restart rewind run "
    "checkpoints start stream",
}


@pytest.mark.parametrize("name", _METHODS)
def test_methods_for_other_classes_are_not_public(name: str) -> None:
    """What only the process or the session calls begins with an underscore."""
    kind: type = getattr(interpreter_tools, name)
    members = inspect.getmembers_static(kind, inspect.isfunction)
    methods = {method for method, _ in members if not method.startswith("_")}
    assert methods == set(_METHODS[name].split())


def test_import_needs_no_optional_package() -> None:
    """And is silent."""
    code = (
        "import sys\n"
        "for name in ('cyclopts', 'rich', 'mcp', 'pydantic', 'hypothesis', 'pytest'): sys.modules[name] = None\n"
        "import interpreter_tools\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
