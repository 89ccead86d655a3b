"""From a language, code and options to a job: what to write, what to start, and with which variables."""

from __future__ import annotations

import codecs
import math
import re
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.checks import as_bytes
from interpreter_tools._config.paths import WORKSPACE, check_path
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages.compilation import Compilation, plan_compilation
from interpreter_tools._languages.first_line import command_of_first_line, without_first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools._config.options import Resolved, RunApp
    from interpreter_tools._languages.config import LanguageConfig

PRELOAD = "INTERPRETER_TOOLS_PRELOAD"
"""The variable that names the modules which an interpreter imports before it waits for code."""

BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp/home",  # noqa: S108 - inside the sandbox
    "TMPDIR": "/tmp",  # noqa: S108
    "USER": "sandbox",
    "LOGNAME": "sandbox",
}

_DECLARED = re.compile(rb"\A((?:[ \t\f]*(?:#[^\n]*)?\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*)([-\w.]+)")
_WITH_TOOL = "interpreter-tools-tool"  # starts a program with the command `tool` in its PATH: supervisor/tool.c

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "GOMAXPROCS",
)
"""Variables by which libraries choose their number of threads; without them it is that of the host's cores."""

_OFFLINE = {
    "PIP_RETRIES": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "UV_OFFLINE": "1",
    "npm_config_fetch_retries": "0",
    "npm_config_audit": "false",
    "npm_config_update_notifier": "false",
}
"""Variables of runs without a network: installers fail at once, and do not try again for seconds."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the dependency store that a run needs.

    Attributes:
        key: its name.
        target: its path in the sandbox.
        link: a name in the workspace that leads to it while the run lasts; empty means none.
        path: where in the entry the link leads.
    """

    key: str
    target: str
    link: str = ""
    path: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that the supervisor is told about one run.

    Attributes:
        argv: the program and its arguments; for a booted interpreter the code file.
        booted: the run goes to the interpreter booted ahead.
        environment: the program's variables, all of them.
        files: contents by path below the workspace.
        code_path: the name of the code's file; a file of that name in the workspace stays as it is.
        code: the code; None where an app is run.
        directory: where the program starts.
        timeout: seconds; None means no limit.
        output_limit: bytes; None means no limit.
        merge_output: stderr goes where stdout goes.
        need: what of the dependency store the program uses.
        compilation: what compiles the program first; None where it is run as it is.
    """

    argv: tuple[str, ...]
    booted: bool
    environment: dict[str, str]
    files: dict[bytes, bytes]
    code_path: bytes = b""
    code: bytes | None = None
    directory: str
    timeout: float | None
    output_limit: int | None
    merge_output: bool = False
    need: Need | None = None
    compilation: Compilation | None = None


def boot_environment(
    language: LanguageConfig, image_environment: Mapping[str, str], container: ContainerConfig
) -> dict[str, str]:
    """Return the variables that an interpreter is booted with; none where nothing is booted.

    Args:
        language: the language of the interpreter.
        image_environment: the image's variables.
        container: the configuration of the container.
    """
    if language.boot is None:
        return {}
    modules = {PRELOAD: " ".join(container.preload)} if container.preload and language.boot.preloads else {}
    return {**_environment(language, image_environment, container), **language.boot.environment, **modules}


def _environment(
    language: LanguageConfig, image_environment: Mapping[str, str], container: ContainerConfig
) -> dict[str, str]:
    """Return the variables that each run of a language starts from."""
    threads = {} if container.cpus is None else dict.fromkeys(_THREADS, str(max(1, math.ceil(container.cpus))))
    installers = _OFFLINE if container.network == "none" else {}
    return {**BASE_ENVIRONMENT, **threads, **installers, **image_environment, **language.environment}


def encode_code(code: str | bytes) -> bytes:
    """Return the bytes of a code file, without a byte order mark; where most lines end in CRLF, all end in LF.

    Some interpreters take neither: bash reads the first as part of a command, the second as part of each line. A text
    is written as UTF-8, so a first line that declares another encoding (PEP 263) is made to say that.

    Raises:
        ConfigurationError: it is neither text nor bytes, or holds a lone surrogate, which no encoding can express.
    """
    if isinstance(code, (bytes, bytearray, memoryview)):
        return _plain_text(bytes(code))
    if not isinstance(code, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("code", code, "is not a program", hint="give it as a text, or as bytes")
    try:
        return _DECLARED.sub(_declare_utf_8, _plain_text(code.encode("utf-8")), count=1)
    except UnicodeEncodeError as error:
        found = code[error.start : error.end]
        raise ConfigurationError("code", found, f"at character {error.start} is a lone surrogate") from None


def _declare_utf_8(match: re.Match[bytes]) -> bytes:
    return match[0] if match[2].lower().startswith((b"utf-8", b"utf8", b"utf_8")) else match[1] + b"utf-8"


def as_utf_8(code: bytes) -> bytes:
    """Return a file's text as UTF-8, where it is the UTF-16 of editors and shells of Windows."""
    is_utf_16 = code.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return code.decode("utf-16", "replace").encode() if is_utf_16 else code


