"""The tool's arguments, and the reading of what models write for them."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, cast

import msgspec

from interpreter_tools._exceptions import ConfigurationError, InvalidArguments, UnknownLanguage
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._languages.first_line import program_of_first_line
from interpreter_tools._languages.magics import read_installs
from interpreter_tools._text import one_line
from interpreter_tools.tool._repair import block_in_prose, repair, without_notebook_lines
from interpreter_tools.tool._texts import (
    is_command,
    is_null,
    is_texts,
    join_lines,
    read_json,
    read_seconds,
    split_requirements,
    unfence,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from interpreter_tools.tool._options import ToolOptions

_WRAPPERS = frozenset({"arguments", "args", "parameters", "params", "input", "kwargs", "function", "tool_call"})
_ENVELOPE = frozenset({"id", "call_id", "type", "name", "tool", "tool_name"})  # what stands beside them in whole calls
_FIELDS = {  # other names by which models call the fields
    **dict.fromkeys(("lang", "programming_language", "runtime"), "language"),
    **dict.fromkeys(("source", "source_code", "script", "program", "content", "code_block", "snippet"), "code"),
    **dict.fromkeys(("cmd", "command", "commands", "bash_command"), "code"),
    **dict.fromkeys(("deps", "packages", "requirements", "libraries"), "dependencies"),
    **dict.fromkeys(("timeout_seconds", "time_limit"), "timeout"),
    **dict.fromkeys(("input", "standard_input"), "stdin"),
    **dict.fromkeys(("system_packages", "apt_packages", "apt_dependencies", "apt"), "system_dependencies"),
    **dict.fromkeys(("merge_stderr", "merge_streams", "combine_output"), "merge_output"),
    **dict.fromkeys(("argv", "arguments", "program_args", "command_line_arguments"), "args"),
}
_LANGUAGES = {  # words after a fence that are no name or alias of a registered language
    **dict.fromkeys(("ipython", "py3", "pycon"), "python"),
    **dict.fromkeys(("nodejs", "node.js", "mjs", "cjs", "ecmascript"), "javascript"),
    **dict.fromkeys(("shell-session", "console", "zsh", "shellscript", "posix"), "shell"),
    **dict.fromkeys(("mts", "cts"), "typescript"),
}

_COMMANDS = frozenset({"cmd", "command", "commands", "bash_command"})  # in which a program is one for a shell
_SAME = ({"shell", "bash"}, {"javascript", "typescript"})  # languages whose fences are taken for one another's

_WORDS = re.compile(r"[\s(,/]+")
_HAVE_IMAGES = frozenset({"python", "javascript", "typescript", "shell", "bash"})
_VERSIONS = {"pip": "==", "npm": "@"}  # what stands between a package's name and its version


class ToolArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a call of the tool. Models read the descriptions of the fields.

    Attributes:
        language: a name from the registry.
        code: the program.
        dependencies: packages to install first.
        timeout: seconds of run time; None means the tool's limit.
        stdin: the text of the program's standard input.
        args: the program's arguments.
        system_dependencies: packages of the distribution to install first; None brings those that packages are known to
            need.
        merge_output: True sends stderr where stdout goes, in the order of writing.
    """

    language: Annotated[str, msgspec.Meta(description="The language of the program.")]
    code: Annotated[
        str,
        msgspec.Meta(description="The complete program, as it would stand in a file. Print what you want to know."),
    ]
    dependencies: Annotated[
        list[str] | None,
        msgspec.Meta(description="Packages to install first, as the language's package manager names them."),
    ] = None
    timeout: Annotated[float | None, msgspec.Meta(description="Seconds the program may run.")] = None
    stdin: Annotated[str | None, msgspec.Meta(description="Text for the program's standard input.")] = None
    args: Annotated[
        list[str] | None, msgspec.Meta(description="Arguments of the program, as a command line would give them.")
    ] = None
    system_dependencies: Annotated[
        list[str] | None,
        msgspec.Meta(description="Programs and libraries to install first, as Debian names their packages."),
    ] = None
    merge_output: Annotated[
        bool | None, msgspec.Meta(description="True puts stderr between stdout, in the order of writing.")
    ] = None


_NAMES = ToolArguments.__struct_fields__


@contextlib.contextmanager
def blame_arguments() -> Generator[None]:
    """Turn errors of the engine about an argument into ``InvalidArguments``."""
    try:
        yield
    except ConfigurationError as error:
        field = re.split(r"\W", error.field, maxsplit=1)[0]
        if field not in _NAMES:
            raise
        raise InvalidArguments(error.field, error.value, error.reason, hint=error.hint) from error


