"""What a model should do after a run that failed, in a sentence or two."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreter_tools._config.results import ExecutionResult

_LOOKED_AT = 8192  # characters at the end of stderr in which the cause is looked for
_NAME = r"[A-Za-z0-9_@][A-Za-z0-9_.@/+-]{0,100}"

# Packages of Python whose name is not that of the module: the ones that models import most.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "gitpython",
    "jwt": "pyjwt",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pptx": "python-pptx",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
_PYTHON = re.compile(rf"ModuleNotFoundError: No module named '({_NAME})'")
_NODE = re.compile(r"Cannot find (?:module|package) '([^'\n]{1,200})'")
_SHELL = re.compile(rf"(?:^|: )({_NAME}): (?:command )?not found$", re.MULTILINE)
_RUBY = re.compile(rf"cannot load such file -- ({_NAME}) \(LoadError\)")
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|getaddrinfo|EAI_AGAIN|Could not resolve host"
    r"|Network is unreachable|ENETUNREACH|bad address"
)
_MEMORY = "It needed more memory than it may use: handle the data in smaller pieces, or keep less of it."
_CAUSES = (  # what stderr says, in one of these languages, or in any; and what is to be done about it
    ("", r"EOFError: EOF when reading a line", "It read more standard input than it was given: pass it as stdin."),
    ("", r"No space left on device|ENOSPC", "Its disk is full: write less, or remove files that are not needed."),
    ("", r"^MemoryError|Reached heap limit|JavaScript heap out of memory", _MEMORY),
    (
        "python",
        r"^ *[!%]\w[^\n]*\n[^\n]*\nSyntaxError",
        "It is no notebook: leave out lines with ! or %, and ask for packages with dependencies.",
    ),
    (
        "javascript",
        r"Cannot use import statement outside a module|Unexpected token 'export'",
        "JavaScript is read as CommonJS: use require() in place of import, and no export.",
    ),
    (
        "javascript",
        r"await is only valid in async functions",
        "JavaScript is read as CommonJS: put what awaits into an async function, and call that.",
    ),
    ("shell", r": \[\[: not found$", 'It is a program for bash: call again with language="bash".'),
    ("shell bash", r"dpkg frontend lock", "Programs cannot install packages: ask for them with dependencies."),
)
_CAUSES_READ = [(languages.split(), re.compile(text, re.MULTILINE), said) for languages, text, said in _CAUSES]
_ABSENT = re.compile(r"No such file or directory|ENOENT")


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was allowed to do.

    Attributes:
        language: what it was written in.
        timeout: the seconds it was given; None: no limit.
        longest: the most seconds it could have asked for; None: no limit.
        dependencies: whether packages may be asked for, and which it asked for.
        networked: whether it had a network.
        keeps_files: files of earlier runs are there for later ones.
        keeping: how its files could have been kept; empty where they are kept, or cannot be.
    """

    language: str
    timeout: float | None = None
    longest: float | None = None
    dependencies: tuple[str, ...] | None = ()
    networked: bool = False
    keeps_files: bool = True
    keeping: str = ""


def advice(result: ExecutionResult, run: Circumstances) -> list[str]:
    """What to do next, best first; nothing for a run that went well."""
    if result.outcome == "error":
        return [*_causes(result, result.stderr[-_LOOKED_AT:], run), *_losses(result, run)]
    said = {
        "timeout": _slow(run),
        "oom": _MEMORY,
        "output_limit": "It wrote more than may be written: print a summary, and write the rest to a file.",
        "killed": "It was stopped from outside before it had ended; this is not the program's fault.",
        "dependency_error": "The dependencies could not be installed, so the program did not run: "
        "check their names and versions, or do without them.",
        "compile_error": "The program was not compiled, so it did not run: correct what the compiler names.",
    }.get(result.outcome)
    return [*([said] if said else []), *_losses(result, run)]


def missing_package(result: ExecutionResult, language: str) -> str | None:
    """The package that a program failed for; None where it was not that."""
    found = _missing(result.stderr[-_LOOKED_AT:], language) if result.outcome == "error" else None
    return None if found is None or found.endswith(".") else found


def _slow(run: Circumstances) -> str:
    text = "It ran too long and was stopped; what it had written by then is kept. "
    if run.timeout is not None:
        text = f"It did not end within {run.timeout:g} s and was stopped; what it had written by then is kept. "
    if run.timeout is None or (run.longest is not None and run.timeout >= run.longest):
        return text + "No more time can be given: do less, or do it faster."
    most = "" if run.longest is None else f" (at most {run.longest:g})"
    return text + f"Do less, or give a larger timeout{most}."


def _causes(result: ExecutionResult, stderr: str, run: Circumstances) -> Iterator[str]:
    if result.signal is not None:
        try:
            name = signal.Signals(result.signal).name
        except ValueError:
            name = "unknown"
        yield f"It was ended by signal {result.signal} ({name})."
    missing = _missing(stderr, run.language)
    if missing is not None:
        yield missing if missing.endswith(".") else _install(missing, run)
    if not run.networked and _NETWORK.search(stderr):
        yield "The sandbox has no network: do without it."
    for languages, pattern, said in _CAUSES_READ:
        if (not languages or run.language in languages) and pattern.search(stderr):
            yield said
    if not run.keeps_files and _ABSENT.search(stderr):
        how = f", or, {run.keeping}" if run.keeping else ""
        yield f"Files of earlier calls are gone: write what it reads in the same program{how}."


def _losses(result: ExecutionResult, run: Circumstances) -> Iterator[str]:
    """What nobody will see, unless something is done about it."""
    if result.generated_files and run.keeping:
        yield f"Its files are gone with its sandbox: {run.keeping}."
    if result.outcome not in {"dependency_error", "compile_error"} and not (
        result.stdout.strip() or result.stderr.strip()
    ):
        nothing = result.outcome == "ok" and not result.generated_files
        yield "It printed nothing: print the values that you want to know." if nothing else "It printed nothing."


def _missing(stderr: str, language: str) -> str | None:
    """The package that is not there; or a sentence, ending in a full stop, where no package would help."""
    if match := _last(_PYTHON, stderr):
        return _python_package(match)
    if match := _last(_NODE, stderr):
        if match.startswith((".", "/", "file:")):
            return "It loads a file that is not there: put everything into one program, or write the file first."
        return "/".join(match.split("/")[: 2 if match.startswith("@") else 1])
    if match := _last(_RUBY, stderr):
        return match.partition("/")[0]
    return _last(_SHELL, stderr) if language in {"shell", "bash"} else None


def _python_package(name: str) -> str:
    module = name.partition(".")[0]
    if module in sys.stdlib_module_names:
        return f"There is no module {name!r} in this version of Python."
    return _PACKAGES.get(module, module)


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None


def _install(package: str, run: Circumstances) -> str:
    if run.dependencies is None:
        return f"{package!r} is not there and cannot be installed: do without it."
    if package in run.dependencies:
        return f"{package!r} was installed but does not provide that: ask for another package, or do without it."
    wanted = ", ".join(f'"{name}"' for name in (*run.dependencies, package))
    return f"{package!r} is not there: call again with dependencies=[{wanted}]."
