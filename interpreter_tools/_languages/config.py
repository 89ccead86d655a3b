"""The configuration of a language: an image, a command, and perhaps an interpreter booted ahead of need."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from interpreter_tools._config.checks import check_environment
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages.installers import DependencyPlan

_NAME = re.compile(r"[a-z][a-z0-9_+#.-]{0,63}")


class InterpreterBoot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way to boot an interpreter before there is code for it.

    The process speaks the hand-over that ``supervisor/protocol.h`` describes on its descriptor 3.

    Attributes:
        mode: ``"fork"``: a pristine process that forks for each run; ``"single"``: one process for each run to come.
        command: the program and its arguments.
        environment: variables it is started with, beside the image's and ``LanguageConfig.environment``.
        fixed_variables: prefixes of the variables that the interpreter reads only while it starts; a run that sets one
            of them to another value gets an interpreter started for it instead.
        preloads: True when it imports the modules that the variable ``INTERPRETER_TOOLS_PRELOAD`` names before it is
            ready.
    """

    mode: Literal["fork", "single"]
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    fixed_variables: tuple[str, ...] = ()
    preloads: bool = False

    def __post_init__(self) -> None:
        if self.mode not in {"fork", "single"}:
            raise ConfigurationError("boot.mode", self.mode, "is not a mode", hint="use 'fork' or 'single'")
        if isinstance(self.command, str) or not self.command:
            raise ConfigurationError("boot.command", self.command, "is not a sequence of program and arguments")
        check_environment(self.environment, field="boot.environment")


class CompileStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way to compile a program before it is run.

    ``{file}`` stands for the code file's absolute path, ``{directory}`` for a directory of the program's own: outside
    of the workspace, empty before the program is compiled. A session that runs the same text again does not compile it
    again, unless the compiler ended with status 93, which says that it has succeeded and taken in other files.

    Attributes:
        command: the compiler and its arguments.
        environment: variables that the compiler gets beside those of the run.
        others: a regular expression that finds out whether a program's text takes in other files, such as
            ``#include "..."``; such a program is compiled for each run, as those files may have changed.

    Raises:
        ConfigurationError: a value cannot work.
    """

    command: tuple[str, ...]
    environment: dict[str, str] = {}
    others: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.others)
        except re.error as error:
            raise ConfigurationError("compile.others", self.others, f"is not a regular expression: {error}") from None
        if isinstance(self.command, str) or not any("{file}" in word for word in self.command):
            reason = "is not a sequence of program and arguments with '{file}' in one of them"
            raise ConfigurationError("compile.command", self.command, reason)
        check_environment(self.environment, field="compile.environment")


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The beginning that programs of a language need and snippets often lack, such as ``<?php``.

    Attributes:
        text: what is put before the code, into its first line, so that lines keep their numbers.
        when: a regular expression that matches at the beginning of code which lacks it.

    Raises:
        ConfigurationError: ``when`` is not a regular expression.
    """

    text: str
    when: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.when)
        except re.error as error:
            raise ConfigurationError("opening.when", self.when, f"is not a regular expression: {error}") from None

    def complete(self, code: bytes) -> bytes:
        """Return the code with its beginning."""
        lacks = re.match(self.when, code.decode("utf-8", "replace"))
        return self.text.encode() + code if lacks else code


class CellRunner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The program that runs the cells of a context, one process for each context.

    It connects to the local socket of the sandbox and speaks as "Cells" in ``docs/protocol.md`` says. Its source can be
    one of the arguments.

    Attributes:
        command: the program and its arguments.
        environment: variables that it gets beside those of ``LanguageConfig.environment``.
        booted: True when it is forked from an interpreter that was booted ahead of need.
        preload: a module that this interpreter imports ahead, in containers that are made for a context.
        package: the package of the language that the runner needs; it is installed once into the dependency store
            where the image lacks it.
        unforkable: why its process cannot be forked for a checkpoint; empty where it can.

    Raises:
        ConfigurationError: a value cannot work.
    """

    command: tuple[str, ...]
    environment: dict[str, str] = {}
    booted: bool = False
    preload: str = ""
    package: str = ""
    unforkable: str = "cell runner that takes no checkpoints"

    def __post_init__(self) -> None:
        if isinstance(self.command, str) or not self.command:
            raise ConfigurationError("cells.command", self.command, "is not a sequence of program and arguments")
        check_environment(self.environment, field="cells.environment")


class LanguageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A language. Registering this object is all it takes to run the language.

    A compiled one, for example::

        LanguageConfig(
            language="zig",
            default_image="my/zig",
            code_filename="main.zig",
            compile=CompileStep(command=("zig", "build-exe", "{file}", "-femit-bin={directory}/program")),
            run_command=("{directory}/program",),
        )

    Attributes:
        language: its name, in lower case.
        default_image: the image of its containers, unless another one is asked for. Any image will do that has the
            interpreter or the compiler.
        code_filename: the file in the workspace that holds the code, for example ``main.rb``.
        run_command: the program and its arguments; ``{file}`` stands for the code file's absolute path,
            ``{directory}`` for that of what was compiled. A program without a slash is looked up in the image's PATH;
            of ``bash:sh`` the first that the image has is run.
        compile: how a program is compiled before; without it the program is run as it is.
        opening: the beginning that is put before code which lacks it. Files of an app stay as they are.
        interpreters: programs that mean the language's own command where the code's first line names them
            (``#!/usr/bin/env python3``), as patterns of ``fnmatch``. Another program in the first line runs the code.
        aliases: other names that mean the same language.
        environment: variables that every run of it gets.
        boot: an interpreter to boot ahead of need; without one each run starts the command.
        dependencies: the way to install its packages; without it, runs cannot ask for packages.
        cells: the program that runs the cells of its contexts; without it, the language has no contexts.

    Raises:
        ConfigurationError: a value cannot work.
    """

    language: str
    default_image: str
    code_filename: str
    run_command: tuple[str, ...]
    compile: CompileStep | None = None
    opening: Opening | None = None
    interpreters: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    boot: InterpreterBoot | None = None
    dependencies: DependencyPlan | None = None
    cells: CellRunner | None = None

    def is_run_by(self, program: str) -> bool:
        """Return True when one of ``interpreters`` is, or matches, the name of a program.

        Args:
            program: the name, without a directory.
        """
        return any(fnmatchcase(program, pattern) for pattern in self.interpreters)

    def __post_init__(self) -> None:
        if isinstance(self.aliases, str):
            raise ConfigurationError("aliases", self.aliases, "is one text", hint=f"give a tuple: ({self.aliases!r},)")
        for name in (self.language, *self.aliases):
            if not _NAME.fullmatch(name):
                raise ConfigurationError("language", name, "is not a name", hint="use lower case, for example 'ruby'")
        if not self.default_image.strip():
            raise ConfigurationError("default_image", self.default_image, "is not a name of an image")
        if not re.fullmatch(r"[^/\0]{1,255}", self.code_filename) or self.code_filename in {".", ".."}:
            raise ConfigurationError("code_filename", self.code_filename, "is not the name of a file")
        if isinstance(self.run_command, str) or not self.run_command:
            raise ConfigurationError("run_command", self.run_command, "is not a sequence of program and arguments")
        place = "{file}" if self.compile is None else "{directory}"
        if not any(place in word for word in self.run_command):
            raise ConfigurationError("run_command", self.run_command, f"does not say where '{place}' goes")
        if self.compile is not None and self.boot is not None:
            raise ConfigurationError("compile", self.compile.command, "is given beside an interpreter to boot")
        check_environment(self.environment, field="environment")