def read_arguments(given: object, options: ToolOptions, more: Mapping[str, object]) -> ToolArguments:
    """Read the arguments from an object, JSON text, or a fenced program, as far as the meaning is plain.

    Args:
        given: the arguments from a model; None when all of them are in ``more``.
        options: the options of the tool.
        more: arguments by name, which override the others.

    Raises:
        InvalidArguments: the meaning is not plain, or is not allowed; the error tells a model the way out.
    """
    return _understand(given, options, more)[0]


def read_call(
    given: object, options: ToolOptions, more: Mapping[str, object], *, is_cell: bool = False
) -> tuple[ToolArguments, tuple[str, ...]]:
    """Read the arguments with the program as it was meant, and return sentences about the changes for the model.

    Args:
        given: as above.
        options: as above.
        more: as above.
        is_cell: True when the program is a cell of a context, as all are of a tool with ``stateful``.

    Raises:
        InvalidArguments: as above.
    """
    arguments, notes = _understand(given, options, more)
    if not (is_cell or options.stateful):
        arguments, notes = _as_program(arguments, options, notes)
    code, said = repair(arguments.code, arguments.language)
    if said:
        arguments, notes = msgspec.structs.replace(arguments, code=code), (*notes, said)
    language = _language_of_first_line(arguments, options.allowed_languages())
    if language is not None:
        note = f"Its first line asks for it, so it was run as {language}, not as {arguments.language}."
        arguments, notes = msgspec.structs.replace(arguments, language=language), (*notes, note)
    return arguments, notes


def _as_program(
    arguments: ToolArguments, options: ToolOptions, notes: tuple[str, ...]
) -> tuple[ToolArguments, tuple[str, ...]]:
    """Take the lines that are for notebooks out of a program, and what they install for its packages."""
    plain = without_notebook_lines(arguments.code, arguments.language)
    if plain is None:
        return arguments, notes
    asked = read_installs("pip", arguments.code, hosts=frozenset())
    if asked.notes or (asked.packages and not options.dependencies):
        return arguments, notes  # it fails, and is told why
    wanted = list(dict.fromkeys([*(arguments.dependencies or ()), *asked.packages]))
    said = "Lines that are for notebooks were left out"
    said += ", and their packages are among the dependencies." if asked.packages else "."
    return msgspec.structs.replace(arguments, code=plain, dependencies=wanted or None), (*notes, said)


def _language_of_first_line(arguments: ToolArguments, allowed: Sequence[str]) -> str | None:
    """Return the language whose interpreter a program's first line names; None where it is that of the call.

    The image of one language rarely has the interpreter of another. Of these languages set-up makes the images unasked.
    """
    program = program_of_first_line(arguments.code.partition("\n")[0].encode("utf-8", "replace"))
    own = LanguageRegistry.get(arguments.language)
    if program is None or own.is_run_by(program):
        return None
    named = LanguageRegistry.run_by(program)
    found = own.language if named is None else named.language
    same = found == own.language or any({found, own.language} <= pair for pair in _SAME)
    return None if same or found not in allowed or found not in _HAVE_IMAGES else found


def _understand(
    given: object, options: ToolOptions, more: Mapping[str, object]
) -> tuple[ToolArguments, tuple[str, ...]]:
    if isinstance(given, ToolArguments):
        given = msgspec.structs.asdict(given)
    fields, ignored = ({}, []) if given is None and more else _named(_as_object(given), _NAMES)
    others, also_ignored = _named(dict(more), _NAMES)
    fields.update(others)
    notes = [_ignored((*ignored, *also_ignored), _NAMES)] if ignored or also_ignored else []
    allowed = options.allowed_languages()
    code, fence = _code(fields.get("code"), (*ignored, *also_ignored))
    named = fields.get("language")
    if is_null(named) and fence is None and _COMMANDS & set(_names_of(given, more)):
        named = "shell" if "shell" in allowed else named
    language = _language(named, fence, allowed)
    _check_fence(fence, language)
    arguments = ToolArguments(
        language=language,
        code=code,
        dependencies=_dependencies(fields.get("dependencies"), language) or None,
        timeout=_timeout(fields.get("timeout"), options.timeout),
        stdin=_stdin(fields.get("stdin")),
        args=_args(fields.get("args")) or None,
        system_dependencies=_packages(fields.get("system_dependencies"), "system_dependencies") or None,
        merge_output=_truth(fields.get("merge_output"), "merge_output"),
    )
    return arguments, tuple(notes)


