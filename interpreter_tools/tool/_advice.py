"""Advice to a model after a failed run, in a sentence or two."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools.tool._programs import INSTEAD, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreter_tools._config.results import ExecutionResult

_LOOKED_AT = 8192  # characters at the end of stderr in which the cause is looked for
_NAME = r"[A-Za-z0-9_@][A-Za-z0-9_.@/+-]{0,100}"

# Python packages whose name differs from that of their module: the ones that models import most.
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
_PACKAGE = re.compile(r"(?:node:)?@?[A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~/-]+)?")
_RUBY = re.compile(rf"cannot load such file -- ({_NAME}) \(LoadError\)")
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|getaddrinfo|EAI_AGAIN|Could not resolve host"
    r"|Network is unreachable|ENETUNREACH|bad address|unable to resolve host address|Failed to connect to"
)
_NO_NETWORK = "The sandbox has no network: do without it."
_FETCHES = re.compile(r"^[^#\n]*\b(?:curl|wget)\s", re.MULTILINE)  # with -s or -q they say nothing of a failure
_FETCH_FAILED = frozenset({4, 6, 7, 28})  # of wget: network; of curl: host, connection, time
_MEMORY = "It needed more memory than it may use: handle the data in smaller pieces, or keep less of it."
_STDIN = "It read more standard input than it was given: pass it as stdin."
_DISK = "Its disk is full: write less, or remove files that are not needed."
_PYTHON_NAMES = {  # modules by the names that programs give them
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "sns": "import seaborn as sns",
    "tf": "import tensorflow as tf",
    "nx": "import networkx as nx",
    "sp": "import sympy as sp",
    "px": "import plotly.express as px",
    "go": "import plotly.graph_objects as go",
    "dt": "import datetime as dt",
    "BeautifulSoup": "from bs4 import BeautifulSoup",
    "Path": "from pathlib import Path",
    "defaultdict": "from collections import defaultdict",
    "Counter": "from collections import Counter",
}
_ELSEWHERE = (
    r"(/mnt/data|/mnt/user-data|/home/(?:user|ubuntu|oai|jovyan|workdir)|/content|/kaggle/(?:input|working)|/root|/data|/app"
    r"|/Users/\w+|[A-Z]:[\\/]+Users)"
)
_REFUSED = r"(?:No such file or directory|ENOENT|cannot access|[Pp]ermission denied|EACCES|Read-only file system|EROFS)"
_FOREIGN = re.compile(rf"{_REFUSED}[^\n]*?{_ELSEWHERE}|{_ELSEWHERE}[^\n]*?{_REFUSED}")
_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
_PROGRAM = re.compile(
    r"_execute_child\n[\s\S]{0,400}No such file or directory: '([\w.+-]{1,100})'|spawn ([\w.+-]{1,100}) ENOENT"
)
_NAME_ERROR = re.compile(r"^NameError: name '(\w+)' is not defined", re.MULTILINE)
_REFERENCE_ERROR = re.compile(r"^ReferenceError: ([\w$]+) is not defined", re.MULTILINE)
_CAUSES = (  # a rule's name, the languages, what stderr says, and what is to be done about it
    (
        "stdin",
        "",
        r"EOFError: EOF when reading a line",
        "It read more standard input than it was given: pass it as stdin.",
    ),
    (
        "disk",
        "",
        r"No space left on device|ENOSPC",
        "Its disk is full: write less, or remove files that are not needed.",
    ),
    ("memory", "", r"^MemoryError|Reached heap limit|JavaScript heap out of memory", _MEMORY),
    (
        "notebook",
        "python",
        r"^ *[!%]\w[^\n]*\n[^\n]*\nSyntaxError",
        "It is no notebook: leave out lines with ! or %, and ask for packages with dependencies.",
    ),
    (
        "await",
        "python",
        r"SyntaxError: 'await' outside function",
        "It is a plain program: put what awaits into `async def main()`, and call `asyncio.run(main())`.",
    ),
    (
        "escaped",
        "python",
        r"SyntaxError: unexpected character after line continuation character",
        "Its line breaks came as the two characters \\n: give the program with real line breaks.",
    ),
    (
        "fences",
        "",
        r"^ *(?:```|~~~)[^\n]*\n[\s\S]{0,80}SyntaxError|```\w*: (?:command )?not found",
        "It holds marks of Markdown: give the program alone, without ``` and words around it.",
    ),
    (
        "characters",
        "",
        r"SyntaxError: invalid (?:non-printable )?character|SyntaxError: Invalid or unexpected token",
        "It holds characters that no program has, such as typographic quotes or non-breaking spaces: use plain ones.",
    ),
    (
        "locale",
        "",
        r"locale\.Error: unsupported locale setting",
        'The sandbox has only the locale C.UTF-8: format numbers and dates with the package "babel", or by hand.',
    ),
    (
        "pip",
        "",
        r"No module named pip\b|error: externally-managed-environment",
        "Programs cannot install packages: ask for them with dependencies.",
    ),
    (
        "import",
        "javascript",
        r"Cannot use import statement outside a module|Unexpected token 'export'",
        "JavaScript is read as CommonJS: use require() in place of import, and no export.",
    ),
    (
        "async",
        "javascript",
        r"await is only valid in async functions",
        "JavaScript is read as CommonJS: put what awaits into an async function, and call that.",
    ),
    ("bash", "shell", r": \[\[: not found$", 'It is a program for bash: call again with language="bash".'),
    ("apt", "shell bash", r"dpkg frontend lock", "Programs cannot install packages: ask for them with dependencies."),
)
_CAUSES_READ = [
    (name, languages.split(), re.compile(text, re.MULTILINE), said) for name, languages, text, said in _CAUSES
]
_ABSENT = re.compile(r"No such file or directory|ENOENT")
_SHOWS = re.compile(r"\bplt\.show\(|\.show\(\)|\.imshow\(")
_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".gif", ".webp", ".html")


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of a run, on which the advice depends.

    Attributes:
        language: the language of the program.
        timeout: seconds that it might take; None means no limit.
        longest: the most seconds that it could have asked for; None means no limit.
        dependencies: the packages that it asked for; None when no packages may be asked for.
        networked: True when it had a network.
        keeps_files: True when later runs see the files of earlier ones.
        keeping: the way to keep its files; empty when they are kept, or cannot be.
        code: the program.
        notes: sentences about the call, where its meaning was not plain.
    """

    language: str
    code: str = ""
    notes: tuple[str, ...] = ()
    timeout: float | None = None
    longest: float | None = None
    dependencies: tuple[str, ...] | None = ()
    networked: bool = False
    keeps_files: bool = True
    keeping: str = ""


