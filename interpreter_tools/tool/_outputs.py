"""The whole results of the last calls, for readers who want more than the excerpt for the model."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import UnknownOutput

if TYPE_CHECKING:
    from interpreter_tools._config.results import ExecutionResult


class Outputs:
    """Results by id. The oldest are dropped first, and the newest is always kept; ids cannot be guessed.

    Args:
        most: the number of results that are kept.
        most_text: characters of text that the results may hold together.
    """

    def __init__(self, *, most: int = 32, most_text: int = 64 << 20) -> None:
        self._most = most
        self._most_text = most_text
        self._results: OrderedDict[str, ExecutionResult] = OrderedDict()
        self._text = 0

    def __repr__(self) -> str:
        return f"<Outputs [{len(self._results)} kept]>"

    def add(self, result: ExecutionResult) -> str:
        """Keep a result and return its id."""
        output_id = secrets.token_hex(16)
        self._results[output_id] = result
        self._text += _size(result)
        while len(self._results) > self._most or (self._text > self._most_text and len(self._results) > 1):
            _, oldest = self._results.popitem(last=False)
            self._text -= _size(oldest)
        return output_id

    def get(self, output_id: str) -> ExecutionResult:
        """Return the result of an id.

        Raises:
            UnknownOutput: there is no result of that id, or no longer.
        """
        try:
            return self._results[output_id]
        except KeyError:
            raise UnknownOutput(output_id) from None

    def clear(self) -> None:
        """Drop all results."""
        self._results.clear()
        self._text = 0


def _size(result: ExecutionResult) -> int:
    return (
        len(result.stdout)
        + len(result.stderr)
        + len(result.dependency_stdout)
        + len(result.dependency_stderr)
        + len(result.compile_stdout)
        + len(result.compile_stderr)
    ) + sum(map(len, result.generated_files))