def _names_of(given: object, more: Mapping[str, object]) -> set[str]:
    """Return the names that a call's arguments came with."""
    inside = set[str]() if given is None else {name.strip().lower() for name in _as_object(given)}
    return inside | {name.lower() for name in more}


def _ignored(names: Sequence[str], known: Sequence[str]) -> str:
    """Return a sentence about arguments that do not exist."""
    shown = _list([one_line(name)[:64] for name in names[:8]])
    meant = [close[0] for name in names if (close := difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75))]
    guess = f" Did you mean {_list(meant)}?" if meant else ""
    return f"Ignored, as there is no such argument: {shown}.{guess}"


def _check_fence(fence: str | None, language: str) -> None:
    """Refuse a program whose own mark names another language than the call."""
    if fence is None:
        return
    try:
        found = LanguageRegistry.get(_LANGUAGES.get(fence, fence)).language
    except UnknownLanguage:
        return  # "text", "output": no language
    if found != language and not any({found, language} <= same for same in _SAME):
        hint = f'give language="{found}" if that is what the program is in, or leave the fence out'
        raise InvalidArguments("language", language, f"is not that of the code, whose fence says {found!r}", hint=hint)


def read_fields(given: object, *, beside: Sequence[str] = ()) -> dict[str, object]:
    """Return the arguments by the names of the fields, with their values unchanged; null values are left out.

    Args:
        given: the arguments from a model.
        beside: names of further fields, which the caller reads.

    Raises:
        InvalidArguments: the arguments are no object, or one field is given twice.
    """
    return _named(_as_object(given), (*_NAMES, *beside))[0]


def ignored_fields(given: object, *, beside: Sequence[str] = ()) -> str:
    """Return a sentence about arguments that do not exist and are ignored; empty when there are none."""
    names = (*_NAMES, *beside)
    ignored = _named(_as_object(given), names)[1]
    return _ignored(ignored, names) if ignored else ""


def _as_object(given: object) -> dict[str, object]:
    """Return the arguments by the names that the model wrote."""
    value = given
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        value = _from_text(value)
    if not isinstance(value, Mapping):
        raise InvalidArguments("", value, "is not an object", hint=f"give an object with the fields {_list(_NAMES)}")
    fields = {str(name): item for name, item in cast("Mapping[object, object]", value).items()}
    inside = {name: item for name, item in fields.items() if name.strip().lower() not in _ENVELOPE}
    if len(inside) == 1:
        ((name, inner),) = inside.items()
        if name.strip().lower() in _WRAPPERS and isinstance(inner, (Mapping, str)):
            return _as_object(cast("object", inner))
    return fields


def _from_text(text: str) -> object:
    language, code = unfence(text)
    if language not in {None, "json", "json5", "jsonc"}:
        return {"language": language, "code": code}
    try:
        return read_json(text)
    except ValueError as error:
        if (block := block_in_prose(text)) is not None and block[0] not in {"", "json", "json5", "jsonc"}:
            return {"language": block[0], "code": block[1]}
        hint = 'give one JSON object, such as {"language": "python", "code": "print(1)"}'
        raise InvalidArguments("", text, f"is not JSON: {error}", hint=hint) from None


