"""The shell: a loop that reads an input and handles it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
from prompt_toolkit.history import InMemoryHistory

from interpreter_tools._config.checks import check_count
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, InterpreterToolsError
from interpreter_tools._exit_status import SANDBOX_FAILED
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.shell._commands import COMMANDS, run_command
from interpreter_tools.shell._guess import is_prose
from interpreter_tools.shell._history import history_file, open_history
from interpreter_tools.shell._input import Lines, Prompt, asks_for_input, feed_typed
from interpreter_tools.shell._output import Display
from interpreter_tools.shell._routing import Route, needs_more, route
from interpreter_tools.shell._sandbox import Sandbox
from interpreter_tools.shell._words import Colours, Words
from interpreter_tools.tool._advice import missing_package

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pydantic_ai.models import Model

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools.shell._assistant import Assistant

_INTERRUPTED = 130
_END = (signal.SIGTERM, signal.SIGHUP)


class ShellOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a shell.

    Attributes:
        language: the language of code without a mark.
        tries: programs of the model that may fail in a row.
        history: the file that keeps the inputs; None means a file in the user's state directory.

    Raises:
        UnknownLanguage: no such language is registered.
        ConfigurationError: a value cannot work.
    """

    language: str = "python"
    tries: int = 3
    history: Path | None = None

    def __post_init__(self) -> None:
        LanguageRegistry.get(self.language)
        check_count(self.tries, field="tries", least=1)


async def run_shell(
    config: EngineConfig | None = None, options: ShellOptions | None = None, *, model: Model | str | None = None
) -> int:
    """Run a shell on this process's standard streams until its input ends.

    Args:
        config: limits, images and the Docker engine.
        options: the options of the shell.
        model: the model for plain language: a model of PydanticAI, or its name. The shell says when a model cannot be
            used, and goes on without it.

    Returns:
        The status: on a terminal 0, else that of the last input, as of other shells; 128 and the signal's number when a
        signal ended it.

    Raises:
        InterpreterToolsError: the engine could not be started.
    """
    async with ExecutionEngine(config) as engine:
        shell = Shell(engine, options or ShellOptions())
        return await shell.run(model)


