"""A call of ``interpreter-tools run``, and the reading of plain ones without cyclopts.

To import cyclopts and read a call with it takes 90 ms, a third of what ``docker run`` takes altogether. So a call whose
words are all plain is read here. Every other one, and so every wrong one, is left to cyclopts and means there what it
says in ``--help``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interpreter_tools._exit_status import USAGE
from interpreter_tools.cli._limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "\0stdin"
"""The replacement of ``-``, which cyclopts takes for an option. No file can have this name."""

_TEXTS = {
    "--code": "code",
    "-c": "code",
    "--language": "language",
    "-l": "language",
    "--docker-host": "docker_host",
    "--timeout": "timeout",
    "--memory": "memory",
    "--cpus": "cpus",
    "--workspace-size": "workspace_size",
    "--tmp-size": "tmp_size",
    "--output-limit": "output_limit",
    "--network": "network",
    "--workdir": "workdir",
    "-w": "workdir",
    "--image": "image",
    "--tenant": "tenant",
}
_PATHS = {"--out": "out", "-o": "out", "--config": "config"}
_LISTS = {
    "--dep": "dep",
    "--system-dep": "system_dep",
    "--file": "with_file",
    "-f": "with_file",
    "--env": "env",
    "-e": "env",
    "--mount": "mount",
    "-m": "mount",
}
_FLAGS = {"--auto-dep": "auto_dep", "--merge-output": "merge_output", "--json": "json"}
_LIMITS = frozenset(Limits.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class RunCall:
    """The program to run, the options, and how the result is shown; attributes as the command's options."""

    file: Path | None = None
    args: tuple[str, ...] = ()
    code: str | None = None
    language: str | None = None
    dep: list[str] | None = None
    system_dep: list[str] | None = None
    auto_dep: bool = False
    with_file: list[str] | None = None
    out: Path | None = None
    limits: Limits | None = None
    port: list[int] | None = None
    merge_output: bool = False
    json: bool = False
    config: Path | None = None
    docker_host: str | None = None

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
        name = _FLAGS.get(word) or _TEXTS.get(word) or _PATHS.get(word) or _LISTS.get(word)
        if name is None or name in values:
            return None
        if word in _FLAGS:
            values[name] = True
            continue
        value = next(left, "-")
        if value.startswith("-"):
            return None
        if word in _LISTS:
            lists.setdefault(name, []).append(value)
        else:
            values[name] = Path(value) if word in _PATHS else value
    values.update(lists)
    limits = {name: values.pop(name) for name in tuple(values) if name in _LIMITS}
    if limits:
        values["limits"] = Limits(**limits)  # pyright: ignore[reportArgumentType] - the tables have the types
    if program:
        values["file"] = Path(program[0])
    return RunCall(args=tuple(program[1:]), **values)  # pyright: ignore[reportArgumentType] - as above