def _named(given: dict[str, object], names: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """Return the arguments by the names of the fields, and the names that are no field."""
    fields: dict[str, object] = {}
    ignored: list[str] = []
    for name, value in given.items():
        plain = name.strip().lower().replace("-", "_").replace(" ", "_")
        field = plain if plain in names else _FIELDS.get(plain)
        if value is None:
            continue
        if field is None:
            ignored.append(name)
            continue
        if field in fields:
            raise InvalidArguments(field, value, "is given twice", hint=f"give {field} once")
        fields[field] = value
    return fields, ignored


def _code(given: object, ignored: Sequence[str] = ()) -> tuple[str, str | None]:
    """Return the program, and the language that its fence names."""
    if is_texts(given):
        given = join_lines(given)
    if given is None:
        others = f", not in {_list([one_line(name) for name in ignored])}" if ignored else ""
        raise InvalidArguments("code", given, "is missing", hint=f"give the complete program as one text{others}")
    if not isinstance(given, str):
        raise InvalidArguments("code", given, "is not a text", hint="give the complete program as one text")
    fence, code = unfence(given)
    if fence is None and code == given and (block := block_in_prose(given)) is not None:
        fence, code = block[0] or None, block[1]
    if not code.strip():
        raise InvalidArguments("code", given, "is empty", hint="give the complete program as one text")
    return code, fence


def _language(given: object, fence: str | None, allowed: Sequence[str]) -> str:
    hint = f"use one of: {_list(allowed)}"
    if is_texts(given) and len(given) == 1:
        (given,) = given
    if is_null(given):
        given = fence or (allowed[0] if len(allowed) == 1 else None)
    if given is None:
        raise InvalidArguments("language", given, "is missing", hint=hint)
    if not isinstance(given, str):
        raise InvalidArguments("language", given, "is not a text", hint=hint)
    name = given.strip().lower()
    first = _WORDS.split(name)[0]  # of "python script", or "JavaScript (Node.js)"
    for candidate in (name, _LANGUAGES.get(name), name.rstrip("0123456789. "), first, first.rstrip("0123456789.")):
        if not candidate:
            continue
        try:
            language = LanguageRegistry.get(candidate).language
        except UnknownLanguage:
            continue
        if language in allowed:
            return language
        break
    raise InvalidArguments("language", given, "is not available", hint=hint)


def _dependencies(given: object, language: str) -> list[str]:
    if isinstance(given, Mapping):
        given = _versions(cast("Mapping[object, object]", given), language)
    return _packages(given, "dependencies")


def _packages(given: object, field: str) -> list[str]:
    """Return the names of packages from a list, or from one text in the form of a command line."""
    if isinstance(given, str) and given.lstrip().startswith("["):
        with contextlib.suppress(ValueError):  # then it is not JSON, and whoever installs it refuses the name
            given = read_json(given)
    if isinstance(given, str):
        given = split_requirements(given)
    if given is None or given is False:
        return []
    if isinstance(given, Sequence):
        given = [item for item in cast("Sequence[object]", given) if not is_null(item)]
    if not is_texts(given):
        hint = 'give a list of texts, such as ["numpy", "pandas"]'
        raise InvalidArguments(field, given, "is not a list of packages", hint=hint)
    names = [name for item in given for name in (split_requirements(item) if is_command(item) else [item.strip()])]
    return list(dict.fromkeys(names))


def _truth(given: object, field: str) -> bool | None:
    if given is None or isinstance(given, bool):
        return given
    words = {"true": True, "false": False, "": None, "null": None, "none": None}
    if isinstance(given, str) and given.strip().lower() in words:
        return words[given.strip().lower()]
    raise InvalidArguments(field, given, "is neither true nor false", hint="give true, or leave it out")


def _versions(given: Mapping[object, object], language: str) -> object:
    """Return packages with versions, as in a package.json, as one text each; unchanged if the meaning is not plain."""
    plan = LanguageRegistry.get(language).dependencies
    between = _VERSIONS.get("" if plan is None else plan.kind)
    if between is None or not is_texts([*given, *given.values()]):
        return given or None
    pairs = cast("Mapping[str, str]", given).items()
    return [
        name
        if is_null(version) or version in {"*", "latest"}
        else f"{name}{'' if between == '==' and version.startswith(tuple('<>=!~')) else between}{version}"
        for name, version in pairs
    ]


def _timeout(given: object, limit: float | None) -> float | None:
    if is_null(given):
        given = None
    seconds = read_seconds(given) if isinstance(given, str) else given
    if given is None:
        return limit
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 40 * 86400:
        most = "" if limit is None else f", at most {limit:g}"
        raise InvalidArguments("timeout", given, "is not a time in seconds", hint=f"give a number above 0{most}")
    return float(seconds) if limit is None else min(float(seconds), limit)


def _stdin(given: object) -> str | None:
    if is_texts(given):
        return join_lines(given)
    if isinstance(given, (dict, list)) or type(given) in {int, float}:  # the program is to read it as JSON
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            return json.dumps(given, ensure_ascii=False)
    if given is None or isinstance(given, str):
        return given
    raise InvalidArguments("stdin", cast("object", given), "is not a text", hint="give one text, or leave it out")


def _args(given: object) -> list[str]:
    """Return the program's arguments from a list, or from one text in the form of a command line."""
    if isinstance(given, str) and given.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            given = read_json(given)
    if isinstance(given, str):
        try:
            return shlex.split(given)
        except ValueError:
            return [given]
    if is_null(given):
        return []
    if isinstance(given, Mapping):  # {"--name": "x"}
        pairs = cast("Mapping[object, object]", given).items()
        given = [text for name, value in pairs for text in ((name,) if is_null(value) else (name, value))]
    if isinstance(given, Sequence):
        items = list(cast("Sequence[object]", given))
        plain = [str(item) if type(item) in {int, float} else item for item in items]
        if is_texts(plain):
            return list(plain)
    hint = 'give a list of texts, such as ["--name", "x"]'
    raise InvalidArguments("args", cast("object", given), "is not a list of arguments", hint=hint)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
