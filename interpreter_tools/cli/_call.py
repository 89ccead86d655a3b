"""A call of ``interpreter-tools run``, and the reading of plain ones without cyclopts.

To import cyclopts and read a call with it takes 90 ms, a third of what ``docker run`` takes altogether. So a call whose
words are all plain is read here. Every other one, and so every wrong one, is left to cyclopts and means there what it
says in ``--help``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from interpreter_tools._exit_status import USAGE
from interpreter_tools.cli._limits import Limits, option

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "\0stdin"
"""The replacement of ``-``, which cyclopts takes for an option. No file can have this name."""


@dataclass(frozen=True, kw_only=True)
class RunWords:
    """The options of ``run``: the one list from which cyclopts and ``read_plain`` take theirs."""

    code: str | None = field(default=None, metadata=option("The program itself, instead of a file.", alias="-c"))
    language: str | None = field(
        default=None,
        metadata=option(
            "Its language; otherwise known from the file's suffix, then its first line, then Python.", alias="-l"
        ),
    )
    dep: list[str] | None = field(
        default=None,
        metadata=option(
            "A package to install first, or several between commas, as the language's installer takes them."
        ),
    )
    system_dep: list[str] | None = field(
        default=None,
        metadata=option("A package of the image's distribution to install first, or several between commas."),
    )
    auto_dep: bool = field(default=False, metadata=option("Install the well-known packages that the program imports."))
    with_file: list[str] | None = field(
        default=None,
        metadata=option(
            "A local file or directory to put beneath the working directory, or PATH=LOCAL to name it there; may "
            "be repeated.",
            name="--file",
            alias="-f",
        ),
    )
    out: Path | None = field(
        default=None,
        metadata=option("A directory for the files that the program makes in its working directory.", alias="-o"),
    )
    limits: Limits | None = field(default=None, metadata=option("What the program may use and see."))
    port: list[int] | None = field(
        default=None,
        metadata=option(
            "A port of the program, to be reached on 127.0.0.1; which one there is told. May be repeated.", alias="-p"
        ),
    )
    merge_output: bool = field(
        default=False,
        metadata=option("Send what the program writes to stderr to stdout, in the order of writing."),
    )
    json: bool = field(default=False, metadata=option("Print the result as JSON instead of streaming the output."))
    config: Path | None = field(
        default=None,
        metadata=option(
            "A TOML file with the engine's settings. Without it, interpreter-tools.toml here sets limits only."
        ),
    )
    docker_host: str | None = field(
        default=None, metadata=option("Address of the Docker engine; otherwise the first that answers.")
    )


@dataclass(frozen=True, kw_only=True)
class RunCall(RunWords):
    """A call of ``run``: the program, its arguments, and the options."""

    file: Path | None = None
    args: tuple[str, ...] = ()

    async def run(self) -> int:
        """Run what is asked for, and return the command's status."""
        file, code = self.file, self.code
        if file is None and code is None and sys.stdin.isatty():
            sys.stderr.write("interpreter-tools run: give a file (`-` means standard input), or code with -c\n")
            return USAGE
        from interpreter_tools.cli._request import Request  # noqa: PLC0415 - the client comes first
        from interpreter_tools.cli._run import run_code  # noqa: PLC0415

        words = (*(() if file is None or code is None else (str(file),)), *self.args)  # as `python -c CODE WORD`
        request = Request(
            file=None if file is None or code is not None or str(file) == STDIN else file,
            code=code,
            args=tuple("-" if word == STDIN else word for word in words),
            language=self.language,
            dependencies=tuple(self.dep or ()),
            system_dependencies=tuple(self.system_dep or ()),
            auto_dependencies=self.auto_dep,
            files=tuple(self.with_file or ()),
            limits=self.limits or Limits(),
            ports=tuple(self.port or ()),
            out=self.out,
            merge_output=self.merge_output,
            config_file=self.config,
            docker_host=self.docker_host,
        )
        return await run_code(request, as_json=self.json)


_READ = ("str | None", "Path | None", "list[str] | None", "bool")
"""The types of options that are read here; numbers are not."""

OPTIONS = {
    word: (each.name, str(each.type))
    for each in (*fields(RunWords), *fields(Limits))
    if each.metadata and each.type in _READ
    for word in (each.metadata["name"] or f"--{each.name.replace('_', '-')}", each.metadata["alias"])
    if word
}
"""The field, and its type, of each option that is read here."""

_LIMITS = frozenset(each.name for each in fields(Limits))


def read_plain(words: Sequence[str]) -> RunCall | None:
    """Return the call that the words after ``run`` mean; None where cyclopts has to read them.

    Plain are options whose value is the next word and does not begin with a dash, each of those that take one value
    at most once, and names and arguments of the program that do not begin with a dash.

    Args:
        words: the words.
    """
    values: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    program: list[str] = []
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            program.append(word)
            continue
        name, kind = OPTIONS.get(word, ("", ""))
        if not name or name in values:
            return None
        if kind == "bool":
            values[name] = True
            continue
        value = next(left, "-")
        if value.startswith("-"):
            return None
        if kind == "list[str] | None":
            lists.setdefault(name, []).append(value)
        else:
            values[name] = Path(value) if kind == "Path | None" else value
    values.update(lists)
    limits = {name: values.pop(name) for name in tuple(values) if name in _LIMITS}
    if limits:
        values["limits"] = Limits(**limits)  # pyright: ignore[reportArgumentType] - the fields have the types
    if program:
        values["file"] = Path(program[0])
    return RunCall(args=tuple(program[1:]), **values)  # pyright: ignore[reportArgumentType] - as above
