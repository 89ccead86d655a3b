"""Results as text for a model: the outcome, the advice, and as much of the output as the budget allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._text import file_name, harmless
from interpreter_tools.tool._advice import advice
from interpreter_tools.tool._excerpt import MARKER, excerpt, shorten
from interpreter_tools.tool._screen import at_the_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._config.results import ExecutionResult, Stream
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools.tool._advice import Circumstances

_CHARACTERS = 4  # of a token, on average, in English and code
_LEAST = MARKER * 2  # characters that the output gets, however much is to be said about the run
_ADVICE = 1000  # characters at most
_NAME = 200  # characters of one file's name


def render_result(result: ExecutionResult, run: Circumstances, *, max_tokens: int) -> str:
    """Return a result as text for a model. Equal results give equal text: it holds no measured time.

    Args:
        result: the result of the run.
        run: the circumstances of the run.
        max_tokens: the most tokens of the text, at four characters a token.
    """
    budget = max_tokens * _CHARACTERS
    head = [_status(result)]
    if notes := advice(result, run):
        head.append("\n".join(notes)[:_ADVICE])
    if files := _files(result, budget // 4):
        head.append(files)
    if displayed := _displayed(result, budget // 4):
        head.append(displayed)
    top = "\n".join(head)
    written: dict[Stream, str] = {name: text for name, text in _streams(result).items() if text.strip()}
    room = budget - len(top) - sum(len(name) + 3 for name in written)
    parts = [f"{name}:\n" + text.rstrip("\n") for name, (text, _) in _excerpts(written, room).items()]
    return "\n".join((top, *parts))


def render_streams(result: ExecutionResult, *, max_tokens: int) -> dict[Stream, tuple[str, int]]:
    """Return the output by stream, made harmless and cut to the budget, and the number of characters that were cut.

    Empty streams are left out, and the installer's too, unless the installation failed.
    """
    written: dict[Stream, str] = {name: text for name, text in _streams(result).items() if text}
    return _excerpts(written, max_tokens * _CHARACTERS)


def render_error(error: InterpreterToolsError, *, name: str) -> str:
    """Return the text for a model whose call could not be run."""
    return f"{harmless(name)} did not run the code. {explain_error(error)}"


def explain_error(error: InterpreterToolsError, *, hint: str | None = None) -> str:
    """Return the failure and the way out, as text.

    Args:
        error: the error of the library.
        hint: a hint in place of the error's own, which is for programmers.
    """
    todo = hint or error.hint
    return harmless(f"{error.message}.\nWhat to do: {todo}." if todo else f"{error.message}.")


def _streams(result: ExecutionResult) -> dict[Stream, str]:
    installing = result.outcome == "dependency_error"
    written: dict[Stream, str] = {
        "dependency_stderr": result.dependency_stderr if installing else "",
        "dependency_stdout": result.dependency_stdout if installing else "",
        "compile_stderr": result.compile_stderr,
        "compile_stdout": result.compile_stdout,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
    return {name: at_the_end(text) for name, text in written.items()}


def _excerpts(streams: Mapping[Stream, str], room: int) -> dict[Stream, tuple[str, int]]:
    """Return excerpts of the streams within ``room`` characters; the end of an error tells more than its beginning."""
    rooms = _share(max(room, _LEAST * max(len(streams), 1)), list(streams.values()))
    return {
        name: shorten(text, most, head=0.5 if "stdout" in name else 0.25)
        for (name, text), most in zip(streams.items(), rooms, strict=True)
    }


def _status(result: ExecutionResult) -> str:
    status = (
        result.outcome
        if result.outcome in {"dependency_error", "compile_error"}
        else f"{result.outcome}, exit code {result.exit_code}"
    )
    return f"[{status}{', output was cut off' if result.outcome == 'output_limit' else ''}]"


def _files(result: ExecutionResult, room: int) -> str:
    """Return a list of the files that the run made, as many as there is room for."""
    if not result.generated_files:
        return ""
    names: list[str] = []
    for name in result.generated_files:
        shown = file_name(_short(name))
        room -= len(shown) + 2
        if room < 0:
            break
        names.append(shown)
    more = len(result.generated_files) - len(names)
    rest = f" and {more:,} more" if more else ""
    some = ", and others that were not listed" if result.generated_files_partial else ""
    return f"files in {result.workspace_dir}: {', '.join(names)}{rest}{some}"


def _displayed(result: ExecutionResult, room: int) -> str:
    """Return the displayed results: pictures by their kind and size, all else as text, as much as there is room for."""
    if not result.results:
        return ""
    room = max(room, _LEAST)
    lines: list[str] = []
    for number, shown in enumerate(result.results, 1):
        picture = shown.picture
        if picture is not None:
            line = f"  {number}. {harmless(picture[0])}, {len(picture[1]):,} bytes"
        else:
            text = shown.text or shown.markdown or shown.latex or ", ".join(shown.formats())
            line = f"  {number}. {excerpt(text, max(room // 2, MARKER))}"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    more = len(result.results) - len(lines)
    return "\n".join(["displayed:", *lines, *([f"  and {more:,} more"] if more else [])])


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 :]}"


def _share(room: int, texts: list[str]) -> list[int]:
    """Return equal budgets for the texts; the rest of a short text's budget goes to the others."""
    rooms = [0] * len(texts)
    left = room
    for place, index in enumerate(sorted(range(len(texts)), key=lambda index: len(texts[index]))):
        rooms[index] = min(max(len(texts[index]), MARKER), left // (len(texts) - place))
        left -= rooms[index]
    if rooms:
        rooms[-1] += max(left, 0)
    return rooms
