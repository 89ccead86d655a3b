"""The errors of a set-up; the tree is that of ``interpreter_tools._exceptions``.

MachineError
└── SetupFailed     this machine could not be set up; the hint says what to do by hand
    └── ProgramFailed   a program that the set-up runs (apt-get, debootstrap, ...) failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._exceptions import MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence


class SetupFailed(MachineError):
    """This machine could not be set up."""


class ProgramFailed(SetupFailed):
    """A program that the set-up runs failed.

    Attributes:
        arguments: the command.
        status: its exit code; negative for the signal that ended it; None when it could not be started.
        output: the last lines of its output.
    """

    def __init__(self, arguments: Sequence[str], status: int | None, output: str, *, hint: str = "") -> None:
        ended = "could not be started" if status is None else f"failed with status {status}"
        super().__init__(f"`{' '.join(arguments)}` {ended}{': ' + output if output else ''}", hint=hint)
        self.arguments = tuple(arguments)
        self.status = status
        self.output = output