class Shell:
    """The state of a shell, which its commands share.

    Attributes:
        sandbox: the sandbox that programs run in.
        display: the display of the shell.
        language: the language of code without a mark.
        assistant: the model; None when there is none.
        mends: True when the model looks into the user's own programs that fail.
        history: the inputs.
        leaving: True when the shell ends after this input.
    """

    def __init__(self, engine: ExecutionEngine, options: ShellOptions) -> None:
        self.sandbox = Sandbox(engine)
        self.display = Display()
        self.language = LanguageRegistry.get(options.language).language
        self.tries = options.tries
        self.assistant: Assistant | None = None
        self.mends = True
        self.leaving = False
        self.interactive = sys.stdin.isatty() and self.display.on_terminal
        kept = options.history or history_file(os.environ)
        self.history = open_history(kept) if self.interactive else InMemoryHistory()
        self._prompt = self._make_prompt() if self.interactive else None
        self._lines = None if self.interactive else Lines(needs_more=self._needs_more)
        self._task: asyncio.Task[int] | None = None
        self._signal = 0

    def _make_prompt(self) -> Prompt:
        return Prompt(
            label=lambda: self.language if self.assistant is None else "ai",
            needs_more=self._needs_more,
            history=self.history,
            completer=Words({name: command.takes for name, command in COMMANDS.items()}, lambda: self.sandbox.files),
            lexer=Colours(self._route),
        )

    def _route(self, text: str) -> Route:
        return route(text, language=self.language, asks=self.assistant is not None)

    def _needs_more(self, text: str) -> bool:
        return needs_more(text, language=self.language, asks=self.assistant is not None)

    # -- the loop

    async def run(self, model: Model | str | None) -> int:
        """Read and handle one input after another; return the status."""
        status = 0
        with self._signals():
            try:
                if model is not None:
                    await self._use_first(model)
                if self.interactive:
                    self._greet()
                while not self.leaving:
                    try:
                        text = await self._read()
                    except EOFError:
                        break
                    except KeyboardInterrupt:
                        self.display.note("Ctrl-D leaves")
                        continue
                    status = await self._do(text)
            except asyncio.CancelledError:
                if not self._signal:
                    raise
                task = asyncio.current_task()
                assert task is not None
                task.uncancel()
                return 128 + self._signal
            finally:
                self.display.idle()
        return 0 if self.interactive else status

    async def _read(self) -> str:
        if self._prompt is not None:
            return await self._prompt.read()
        assert self._lines is not None
        return await self._lines.read()

    async def _do(self, text: str) -> int:
        """Handle an input in a task of its own, which Ctrl-C cancels."""
        self._task = task = asyncio.create_task(self._handle(text))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
            raise
        finally:
            self._task = None
        if task.cancelled():
            self.display.end_output()
            self.display.note("cancelled")
            return _INTERRUPTED
        return task.result()

    @contextmanager
    def _signals(self) -> Generator[None]:
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        assert main is not None

        def end(number: int) -> None:
            if not self._signal:
                self._signal = number
                main.cancel()

        for number in _END:
            loop.add_signal_handler(number, end, number)
        loop.add_signal_handler(signal.SIGINT, self._interrupt, end)
        try:
            yield
        finally:
            for number in (*_END, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _interrupt(self, end: Callable[[int], None]) -> None:
        """Handle Ctrl-C: end the input that runs, or give up the typed one; without a terminal, end the shell."""
        if self._prompt is None:
            end(signal.SIGINT)
        elif self._task is not None:
            self.display.echoed(line=False)
            self._task.cancel()
        else:
            self._prompt.interrupt()

    # -- one input

    async def _handle(self, text: str) -> int:
        try:
            found = self._route(text)
            if found.kind == "command":
                return await run_command(self, found.name, found.text)
            if found.kind == "ask" and self.assistant is not None:
                return await self.assistant.ask(found.text)
            if found.kind == "run":
                return await self._run(found)
        except InterpreterToolsError as error:
            self.display.error(str(error))
            return SANDBOX_FAILED
        except BrokenPipeError:
            raise  # the reader of the output is gone
        except OSError as error:
            self.display.error(f"{error.filename or 'error'}: {error.strerror}")
            return 1
        return 0

    async def _run(self, found: Route) -> int:
        typed = self._typed if self.interactive and asks_for_input(found.text) else None
        if typed is None:
            self.display.busy(f"running {found.name}")
        try:
            result = await self.sandbox.run(found.name, found.text, self.display.chunk, feed=typed)
        finally:
            self.display.end_output()
        self.display.outcome(result)
        if self.interactive:
            await self.sandbox.look()
            self._hint(found, result)
        status = result.exit_code or int(result.outcome != "ok")
        if self.assistant is None:
            return status
        if self.mends and _is_failure(result) and self.interactive:
            return await self.assistant.mend(found.name, found.text, result)
        self.assistant.saw(found.name, found.text, result)
        return status

    async def _typed(self, execution: Execution | Cell) -> None:
        await feed_typed(execution, lambda: self.display.echoed(line=True))

    def _hint(self, found: Route, result: ExecutionResult) -> None:
        """Write the hint after a failure that users may not know."""
        package = missing_package(result, found.name)
        if package is not None:
            language = "" if found.name == self.language else f"{found.name}: "
            self.display.note(f"perhaps /deps {language}{package} helps")
        elif self.assistant is None and not found.marked and is_prose(found.text, found.name):
            self.display.note("plain language needs a model: /model NAME")

    # -- the model

    async def use_model(self, model: Model | str | None) -> None:
        """Send plain language to another model, or to none.

        Raises:
            ConfigurationError: the model cannot be used; the one before stays.
        """
        if model is None:
            self.assistant = None
            return
        try:
            from interpreter_tools.shell._assistant import Assistant, find_model  # noqa: PLC0415 - longer than all else
        except ModuleNotFoundError as error:
            hint = 'pip install "interpreter-tools[shell]"'
            raise ConfigurationError(
                "model", model, f"needs a package that is not there: {error.name}", hint=hint
            ) from error
        found = await find_model(model) if isinstance(model, str) else model
        self.assistant = Assistant(found, sandbox=self.sandbox, display=self.display, tries=self.tries)

    async def _use_first(self, model: Model | str) -> None:
        self.display.busy("loading the model")
        try:
            await self.use_model(model)
        except InterpreterToolsError as error:
            self.display.error(str(error))
            self.display.note("the shell goes on without a model")

    def _greet(self) -> None:
        who = "no model: code and commands only" if self.assistant is None else self.assistant.name
        self.display.note(f"interpreter-tools shell · {who} · {', '.join(LanguageRegistry.names())} · /help")


def _is_failure(result: ExecutionResult) -> bool:
    """Return True for a failure to mend: a `grep` that finds no line fails silently, and needs no mending."""
    return result.outcome != "ok" and (result.outcome != "error" or bool(result.stderr.strip()))
