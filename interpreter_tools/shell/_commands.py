"""The shell's own commands, which begin with a slash."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TypeAlias

import anyio
import msgspec

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._text import one_line
from interpreter_tools.shell._history import search_history

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prompt_toolkit.history import History

    from interpreter_tools.shell._assistant import Assistant
    from interpreter_tools.shell._output import Display
    from interpreter_tools.shell._sandbox import Sandbox

    Handler: TypeAlias = Callable[["Commanded", str], Awaitable[None]]


class Commanded(Protocol):
    """The shell as its commands see and change it."""

    display: Display
    sandbox: Sandbox
    assistant: Assistant | None
    history: History
    language: str
    tries: int
    mends: bool
    leaving: bool

    async def use_model(self, model: str | None) -> None:
        """Use a model, or none."""
        ...


_ENTRIES = 30  # entries of the history that are shown
_FILES = 200  # files that are listed

_HELP = """\
What you type is
  !ls -l              a command for the sandbox's shell; a word that shells know does without the mark
  py: print(6 * 7)    code, after a language's name: {prefixes}
  ```python           code, to the fence that closes it
  anything else       {else_}
The files in /workspace stay, for all languages; so do variables, for later code in the same language.
Commands:
{commands}
Keys: Tab completes, Up and Ctrl-R search the history, Alt-Enter begins a line, Ctrl-C ends what runs, Ctrl-D leaves."""


class Command(msgspec.Struct, frozen=True):
    """A command.

    Attributes:
        usage: its name and arguments.
        about: its description.
        run: the function that does it; raises an error of this library, or an ``OSError``, when it cannot.
        takes: the completion of its argument: ``"files"``, ``"paths"``, ``"languages"``, or none.
    """

    usage: str
    about: str
    run: Handler
    takes: str = ""


async def run_command(shell: Commanded, name: str, rest: str) -> int:
    """Run a command.

    Returns:
        The status: 2 when there is no such command.
    """
    command = COMMANDS.get(_SHORT.get(name, name))
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        shell.display.error(f"there is no /{name}" + (f"; did you mean /{near[0]}?" if near else "; see /help"))
        return 2
    await command.run(shell, rest)
    return 0


async def _help(shell: Commanded, _rest: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = (f"  {command.usage.ljust(width)}  {command.about}" for command in COMMANDS.values())
    else_ = f"code in {shell.language}, or a task for the model where it is none"
    if shell.assistant is None:
        else_ = f"code in {shell.language}; with a model (/model NAME), also plain language"
    prefixes = ", ".join(f"{name}:" for name in LanguageRegistry.names())
    shell.display.say(_HELP.format(prefixes=prefixes, else_=else_, commands="\n".join(lines)))


async def _info(shell: Commanded, _rest: str) -> None:
    sandbox, config = shell.sandbox, shell.sandbox.engine.config
    info = sandbox.session.info()
    containers = [f"{item.image_name} ({item.container_id[:12]})" for item in info.container_history if item.is_running]
    packages = [f"{language}: {', '.join(names)}" for language, names in sandbox.packages.items() if names]
    rows = {
        "session": info.session_id,
        "language": shell.language,
        "model": "none" if shell.assistant is None else shell.assistant.name,
        "mending": f"{'on' if shell.mends else 'off'}, at most {shell.tries} tries",
        "containers": ", ".join(containers) or "none yet",
        "packages": "; ".join(packages) or "none",
        "files": str(len(await sandbox.look())),
        "time limit": "none" if config.timeout is None else f"{config.timeout:g} s",
        "memory": str(config.container.memory_limit),
        "network": config.container.network,
    }
    shell.display.say("\n".join(f"{name:<11} {value}" for name, value in rows.items()))


async def _files(shell: Commanded, rest: str) -> None:
    names = await shell.sandbox.look()
    if rest:
        names = [name for name in names if PurePosixPath(name).match(rest) or name.startswith(f"{rest.rstrip('/')}/")]
    shell.display.say("\n".join(map(one_line, names[:_FILES])) or "no files")
    if len(names) > _FILES:
        shell.display.note(f"and {len(names) - _FILES} more")


async def _get(shell: Commanded, rest: str) -> None:
    path, target = _paths(rest, COMMANDS["get"])
    names = await shell.sandbox.look()
    name = path.removeprefix("/workspace/").rstrip("/")
    local = await _local(target or PurePosixPath(name).name)
    session = shell.sandbox.session
    if name not in names and any(known.startswith(f"{name}/") for known in names):
        copied = await session.copy_directory_from_workspace(local, name)
        shell.display.note(f"{len(copied)} files are in {local}")
        return
    if await anyio.Path(local).is_dir():
        local /= PurePosixPath(name).name
    await session.copy_file_from_workspace(name, local)
    shell.display.note(f"{name} is in {local}")


async def _put(shell: Commanded, rest: str) -> None:
    source, target = _paths(rest, COMMANDS["put"])
    local = await _local(source)
    name = (target or (await anyio.Path(local).resolve()).name).removeprefix("/workspace/").rstrip("/")
    if await anyio.Path(local).is_dir():
        copied = await shell.sandbox.session.copy_directory_into_workspace(local, name)
        shell.display.note(f"{len(copied)} files are in /workspace/{name}")
    else:
        await shell.sandbox.session.copy_file_into_workspace(local, name)
        shell.display.note(f"{local} is /workspace/{name}")
    await shell.sandbox.look()


async def _reset(shell: Commanded, _rest: str) -> None:
    await shell.sandbox.reset()
    if shell.assistant is not None:
        shell.assistant.reset()
    shell.display.note("a new session: no files, no packages, nothing remembered")


async def _lang(shell: Commanded, rest: str) -> None:
    if not rest:
        marks = ((f"* {name}" if name == shell.language else f"  {name}") for name in LanguageRegistry.names())
        shell.display.say("\n".join(marks))
        return
    shell.language = LanguageRegistry.get(rest).language


async def _deps(shell: Commanded, rest: str) -> None:
    words, packages, language = rest.split(), shell.sandbox.packages, shell.language
    if words and words[0].endswith(":"):
        language = LanguageRegistry.get(words.pop(0)[:-1]).language
    if words == ["none"]:
        packages.pop(language, None)
    elif words:
        known = packages.setdefault(language, [])
        known.extend(word for word in words if word not in known)
    shell.display.say(f"{language}: {', '.join(packages.get(language, [])) or 'no packages'}")


async def _model(shell: Commanded, rest: str) -> None:
    if rest:
        await shell.use_model(None if rest in {"none", "off"} else rest)
    shell.display.say("no model" if shell.assistant is None else shell.assistant.name)


async def _mend(shell: Commanded, rest: str) -> None:
    if rest not in {"", "on", "off"}:
        raise ConfigurationError("/mend", rest, "is not known", hint="give on or off")
    shell.mends = rest == "on" if rest else not shell.mends
    shell.display.say(f"mending is {'on' if shell.mends else 'off'}")


async def _history(shell: Commanded, rest: str) -> None:
    entries = search_history(shell.history, rest, most=_ENTRIES)
    shell.display.say("\n".join(one_line(entry) for entry in entries) or "nothing")


async def _quit(shell: Commanded, _rest: str) -> None:
    shell.leaving = True


async def _local(path: str) -> Path:
    return Path(await anyio.Path(path).expanduser())


def _paths(rest: str, command: Command) -> tuple[str, str]:
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise ConfigurationError("paths", rest, f"cannot be read: {error}") from error
    if not 1 <= len(words) <= 2:
        raise ConfigurationError("paths", rest, "is not one path or two", hint=command.usage)
    return words[0], words[1] if len(words) > 1 else ""


COMMANDS: dict[str, Command] = {
    "help": Command("/help", "this", _help),
    "info": Command("/info", "the session, its containers and limits", _info),
    "files": Command("/files [PATTERN]", "the files in the workspace", _files, "files"),
    "get": Command("/get PATH [LOCAL]", "copy a file or directory to this machine", _get, "files"),
    "put": Command("/put LOCAL [PATH]", "copy a file or directory into the workspace", _put, "paths"),
    "lang": Command("/lang [NAME]", "the language of code without a mark", _lang, "languages"),
    "deps": Command("/deps [bash:] [PACKAGE ...]", "what the language's programs find installed; none", _deps),
    "model": Command("/model [NAME]", "the model that plain language goes to, such as openai:gpt-5; none", _model),
    "mend": Command("/mend [on|off]", "whether the model looks into your own programs that fail", _mend),
    "history": Command("/history [TEXT]", "what was typed, with that text in it", _history),
    "reset": Command("/reset", "begin anew: an empty workspace, fresh containers", _reset),
    "quit": Command("/quit", "leave", _quit),
}
_SHORT = {"exit": "quit", "q": "quit", "h": "help", "?": "help", "ls": "files", "language": "lang"}
