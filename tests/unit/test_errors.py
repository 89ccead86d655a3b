"""The tree of errors."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import TYPE_CHECKING, cast

import pytest

import interpreter_tools
from interpreter_tools import _exceptions
from interpreter_tools._config.results import ExecutionFailed, ExecutionResult, Outcome
from interpreter_tools._exceptions import (
    ConfigurationError,
    ContainerBusy,
    ContainerLost,
    ContainerStartFailed,
    ContextClosed,
    EngineClosed,
    FileRefused,
    InterpreterToolsError,
    InvalidPath,
    MachineError,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    SessionClosed,
    StoreFailed,
    UnknownLanguage,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_BRANCH = re.compile(r"([│ ]*)[├└]── (\w+) +(\S.*)")


def classes() -> dict[str, type[InterpreterToolsError]]:
    """The errors that the module defines, and the one that carries a result and so stands beside it."""
    return {
        name: value
        for name, value in {**vars(_exceptions), "ExecutionFailed": ExecutionFailed}.items()
        if isinstance(value, type) and issubclass(value, InterpreterToolsError)
    }


def drawn() -> dict[str, str]:
    """Parents by child, as the module's docstring draws them."""
    lines = (_exceptions.__doc__ or "").splitlines()
    above, parents = ["InterpreterToolsError"], dict[str, str]()
    assert above[0] in lines
    for match in filter(None, map(_BRANCH.fullmatch, lines)):
        del above[len(match[1]) // 4 + 1 :]
        parents[match[2]] = above[-1]
        above.append(match[2])
    return parents


def test_tree_is_as_drawn() -> None:
    """Every class, beneath the one that it is drawn beneath."""
    parents = {
        name: next(base.__name__ for base in value.__bases__ if issubclass(base, InterpreterToolsError))
        for name, value in classes().items()
        if value is not InterpreterToolsError
    }
    assert drawn() == parents


def test_every_error_is_public() -> None:
    """Whoever catches it can name it."""
    for name, value in classes().items():
        assert getattr(interpreter_tools, name) is value
        assert name in interpreter_tools.__all__


def test_every_error_is_described() -> None:
    """By a docstring of its own."""
    descriptions = [value.__doc__ for value in classes().values()]
    assert None not in descriptions
    assert len(set(descriptions)) == len(descriptions)


@pytest.mark.parametrize("value", classes().values())
def test_blame_is_on_one_side(value: type[InterpreterToolsError]) -> None:
    """The caller's and the machine's faults can be told apart."""
    assert not (issubclass(value, UsageError) and issubclass(value, MachineError))


@pytest.mark.parametrize(
    ("ours", "common"),
    [
        (ConfigurationError, ValueError),
        (InvalidPath, ValueError),
        (UnknownLanguage, LookupError),
        (PoolTimeout, TimeoutError),
        (FileRefused, OSError),
    ],
)
def test_common_errors_catch_ours(ours: type[Exception], common: type[Exception]) -> None:
    """Where Python has a word for it."""
    assert issubclass(ours, common)


def test_hint_is_shown_below_the_message() -> None:
    """And nothing where there is none."""
    error = ContainerLost("it went away", hint="run it again")
    assert (error.message, error.hint) == ("it went away", "run it again")
    assert str(error) == "it went away\n  hint: run it again"
    assert str(ContainerBusy("two tasks")) == "two tasks"


def test_errors_about_what_is_gone_name_the_way_out() -> None:
    """Also where the place that raises them names none."""
    gone = (
        ContainerLost,
        ContainerStartFailed,
        ContextClosed,
        EngineClosed,
        PoolClosed,
        ProtocolError,
        SessionClosed,
        StoreFailed,
    )
    assert [kind.__name__ for kind in gone if not kind("it is gone").hint] == []


def test_refused_file_is_an_os_error() -> None:
    """With the number and words of the kernel in the container."""
    error = FileRefused("a/b", 28, "No space left on device")
    assert (error.path, error.errno, error.strerror) == ("a/b", 28, "No space left on device")
    assert str(error) == "'a/b': No space left on device"


def test_pool_timeout_says_what_to_raise() -> None:
    """And how long it waited."""
    error = PoolTimeout("python", 2.5)
    assert error.waited == 2.5
    assert "python became free within 2.5 s" in error.message
    assert "max_size" in error.hint


def result(outcome: Outcome, exit_code: int, signal: int | None = None, stderr: str = "") -> ExecutionResult:
    """A result of which the rest does not matter."""
    return ExecutionResult(
        stdout="",
        stderr=stderr,
        exit_code=exit_code,
        signal=signal,
        outcome=outcome,
        execution_time=0,
        cpu_time=0,
        peak_memory=0,
    )


def test_check_returns_a_good_result() -> None:
    """So that calls can be chained."""
    good = result("ok", 0)
    assert good.check() is good


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (result("error", 1, stderr="Traceback\nValueError: no\n"), r"outcome error \(exit code 1\): ValueError: no"),
        (result("killed", 137, 9), r"outcome killed \(signal 9\)$"),
        (result("timeout", 137, 9), r"outcome timeout \(signal 9\)$"),
    ],
)
def test_check_raises_for_a_bad_one(bad: ExecutionResult, words: str) -> None:
    """With how it ended, and its last words."""
    with pytest.raises(ExecutionFailed, match=words) as caught:
        bad.check()
    assert caught.value.result is bad