def advice(result: ExecutionResult, run: Circumstances) -> list[str]:
    """Return the advice, the best first; none for a run that went well."""
    return [said for _, said in find_advice(result, run)]


def find_advice(result: ExecutionResult, run: Circumstances) -> list[tuple[str, str]]:
    """Return the advice, each sentence with the name of its rule."""
    notes = [("call", note) for note in run.notes]
    if result.outcome == "error":
        return [*_causes(result, result.stderr[-_LOOKED_AT:], run), *_losses(result, run), *notes]
    said = {
        "timeout": _slow(run),
        "oom": _MEMORY,
        "output_limit": "It wrote more than may be written: print a summary, and write the rest to a file.",
        "killed": "It was stopped from outside before it had ended; this is not the program's fault.",
        "dependency_error": "The dependencies could not be installed, so the program did not run: "
        "check their names and versions, or do without them.",
        "compile_error": "The program was not compiled, so it did not run: correct what the compiler names.",
    }.get(result.outcome)
    return [*([(result.outcome, said)] if said else []), *_losses(result, run), *notes]


def missing_package(result: ExecutionResult, language: str) -> str | None:
    """Return the missing package for which a program failed; None when the failure had another cause."""
    found = _missing(result.stderr[-_LOOKED_AT:], language) if result.outcome == "error" else None
    return None if found is None or found.endswith(".") else found


def missing_module(stderr: str) -> str | None:
    """Return the name of the module that a program could not import, as the program writes it."""
    text = stderr[-_LOOKED_AT:]
    return _last(_PYTHON, text) or _last(_NODE, text)


def _slow(run: Circumstances) -> str:
    text = "It ran too long and was stopped; what it had written by then is kept. "
    if run.timeout is not None:
        text = f"It did not end within {run.timeout:g} s and was stopped; what it had written by then is kept. "
    if run.timeout is None or (run.longest is not None and run.timeout >= run.longest):
        return text + "No more time can be given: do less, or do it faster."
    most = "" if run.longest is None else f" (at most {run.longest:g})"
    return text + f"Do less, or give a larger timeout{most}."


