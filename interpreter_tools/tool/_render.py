"""A result as text for a model: what happened, what to do next, and as much of the output as the budget allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools.tool._advice import advice
from interpreter_tools.tool._excerpt import MARKER, excerpt, harmless

if TYPE_CHECKING:
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._models import ExecutionResult
    from interpreter_tools.tool._advice import Circumstances

_CHARACTERS = 4  # of a token, on average, in English and code
_LEAST = MARKER * 2  # characters that the output gets, however much is to be said about the run
_ADVICE = 1000  # characters at most
_NAME = 200  # characters of one file's name


def render_result(result: ExecutionResult, run: Circumstances, *, max_tokens: int) -> str:
    """What a model is told. The same result always reads the same: nothing in it is a measured time.

    Args:
        result: how the run went.
        run: what it was allowed to do.
        max_tokens: how long the text may be, at four characters a token.
    """
    budget = max_tokens * _CHARACTERS
    head = [_status(result)]
    if notes := advice(result, run):
        head.append("\n".join(notes)[:_ADVICE])
    if files := _files(result, budget // 4):
        head.append(files)
    streams = {
        "dependency_stderr": result.dependency_stderr if result.outcome == "dependency_error" else "",
        "dependency_stdout": result.dependency_stdout if result.outcome == "dependency_error" else "",
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
    written = {f"{name}:\n": text for name, text in streams.items() if text.strip()}
    if not written and result.outcome != "dependency_error":
        head.append("It printed nothing.")
    top = "\n".join(head)
    left = max(budget - len(top) - sum(len(title) + 1 for title in written), _LEAST * max(len(written), 1))
    rooms = _share(left, list(written.values()))
    parts = [
        title + excerpt(text, room, head=0.5 if "stdout" in title else 0.25).rstrip("\n")
        for (title, text), room in zip(written.items(), rooms, strict=True)
    ]
    return "\n".join((top, *parts))


def render_error(error: InterpreterToolsError, *, name: str) -> str:
    """What a model is told when its call could not be run."""
    hint = f"\nWhat to do: {error.hint}." if error.hint else ""
    return harmless(f"{name} did not run the code. {error.message}.{hint}")


def _status(result: ExecutionResult) -> str:
    status = (
        result.outcome if result.outcome == "dependency_error" else f"{result.outcome}, exit code {result.exit_code}"
    )
    return f"[{status}{', output was cut off' if result.outcome == 'output_limit' else ''}]"


def _files(result: ExecutionResult, room: int) -> str:
    """The files that the run made, as many as there is room for."""
    if not result.generated_files:
        return ""
    names: list[str] = []
    for name in result.generated_files:
        shown = excerpt(name.replace("\n", "\\n"), _NAME)
        room -= len(shown) + 2
        if room < 0:
            break
        names.append(shown)
    more = len(result.generated_files) - len(names)
    rest = f" and {more:,} more" if more else ""
    some = ", and others that were not listed" if result.generated_files_partial else ""
    return f"files in {result.workspace_dir}: {', '.join(names)}{rest}{some}"


def _share(room: int, texts: list[str]) -> list[int]:
    """Budgets for the texts: equal, and what one does not need goes to the others."""
    rooms = [0] * len(texts)
    left = room
    for place, index in enumerate(sorted(range(len(texts)), key=lambda index: len(texts[index]))):
        rooms[index] = min(max(len(texts[index]), MARKER), left // (len(texts) - place))
        left -= rooms[index]
    if rooms:
        rooms[-1] += max(left, 0)
    return rooms