def _instances() -> list[InterpreterToolsError]:
    """One of each error, with what its constructor takes."""
    made: list[InterpreterToolsError] = []
    values = {"value": lambda: None, "known": ("a", "b"), "status": 500, "waited": 1.5, "errno": 2}
    for kind in classes().values():
        build = cast("Callable[..., InterpreterToolsError]", kind)
        parameters = inspect.signature(kind).parameters
        given = {name: values.get(name, name) for name in parameters if name != "hint"}
        if kind is ExecutionFailed:
            given = {"result": _result("error")}
        made.append(build(*given.values(), **({"hint": "do that"} if "hint" in parameters else {})))
    return made


def _result(outcome: Outcome) -> ExecutionResult:
    return ExecutionResult(
        stdout="", stderr="a\nb\x1b[31m\u2028c\n", exit_code=1, signal=None, outcome=outcome, execution_time=0.0,
        cpu_time=0.0, peak_memory=0,
    )  # fmt: skip


@pytest.mark.parametrize("error", _instances(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_errors_survive_copies(error: InterpreterToolsError, way: str) -> None:
    """With their fields, hints and notes, as process pools and task queues need it."""
    error.add_note("while testing")
    ways = {
        "pickle": lambda: pickle.loads(pickle.dumps(error)),
        "copy": lambda: copy.copy(error),
        "deepcopy": lambda: copy.deepcopy(error),
    }
    again = ways[way]()
    assert type(again) is type(error)
    assert (str(again), again.args, again.hint) == (str(error), error.args, error.hint)
    fields = {name: repr(value) if callable(value) else value for name, value in vars(error).items()}
    assert vars(again) == fields
    if isinstance(error, FileRefused):
        assert isinstance(again, FileRefused)
        assert (again.errno, again.strerror) == (error.errno, error.strerror)


def test_message_of_a_failed_program_is_one_line() -> None:
    """The program's last words do not act on whoever reads a log."""
    assert str(ExecutionFailed(_result("error"))).endswith(r": b\x1b[31m\u2028c")


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("print(1)", "run('python', 'print(1)')"),
        ("import os", "the language comes first"),
        ("pyhton", "did you mean 'python'?"),
    ],
)
def test_language_that_is_code_or_misspelt_is_understood(language: str, hint: str) -> None:
    """`engine.run("print(1)")` is the first thing that people try."""
    assert hint in UnknownLanguage(language, ["javascript", "python"]).hint


def test_version_is_told() -> None:
    """As packages tell it."""
    assert re.fullmatch(r"\d+\..*|0\+unknown", interpreter_tools.__version__)