def _causes(result: ExecutionResult, stderr: str, run: Circumstances) -> Iterator[tuple[str, str]]:
    if result.signal is not None:
        yield "signal", _signal(result.signal)
    missing = _missing(stderr, run.language)
    if missing is not None:
        yield "package", missing if missing.endswith(".") else _install(missing, run)
    if not run.networked and (
        _NETWORK.search(stderr) or (result.exit_code in _FETCH_FAILED and _fetches(run) and not stderr.strip())
    ):
        yield "network", _NO_NETWORK
    for name, languages, pattern, said in _CAUSES_READ:
        if (not languages or run.language in languages) and pattern.search(stderr):
            yield name, said
    if (said := _undefined(stderr, run)) is not None:
        yield "name", said
    if missing is None:
        yield from _files_and_programs(stderr, run)


def _files_and_programs(stderr: str, run: Circumstances) -> Iterator[tuple[str, str]]:
    if library := _LIBRARY.search(stderr):
        yield "library", f"The image has no {library[1]}, a library of the system: use a package that does without it."
    elif program := _PROGRAM.search(stderr):
        name = program[1] or program[2]
        yield (
            "program",
            f"The sandbox has no program {name!r}: do without it, or use a package instead.",
        )
    elif foreign := _FOREIGN.search(stderr):
        path = foreign[1] or foreign[2]
        yield "foreign", f"There is no {path} here: the program starts in /workspace, so use paths relative to that."
    elif not run.keeps_files and _ABSENT.search(stderr):
        yield "files", _gone(run)


def _gone(run: Circumstances) -> str:
    how = f", or, {run.keeping}" if run.keeping else ""
    return f"Files of earlier calls are gone: write what it reads in the same program{how}."


def _fetches(run: Circumstances) -> bool:
    return run.language in {"shell", "bash"} and _FETCHES.search(run.code) is not None


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    more = " /dev/shm or a mapped file had no more room: share less memory." if name == "SIGBUS" else ""
    return f"It was ended by signal {number} ({name}).{more}"


def _undefined(stderr: str, run: Circumstances) -> str | None:
    """Return the advice about a name that a program uses and does not define."""
    name = _last(_NAME_ERROR, stderr) if run.language == "python" else _last(_REFERENCE_ERROR, stderr)
    if name is None:
        return None
    if run.language == "python" and (name in _PYTHON_NAMES or name in sys.stdlib_module_names):
        return f"An import is missing: `{_PYTHON_NAMES.get(name, f'import {name}')}`."
    return f"It does not define {name!r}; variables of earlier calls are gone: each call is a program of its own."


def _losses(result: ExecutionResult, run: Circumstances) -> Iterator[tuple[str, str]]:
    """Return the advice about output and files that will be lost."""
    if result.generated_files and run.keeping:
        yield "keeping", f"Its files are gone with its sandbox: {run.keeping}."
    made = bool(result.results) or any(name.lower().endswith(_PICTURES) for name in result.generated_files)
    if result.outcome == "ok" and not made and _SHOWS.search(run.code):
        yield "picture", "Nobody sees a window: save what it shows to a file, such as plt.savefig('plot.png')."
        return
    if result.outcome in {"dependency_error", "compile_error"} or result.stdout.strip() or result.stderr.strip():
        return
    if result.results:
        return
    if result.outcome == "ok" and not run.networked and _fetches(run):
        yield "network", _NO_NETWORK
    elif result.outcome != "error" or result.exit_code not in _FETCH_FAILED or not _fetches(run):
        nothing = result.outcome == "ok" and not result.generated_files
        said = "It printed nothing: print the values that you want to know." if nothing else "It printed nothing."
        yield "nothing", said


def _missing(stderr: str, language: str) -> str | None:
    """Return the missing package; or a sentence, ending in a full stop, when no package would help."""
    if match := _last(_PYTHON, stderr):
        return _python_package(match)
    if match := _last(_NODE, stderr):
        return _node_package(match)
    if match := _last(_RUBY, stderr):
        return match.partition("/")[0]
    program = _last(_SHELL, stderr) if language in {"shell", "bash"} else None
    if program is None or not program.strip("`[]"):
        return None
    instead = INSTEAD.get(program)
    return f"There is no {program!r}. {instead}" if instead else PACKAGES.get(program, program)


def _node_package(name: str) -> str:
    if name.startswith((".", "/", "file:")) or not _PACKAGE.fullmatch(name):
        return "It loads a file that is not there: put everything into one program, or write the file first."
    return "/".join(name.split("/")[: 2 if name.startswith("@") else 1])


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
