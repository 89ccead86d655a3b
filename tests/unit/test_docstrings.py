"""Docstrings say what happens in plain words."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path

import pytest

import interpreter_tools
from interpreter_tools import (
    Cell,
    Commands,
    Context,
    DependencyStore,
    Execution,
    ExecutionEngine,
    FileReader,
    Session,
    blocking,
)
from interpreter_tools.server import Keys

_PACKAGE = Path(interpreter_tools.__file__).parent
_RIDDLE = re.compile(r"(What|Those|How|Where|Whether|Which|Who|Whose|The same)\b")
_THIRD_PERSON = re.compile(
    r"(Adds|Answers|Asks|Awaits|Begins|Blocks|Builds|Calls|Checks|Cleans|Closes|Comes|Connects|Copies|Counts"
    r"|Creates|Decides|Does|Ends|Evaluates|Fails|Finds|Forgets|Gives|Greets|Hands|Has|Installs|Keeps|Kills|Leaves"
    r"|Lets|Listens|Looks|Makes|Measures|Opens|Passes|Prints|Puts|Queues|Reads|Registers|Refuses|Removes|Returns"
    r"|Runs|Says|Sends|Shows|Sorts|Starts|Streams|Takes|Tells|Waits|Writes)\b"
)
_THING = re.compile(r"(The|A|An|True|False|Each|All|Every|One)\b")


@functools.cache
def _docstrings(file: Path) -> list[tuple[ast.AST, int, str]]:
    """Return each docstring of a file, those of attributes included, with its owner and its line."""
    found: list[tuple[ast.AST, int, str]] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for index, child in enumerate(node.body):
            text = ast.get_docstring(ast.Module([child], [])) if isinstance(child, ast.Expr) else None
            if text is not None:
                found.append((node if index == 0 else child, child.lineno, text))
    return found


_ROOT = Path(__file__).parents[2]
_FILES = sorted(file for folder in (_PACKAGE, _ROOT / "examples", _ROOT / "bench") for file in folder.rglob("*.py"))


def test_docstrings_open_with_a_noun_or_a_verb() -> None:
    """A docstring that opens with "What", "Those" or "How" makes the reader guess its subject."""
    riddles = [
        f"{file.relative_to(_ROOT)}:{line}: {text.splitlines()[0]}"
        for file in _FILES
        for _, line, text in _docstrings(file)
        if _RIDDLE.match(text)
    ]
    assert riddles == []


def test_functions_are_described_in_one_mood() -> None:
    """The docstring of a function says "Return", and not "Returns"."""
    others = [
        f"{file.relative_to(_ROOT)}:{line}: {text.splitlines()[0]}"
        for file in _FILES
        for owner, line, text in _docstrings(file)
        if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef) and _THIRD_PERSON.match(text)
    ]
    assert others == []


def test_functions_are_described_by_what_they_do() -> None:
    """The docstring of a function begins with a verb; that of a property may name the thing."""
    things = [
        f"{file.relative_to(_ROOT)}:{line}: {text.splitlines()[0]}"
        for file in _FILES
        for owner, line, text in _docstrings(file)
        if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(ast.unparse(mark).endswith("property") for mark in owner.decorator_list)
        and _THING.match(text)
    ]
    assert things == []


_NAMES: list[object] = [getattr(interpreter_tools, name) for name in interpreter_tools.__all__]
_PUBLIC: list[type] = [each for each in _NAMES if inspect.isclass(each)]


@pytest.mark.parametrize("kind", _PUBLIC, ids=lambda kind: kind.__name__)
def test_public_methods_are_described(kind: type) -> None:
    """Each public class and each of its public methods and properties has a docstring."""
    assert kind.__doc__
    undescribed = [
        name
        for name, member in inspect.getmembers_static(kind)
        if not name.startswith("_")
        and getattr(member, "__module__", "interpreter_tools").startswith("interpreter_tools")
        and (inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(kind, name))
    ]
    assert undescribed == []


_FACES = [*_PUBLIC, blocking.Engine, blocking.Session, blocking.Context, blocking.Execution, Keys]


@pytest.mark.parametrize("kind", _FACES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_arguments_are_described(kind: type) -> None:
    """The docstring of a method names each of its arguments, or another method that does."""
    silent = [
        f"{name}({argument})"
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and method.__module__.startswith("interpreter_tools")
        for argument in [*inspect.signature(method).parameters][1:]
        if not re.search(rf"\b{argument}\b|see ``", inspect.getdoc(method) or "")
    ]
    assert [each for each in silent if not each.endswith("(_)")] == []


_OF_A_LOOP = [ExecutionEngine, Session, Execution, Context, Cell, Commands, FileReader, DependencyStore]


@pytest.mark.parametrize("kind", _OF_A_LOOP)
def test_coroutines_say_what_cancelling_does(kind: type) -> None:
    """A caller learns from the docstring of a coroutine, or of its class, what a cancelled call leaves."""
    silent = [
        name
        for name, method in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_") and "cancel" not in f"{inspect.getdoc(method)} {inspect.getdoc(kind)}".lower()
    ]
    assert silent == []


@pytest.mark.parametrize("kind", _OF_A_LOOP)
def test_classes_say_where_they_may_be_used(kind: type) -> None:
    """They belong to an event loop, and other threads have another way."""
    assert "event loop" in " ".join((inspect.getdoc(kind) or "").split())