def _plain_text(code: bytes) -> bytes:
    code = as_utf_8(code).removeprefix(codecs.BOM_UTF8)
    if b"\r\n" in code and 2 * code.count(b"\r\n") >= code.count(b"\n"):
        return code.replace(b"\r\n", b"\n")
    return code


def job_files(files: Mapping[str, str | bytes]) -> dict[bytes, bytes]:
    """Return the contents of a run's files by path below the workspace.

    Raises:
        InvalidPath: a file's path does not lie beneath the workspace.
        ConfigurationError: a file holds neither text nor bytes.
    """
    return {check_path(name): as_bytes(data, field=f"files.{name}") for name, data in files.items()}


def job_code(code: str | bytes, *, run_app: RunApp | None = None) -> bytes | None:
    """Return the bytes of a run's code; None where an app is run.

    Raises:
        ConfigurationError: the code cannot be written, or both code and an app are to be run.
    """
    if run_app is None:
        return encode_code(code)
    if code:
        raise ConfigurationError("code", "...", "is given beside run_app", hint="leave the code empty")
    return None


def plan(
    language: LanguageConfig,
    code: bytes | None,
    files: dict[bytes, bytes],
    options: Resolved,
    *,
    image_environment: Mapping[str, str],
    need: Need | None = None,
) -> Job:
    """Return the job that runs the code, or an app.

    Args:
        language: the language of the code.
        code: the code; None where an app is run.
        files: the files that the run brings, by path below the workspace.
        options: the options of the run.
        image_environment: the image's variables.
        need: what of the dependency store the program uses.
    """
    run_app = options.run_app
    code_file = f"{WORKSPACE}/{language.code_filename}" if run_app is None else run_app.path
    variables = {**_environment(language, image_environment, options.container), **options.environment}
    booted = language.boot is not None and _fixed(language, variables) == _fixed(
        language, boot_environment(language, image_environment, options.container)
    )
    if need is not None and language.dependencies is not None:  # what is booted learns of these when the run begins
        variables = language.dependencies.visible(variables, need.target)
    if code is not None and language.opening is not None:
        code = language.opening.complete(code)
    compilation, made = None, ""
    text = files.get(_below_workspace(code_file), b"") if code is None else code
    first_line = command_of_first_line(language, text)
    if first_line is not None:
        booted, command = False, (*first_line, code_file)
    elif booted:
        command = (code_file,)
    else:
        if language.compile is not None:
            code = None if code is None else without_first_line(code)
            compilation, made = plan_compilation(
                language.compile, code, file=code_file, environment=variables, timeout=options.compile_timeout
            )
        command = tuple(word.replace("{file}", code_file).replace("{directory}", made) for word in language.run_command)
    if options.tools and not booted:  # a program that was booted has a module for that
        command = (_WITH_TOOL, *command)
    return Job(
        argv=(*command, *options.args),
        booted=booted,
        environment=variables,
        files=files,
        code_path=language.code_filename.encode(),
        code=code,
        directory=options.container.working_dir if run_app is None else run_app.directory,
        timeout=options.timeout,
        output_limit=options.output_limit,
        merge_output=options.merge_output,
        need=need,
        compilation=compilation,
    )


def _below_workspace(path: str) -> bytes:
    return path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape")


def _fixed(language: LanguageConfig, variables: Mapping[str, str]) -> dict[str, str]:
    prefixes = language.boot.fixed_variables if language.boot else ()
    return {name: value for name, value in variables.items() if name.startswith(prefixes)} if prefixes else {}
