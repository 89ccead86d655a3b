"""Advice to a model after a failed run, in a sentence or two."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._languages.known import (
    known_packages,
    large_packages,
    normal_name,
    package_of_module,
    removed_modules,
    similar_package,
    system_packages,
)
from interpreter_tools._languages.specifiers import package_name
from interpreter_tools.tool._builds import build_lacks
from interpreter_tools.tool._libraries import Library, missing_library
from interpreter_tools.tool._other_language import family_of, language_meant
from interpreter_tools.tool._programs import INSTALL, INSTEAD, NETWORK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interpreter_tools._config.results import ExecutionResult

_LOOKED_AT = 8192  # characters at the end of stderr in which the cause is looked for
_NAME = r"[A-Za-z0-9_@][A-Za-z0-9_.@/+-]{0,100}"

_PYTHON = re.compile(rf"ModuleNotFoundError: No module named '({_NAME})'")
_RAISED = re.compile(r"^([\w.]+(?:Error|Exception|NotFound)): ", re.MULTILINE)  # the last line of a traceback
_PART = r"[`'\"]?([A-Za-z][\w.-]*[A-Za-z0-9](?:\[[\w, -]+\])?)[`'\"]?"
_PIP = re.compile(rf"\bpip3? install (?:-U |--upgrade )?{_PART}(?!\s*(?:<|==|~=))")
_LACKS = re.compile(  # in the words of a library that does without another one until it needs it
    rf"requires (?:the )?{_PART} (?:package|library)|accessor requires {_PART}|features you requested: {_PART}"
    rf"|^(?:[Tt]he )?{_PART} (?:package |library |module )?(?:needs to|must) be installed"
    rf"|^(?:[Tt]he )?{_PART} (?:package|library) is required|Do you have {_PART} installed|No module named {_PART}",
    re.MULTILINE,
)
_IMPORT_LACKS = re.compile(  # the same, in an error of imports
    rf"[`']Import {_PART} failed|optional dependency {_PART}|(?:[Pp]lease|must) install {_PART}"
    rf"|^(?:[Tt]he )?{_PART}(?:>=[\d.]+)?(?: package| library| module)?"
    r" (?:(?:is|are) (?:required|needed|not installed)|not found, please install)",
    re.MULTILINE,
)
_IMPORT_ERROR = re.compile(r"(?:Import|ModuleNotFound|Dependency)Error$")
_NODE = re.compile(r"Cannot find (?:module|package) '([^'\n]{1,200})'")
_SHELL = re.compile(rf"(?:^|: )({_NAME}): (?:command )?not found$", re.MULTILINE)
_PACKAGE = re.compile(r"(?:node:)?@?[A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~/-]+)?")
_RUBY = re.compile(rf"cannot load such file -- ({_NAME}) \(LoadError\)")
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|getaddrinfo|EAI_AGAIN|Could not resolve host"
    r"|Network is unreachable|ENETUNREACH|bad address|unable to resolve host address"
    r"|Failed to connect to (?!localhost|127\.|\[?::1)"
    r"|use the NLTK Downloader to obtain|\[E050\] Can't find model|(?:couldn't|cannot) connect to 'https?://huggingface"
)
_NO_NETWORK = "The sandbox has no network: do without it."
_FETCHES = re.compile(
    r"^[^#\n]*\b(?:curl|wget)\s(?![^\n]*(?:localhost|127\.0))", re.MULTILINE
)  # with -s or -q they say nothing of a failure
_FETCH_FAILED = frozenset({4, 6, 7, 28})  # of wget: network; of curl: host, connection, time
_MEMORY = "It needed more memory than it may use: handle the data in smaller pieces, or keep less of it."
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
    "dataclass": "from dataclasses import dataclass",
    "display": "from IPython.display import display",
    "partial": "from functools import partial",
    "sklearn": "import sklearn",
    **{
        name: f"import {name}"
        for name in ("requests", "numpy", "pandas", "scipy", "matplotlib", "sympy", "yaml", "cv2")
    },
    "reduce": "from functools import reduce",
    **{
        name: f"from typing import {name}" for name in ("Any", "Callable", "Dict", "List", "Optional", "Tuple", "Union")
    },
}
_NODE_NAMES = {  # the same for JavaScript
    **{
        name: name
        for name in ("assert", "child_process", "crypto", "fs", "http", "https", "os", "path", "util", "zlib")
    },
    **{name: name for name in ("axios", "chalk", "cheerio", "dayjs", "express", "moment", "readline")},
    "_": "lodash",
}
_PYTHON_WORDS = {"true": "True", "false": "False", "null": "None", "undefined": "None"}
_BROWSER = frozenset(
    """
    document window location localStorage sessionStorage alert confirm XMLHttpRequest HTMLElement Image
    FileReader DOMParser requestAnimationFrame
    """.split()  # noqa: SIM905 - a list of them would be 15 lines
)
_TESTING = frozenset({"describe", "it", "test", "beforeEach", "afterEach"})
_NO_SUCH = re.compile(
    r"Because (\S+) was not found in the package registry|No matching distribution found for ([\w.-]+)"
    r"|404 +'(@?[\w./-]+)@[^']*' is not in this registry|404 Not Found[^\n]*/(@?[\w.%-]+)(?: |$)"
)
_KINDS = {"python": "pip", "javascript": "npm", "typescript": "npm"}
_KNOWN_ONLY = frozenset({"python", "shell", "bash"})
_WINDOWS = frozenset({"tkinter", "_tkinter", "turtle", "idlelib"})
_SCRIPT_NAMES = frozenset({"require", "module", "exports", "__dirname", "__filename"})
_ELSEWHERE = (
    r"(?<![\w./-])(/mnt/data|/mnt/user-data|/home/(?:user|ubuntu|oai|jovyan|workdir)|/content|/kaggle/(?:input|working)|/root|/data|/app"
    r"|/Users/\w+|[A-Z]:[\\/]+Users)"
)
_REFUSED = r"(?:No such file or directory|ENOENT|cannot access|[Pp]ermission denied|EACCES|Read-only file system|EROFS)"
_FOREIGN = re.compile(rf"{_REFUSED}[^\n]*?{_ELSEWHERE}|{_ELSEWHERE}[^\n]*?{_REFUSED}")
_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
_CHROME = re.compile(
    r"requires? (?:Google )?Chrome|Could not find Chrome|Executable doesn't exist at \S*chrom|cannot find Chrome binary"
    r"|Unable to obtain driver for chrome"
)
_PROGRAM = re.compile(
    r"_execute_child\b[^\n]*\n[\s\S]{0,400}No such file or directory: '([\w.+-]{1,100})'|spawn ([\w.+-]{1,100}) ENOENT"
)
_SH = re.compile(rf"^(?:/bin/)?(?:ba|da)?sh: (?:line )?\d+: ({_NAME}): (?:command )?not found$", re.MULTILINE)
_LOST = re.compile(
    r"No such file or directory: '([^'\n]+)'|ENOENT: no such file or directory, \w+ '([^'\n]+)'"
    r"|^[^\n]*?: (?:cannot \w+ )?'?([^:'\n]+)'?: No such file or directory$",
    re.MULTILINE,
)
_OWN_PLACES = ("/workspace/", "/tmp/")  # noqa: S108 - paths in the sandbox
_NO_ASCII = re.compile(r"[^\x00-\x7f]")
_NAME_ERROR = re.compile(r"^NameError: name '(\w+)' is not defined", re.MULTILINE)
_REFERENCE_ERROR = re.compile(r"^ReferenceError: ([\w$]+) is not defined", re.MULTILINE)
_MAKE_DIRECTORY = "The directory of the file that it writes is not there: make it first, as with {}."
_MAKES = {"javascript": "fs.mkdirSync(path, { recursive: true })", "shell": "mkdir -p", "python": "os.makedirs"}
_WRITES = {  # how a program writes, in what it says as it fails
    "python": re.compile(  # in a line of a traceback
        r"^ +(?!File )[^\n]*(?:\b(?:im|np|torch\.)?(?:save\w*|to_\w+|write\w*|dump|mkdir|connect|ZipFile|copy\w*"
        r"|touch|basicConfig|\w*FileHandler|open_func|Workbook|VideoWriter)\("
        r"|, *(?:mode *= *)?['\"][wax]|\.open\((?:mode *= *)?['\"][wax])",
        re.MULTILINE,
    ),
    "javascript": re.compile(
        r"\n +at (?:async )?(?:\w+\.)?(?:writeFile|appendFile|createWriteStream|open|mkdir|copyFile)\w* "
        r"|on WriteStream instance|syscall: 'mkdir'|unable to open for write"
    ),
    "shell": re.compile(r"cannot (?:touch|create|move [^\n]* to) |^tee: ", re.MULTILINE),
}
_DATABASE = re.compile(
    r"unable to open database (?:file|\")|Cannot open database because the directory does not exist|SQLITE_CANTOPEN"
)
_WENT_ON = re.compile(  # what bash itself says of a command, after which a script or a cell goes on
    r"^(?:\S*main\.\w+: line \d+|bash(?:: line \d+)?): "
    r"[^\n]*(?:command not found|No such file or directory|Read-only file system|denied)$",
    re.MULTILINE,
)
_IN_CELL = "Cell In["
_AROUND = re.compile(r"^ +\d+ .*\n", re.MULTILINE)  # a line that IPython shows around the one that failed
_SHOWN_LINE = re.compile(r"^-+> \d+ ", re.MULTILINE)
_TEXT = re.compile(r"([\"'`])([^\"'`\n]{1,200})\1")
_REDIRECTS = re.compile(r">>?\|? *[\"']?([^\s\"'&;|<>()]+)")
_INSTALLS = "{packages}"  # in what a rule says: the way to packages, or that there is none
_ARGUMENTS = 'It wants arguments: give them as args, such as args=["--name", "a b"].'
_ARGUMENTS_OF_CELL = 'It wants arguments, and a cell has none: set sys.argv = ["main", "--name", "a b"] before.'
_SERVER = (
    "It is a server, which does not end by itself, and nobody outside reaches it: start it in the background of the "
    "same program, or use a test client, and end it."
)
_FENCES = "It holds marks of Markdown: give the program alone, without ``` and words around it."
_MARKED = re.compile(r"^ *(?:```|~~~|</?(?:code|python|execute|tool_code)>)", re.MULTILINE)
_TRIED = re.compile(  # packages that a program tried to install, in the words of pip and of npm
    r"No matching distribution found for ([A-Za-z0-9][\w.\[\],=<>~!-]*)"
    r"|request to https?://[^\s/]+/((?:@|%40)?[A-Za-z0-9][\w.%-]*) failed"
)
_MOST_TRIED = 16
_FAILED_COMMAND = re.compile(r"^subprocess\.CalledProcessError: Command [^\n]* returned non-zero", re.MULTILINE)
_CAPTURED = re.compile(r"\bcapture_output *= *True|\bPIPE\b|\bcheck_output\(")
_SERVES = re.compile(
    r"\* Running on http|Uvicorn running on|Serving HTTP on|Starting development server|Application startup complete"
    r"|You can now view your Streamlit app|Running on local URL|[Ll]istening (?:on|at)\b|[Ss]erver (?:is )?"
    r"(?:running|started|listening|up)\b"
)
_ASKS = {  # a program that reads its standard input, and does not fail where there is none
    "javascript": re.compile(r"\.question\(|\bprompts\(|\binquirer\b"),
    "shell": re.compile(r"^[ \t]*read[ \t]+(?:-\w+[ \t]+)*[^<|\n]*$", re.MULTILINE),
}
_FEEDS = re.compile(r"<<|done *<|\| *(?:while|\{)")
_CAUSES = (  # a rule's name, the languages, what stderr says, and what is to be done about it
    (
        "stdin",
        "",
        (
            r"^EOFError(?:: EOF when reading a line)?$|^bdb\.BdbQuit|^Aborted!\n?\Z"
            r"|undefined method [`'](?:chomp|strip|split|to_i|to_f)' for nil"  # Ruby's gets
            r"|<stdin>: \w+: end of file|\bexception (?:Stdlib\.)?End_of_file|ReadAfterEOFException"
            r"|NoSuchElementException(?:: No line found)?\n\s+at [\w./]*java\.util\.Scanner\."
            r"|unit = 5, file = 'stdin'[\s\S]*End of file"
        ),
        "It read more standard input than it was given: pass it as stdin.",
    ),
    (
        "disk",
        "",
        r"No space left on device|ENOSPC",
        "Its disk is full: write less, or remove files that are not needed.",
    ),
    ("memory", "", r"^[\w.]*MemoryError|Reached heap limit|JavaScript heap out of memory", _MEMORY),
    (
        "bus",
        "",
        r"\b[Bb]us error\b|out of shared memory",
        "/dev/shm or a mapped file had no more room: share less memory between processes.",  # noqa: S108
    ),
    (
        "notebook",
        "python",
        r"^ *[!%]\w[^\n]*\n[^\n]*\nSyntaxError|name 'get_ipython' is not defined|'NoneType'[^\n]* 'run_\w+_magic'",
        f"It is no notebook: leave out lines with ! or %. {_INSTALLS}",
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
        r"^[^\n]*\\n[^\n]*\n(?:[ ^~]*\n)?SyntaxError: unexpected character after line continuation character",
        "Its line breaks came as the two characters \\n: give the program with real line breaks.",
    ),
    (
        "fences",
        "",
        r"^ *(?:```|~~~)[^\n]*\n[\s\S]{0,80}SyntaxError|```\w*: (?:command )?not found",
        _FENCES,
    ),
    (
        "display",
        "",
        (
            r"no display name and no \$DISPLAY|^[\w.]*(?:TclError|DisplayNameError|DisplayConnectionError)\b"
            r"|No available video device|Could not load the Qt platform plugin|^KeyError: 'DISPLAY'"
            r"|Rebuild the library with Windows, GTK|annot open display|could not find a copy/paste mechanism"
            r"|^_curses\.error: setupterm"
        ),
        "There is no screen, so no window, mouse or clipboard: write what it would show to a file.",
    ),
    (
        "processes",
        "",
        (
            r"can't start new thread|^BlockingIOError: \[Errno 11\]|fork: (?:retry: )?Resource temporarily"
            r"|pthread_create failed|spawn \S+ EAGAIN"
        ),
        "It has as many processes and threads as it may: start fewer at once.",
    ),
    (
        "execute",
        "shell bash",
        r"^[^\n]*: (?:line )?\d+: [^\n:]*/[^\n:]*: Permission denied$",
        "A file is a program only after `chmod +x`; or give it to its interpreter, such as `bash FILE`.",
    ),
    (
        "directory",
        "python",
        r"^OSError: Cannot save file into a non-existent directory: '",
        _MAKE_DIRECTORY.format(_MAKES["python"]),
    ),
    (
        "loop",
        "python",
        r"RuntimeError: asyncio\.run\(\) cannot be called from a running event loop|This event loop is already running",
        "An event loop runs already: put `await` in place of `asyncio.run(...)`.",
    ),
    (
        "arguments",
        "",
        (
            r"^[^\n]*: error: the following arguments are required:|^Error: Missing (?:argument|option|parameter)\b"
            r"|^ +[^\n]*\bargv\[[^\n]*\n(?:[ ~^]*\n)?IndexError: list index out of range"
            r"|^error: (?:missing required argument|required option)|: \$?[1-9]: unbound variable$"
            r"|\A(?:[^\n]*\n){0,3}[Uu]sage:? [^\n]*\w\.(?:py|m?js|ts|sh|bash|rb|pl)\b[^\n]*"
            r"(?:\n(?!\S+: error: )[^\n]*){0,12}\Z"  # all that it says
        ),
        _ARGUMENTS,
    ),
    (
        "refused",
        "",
        r"ECONNREFUSED|\bConnectionRefusedError\b|[Cc]onnection refused",
        "Nothing listens there: the sandbox has no databases or other services but those that the program starts.",
    ),
    (
        "relative",
        "python",
        r"^ImportError: attempted relative import with no known parent package",
        "It is a program and no part of a package: import by name, without the dot, what lies beside it in /workspace.",
    ),
    (
        "encoding",
        "python",
        r"^UnicodeDecodeError: 'utf-?8' codec can't decode",
        'What it reads is not UTF-8: name the encoding, such as encoding="latin-1", or read bytes (mode "rb").',
    ),
    (
        "font",
        "python",
        r"ImageFont[\s\S]*^OSError: cannot open resource$",
        'That font is not there: take "DejaVuSans.ttf", or `ImageFont.load_default(size)`.',
    ),
    (
        "locale",
        "",
        r"locale\.Error: unsupported locale setting",
        "The image does not have that locale: take one that `locale -a` lists, or the package babel.",
    ),
    (
        "pip",
        "",
        (
            r"No module named pip\b|externally-managed-environment|No virtual environment found; run `uv venv`"
            r"|No matching distribution found for|^npm (?:ERR!|error) "
        ),
        f"Programs cannot install packages. {_INSTALLS}",
    ),
    (
        "import",
        "javascript typescript",
        r"Cannot use import statement outside a module|Unexpected token 'export'",
        "`import` and `export` stand at the top level of a program: elsewhere use require() or `await import()`.",
    ),
    (
        "async",
        "javascript typescript",
        r"await is only valid in async functions",
        "An `await` stands in a function that is not async, or beside a `return` in none: make that function async.",
    ),
    (
        "return",
        "javascript typescript",
        r"^SyntaxError: Illegal return statement",
        "A `return` stands outside of functions: put the program into an async function, and call it.",
    ),
    (
        "markup",
        "javascript",
        r"^[^\n]*<\w[^\n]*\n *\^+\n\nSyntaxError: Unexpected token '<'",
        'JavaScript has no JSX: call again with language="typescript".',
    ),
    (
        "unsettled",
        "javascript typescript",
        r"^Warning: Detected unsettled top-level await",
        "It awaits what never comes, such as input: pass what it reads as stdin.",
    ),
    (
        "bash",
        "shell bash",
        r": \d+: \[\[: not found$|: \d+: Syntax error: \"\(\" unexpected",
        "It is a program for bash, and sh ran it: begin it with #!/bin/bash.",
    ),
    (
        "quicklisp",
        "lisp",
        r"Package QL does not exist|quicklisp/setup",
        (
            "Quicklisp is not here: name Debian's packages, such as cl-alexandria, in system_dependencies, and load "
            "them with (require :asdf) and (asdf:load-system :alexandria)."
        ),
    ),
    (
        "composer",
        "php",
        r"Failed opening required '[^'\n]{0,200}vendor/autoload\.php'",
        "Composer's packages are not here: do without them.",
    ),
    (
        "apt",
        "",
        r"dpkg frontend lock|/var/lib/(?:apt|dpkg)/\S+[^\n]*(?:Permission denied|Read-only|missing)|are you root\?",
        f"Programs cannot install packages. {_INSTALLS}",
    ),
)
_SPAWNED = (  # the same, of programs that may go on for ever
    (
        "guard",
        re.compile(
            r"before\s+the\s+current process has finished its bootstrapping phase"
            r"|in spawn_main\n[\s\S]*context has already been set"
        ),
        'Processes that "spawn" starts run the program again: put what starts them below `if __name__ == "__main__":`.',
    ),
    (
        "spawn",
        re.compile(r"^AttributeError: Can't get attribute '\w+' on <module '__main__' \(", re.MULTILINE),
        'Processes that "spawn" starts know nothing of a cell: use `multiprocessing.get_context("fork")`, or a module.',
    ),
)
_CAUSES_READ = [
    (name, languages.split(), re.compile(text, re.MULTILINE), said) for name, languages, text, said in _CAUSES
]
_CHARACTERS = (
    "It holds characters that no program has, such as typographic quotes or non-breaking spaces: use plain ones."
)
_ABSENT = re.compile(r"No such file or directory|ENOENT")
_READ_ONLY = re.compile(r"Read-only file system|EROFS")
_SHOWS = re.compile(r"^[^#\n]*\b(?:plt|pyplot|pylab|cv2)\.(?:show|imshow)\(", re.MULTILINE)
_NOT_SHOWN = "is non-interactive, and thus cannot be shown"  # of matplotlib, in a process that a program has started
_DIALECT = re.compile(  # what MySQL, PostgreSQL or SQL Server have, and SQLite has not
    r"\b(?:AUTO_INCREMENT|ENGINE *=|SHOW\s+(?:\w+\s+)?(?:TABLES|DATABASES|COLUMNS|INDEX|CREATE)|DESCRIBE\s|DELIMITER\b"
    r"|(?:BIG|SMALL)?SERIAL\b|ILIKE\b|LATERAL\b|UNSIGNED\b|IDENTITY\b|NVARCHAR *\(MAX|SELECT\s+TOP\s|TRUNCATE\s"
    r"|DECLARE\s|INTERVAL\s+'|ON\s+DUPLICATE\s+KEY|FOR\s+UPDATE|DUAL\b|ADD\s+CONSTRAINT"
    r"|CREATE\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|EXTENSION|TYPE|SCHEMA|SEQUENCE|USER|ROLE|PROCEDURE|FUNCTION|MAT)"
    r"|(?:GRANT|REVOKE|CALL|EXEC|MERGE\s+INTO|USE|COMMENT\s+ON)\s+\w|(?:information_schema|pg_catalog|sys)\.\w"
    r"|(?:MODIFY|ALTER)\s+COLUMN|LANGUAGE\s+plpgsql"
    r"|(?:NOW|CURDATE|GETDATE|SYSDATE|DATE_\w+|DATE(?:ADD|DIFF)|TO_\w+|EXTRACT|YEAR|MONTH|LEFT|RIGHT|[LR]PAD|ISNULL|NVL"
    r"|LEN|REGEXP_\w+|ARRAY_\w+|GREATEST|LEAST|JSONB?_(?:AGG|BUILD)\w*|UNNEST|STDDEV\w*|UUID|GEN_RANDOM_UUID"
    r"|LAST_INSERT_ID|POSITION|CONVERT|CHARINDEX|AGE) *\()|[\w)']::\w|^GO$|\$\$",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_SQLITE = re.compile(
    r"error near line \d+: (?:near \"|unrecognized token|no such function|unknown database|wrong number of arguments"
    r"|no such table: (?i:dual|information_schema|pg_|sys))"
)
_SQLITE = (
    "It is run by SQLite, not by MySQL, PostgreSQL or SQL Server: use what SQLite has, such as INTEGER PRIMARY KEY for "
    "numbers that count up, date('now'), CAST(x AS y), LIKE and sqlite_master."
)
_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".gif", ".webp", ".html")


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of a run, on which the advice depends.

    Attributes:
        language: the language of the program.
        timeout: seconds that it might take; None means no limit.
        longest: the most seconds that it could have asked for; None means no limit.
        languages: the languages that it might have been in; None means all.
        dependencies: the packages that it asked for; None when no packages may be asked for.
        system_dependencies: the packages of the distribution that it asked for.
        networked: True when it had a network.
        fed: True when it was given standard input.
        keeps_variables: True when it is a cell of a live interpreter.
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
    languages: tuple[str, ...] | None = None
    dependencies: tuple[str, ...] | None = ()
    system_dependencies: tuple[str, ...] = ()
    networked: bool = False
    fed: bool = True
    keeps_variables: bool = False
    keeps_files: bool = True
    keeping: str = ""


def advice(result: ExecutionResult, run: Circumstances) -> list[str]:
    """Return the advice, the best first; none for a run that went well."""
    return [said for _, said in find_advice(result, run)]


def find_advice(result: ExecutionResult, run: Circumstances) -> list[tuple[str, str]]:
    """Return the advice, each sentence with the name of its rule."""
    found: list[tuple[str, str]] = []
    said = _said(result)
    if result.outcome == "error":
        found.extend(_causes(result, said, run))
    elif result.outcome == "ok" and family_of(run.language) == "shell" and (went_on := _WENT_ON.findall(said)):
        found.extend(_causes(result, "\n".join(went_on), run))
    elif result.outcome == "compile_error" and (library := missing_library(run.language, result.compile_stderr)):
        found.append(("package", _say_library(library, run)))
    elif result.outcome == "dependency_error" and (meant := next(_meant(result, run), None)):
        found.append(("dependency_error", meant))
    elif ended := _of_outcome(result, run):
        if result.outcome == "timeout":
            found.extend(_spawned(said))
        serves = result.outcome == "timeout" and _SERVES.search(result.stdout + result.stderr) is not None
        found.append(("server", _SERVER) if serves else (result.outcome, ended))
    found.extend(_losses(result, run))
    found.extend(("call", note) for note in run.notes)
    missing = _missing(said, run.language) if result.outcome == "error" else None
    told = (repr(missing.module.partition(".")[0]), repr(missing.package)) if isinstance(missing, _Package) else ()
    found.extend(("note", f"{note}.") for note in result.notes if not note.startswith(told))
    return found


def _said(result: ExecutionResult) -> str:
    """Return the end of what a program wrote to stderr; of stdout where that is empty, as with ``merge_output``."""
    said = (result.stderr if result.stderr.strip() else result.stdout)[-_LOOKED_AT:]
    return _SHOWN_LINE.sub("    ", _AROUND.sub("", said)) if _IN_CELL in said else said


def _of_outcome(result: ExecutionResult, run: Circumstances) -> str | None:
    if result.compile_timed_out:
        return "The compiler did not end within its limit, so the program did not run: give it less to compile."
    return {
        "timeout": _slow(run),
        "oom": _MEMORY,
        "output_limit": "It wrote more than may be written: print a summary, and write the rest to a file.",
        "killed": "It was stopped from outside before it had ended; this is not the program's fault.",
        "dependency_error": "The dependencies could not be installed, so the program did not run: "
        "check their names and versions, or do without them.",
        "compile_error": "The program was not compiled, so it did not run: correct what the compiler names.",
    }.get(result.outcome)


def _meant(result: ExecutionResult, run: Circumstances) -> Iterator[str]:
    """Return a sentence about packages that could not be installed for a reason that is known."""
    lacks = build_lacks(result.dependency_stderr)
    if lacks and run.dependencies is not None:
        wanted = _quoted(dict.fromkeys((*run.system_dependencies, *lacks)))
        new = not set(lacks) <= set(run.system_dependencies)
        yield "A package has no build for this system, and is compiled: " + (
            f"call again with system_dependencies=[{wanted}], or do without it."
            if new
            else "that fails; do without it."
        )
    match = _NO_SUCH.search(result.dependency_stderr)
    if match is None or run.language not in _KINDS:
        return
    name = next(filter(None, match.groups()))
    if (known := similar_package(_KINDS[run.language], name)) is not None:
        yield f"There is no package {name!r}: is {known!r} meant?"


def missing_package(result: ExecutionResult, language: str) -> str | None:
    """Return the missing package for which a program failed; None when the failure had another cause.

    For a module of Python that no well-known package has, it is None: anyone can publish a package of any name. For a
    program of the system that no known package brings, it is None, too.
    """
    found = _missing(_said(result), language) if result.outcome == "error" else None
    return found.package if isinstance(found, _Package) and (found.known or language not in _KNOWN_ONLY) else None


def missing_module(stderr: str) -> str | None:
    """Return the name of the module that a program could not import, as the program writes it."""
    text = stderr[-_LOOKED_AT:]
    return _last(_PYTHON, text) or _last(_NODE, text)


def missing_file(stderr: str) -> str:
    """Return the path of a file that a program did not find, as the program writes it; empty where there is none."""
    lost = _LOST.search(stderr[-_LOOKED_AT:])
    return "" if lost is None else next(filter(None, lost.groups()))


def _slow(run: Circumstances) -> str:
    text = "It ran too long and was stopped; what it had written by then is kept. "
    if run.timeout is not None:
        text = f"It did not end within {run.timeout:g} s and was stopped; what it had written by then is kept. "
    if run.timeout is None or (run.longest is not None and run.timeout >= run.longest):
        return text + "No more time can be given: do less, or do it faster."
    most = "" if run.longest is None else f" (at most {run.longest:g})"
    return text + f"Do less, or give a larger timeout{most}."


def _causes(result: ExecutionResult, stderr: str, run: Circumstances) -> Iterator[tuple[str, str]]:
    if (meant := _other_language(stderr, run)) is not None:
        yield "language", f'It looks like {meant.title()}: call again with language="{meant}".'
        return
    if result.signal is not None:
        yield "signal", _signal(result.signal)
    missing = _missing(stderr, run.language)
    if missing is not None:
        yield "package", _say_missing(missing, result, run)
    elif (library := missing_library(run.language, stderr)) is not None:
        yield "package", _say_library(library, run)
    named = [(name, said) for name, said in _matching(stderr, run) if name != "bus" or result.signal is None]
    installs = any(name in {"pip", "apt"} for name, _ in named)
    if not run.networked and not installs and _misses_network(result, stderr, run):
        yield "network", _NO_NETWORK
    yield from named
    if not named and missing is None and _CAPTURED.search(run.code) and _FAILED_COMMAND.search(stderr):
        yield "captured", "What the command wrote is not shown: print the error's .stdout and .stderr."
    yield from _spawned(stderr)
    if (said := _undefined(stderr, run)) is not None:
        yield said
    if missing is None and not installs:
        yield from _files_and_programs(stderr, run)


def _other_language(stderr: str, run: Circumstances) -> str | None:
    """Return the language in which the program would be one, as far as it may be called as that."""
    meant = language_meant(run.code, run.language, stderr)
    if meant == "javascript" and run.languages is not None and meant not in run.languages:
        meant = "typescript"
    if meant == "bash" and run.languages is not None and meant not in run.languages:
        meant = "shell"
    return meant if run.languages is None or meant in run.languages else None


def _matching(stderr: str, run: Circumstances) -> Iterator[tuple[str, str]]:
    found = False
    for name, languages, pattern, said in _CAUSES_READ:
        if (not languages or run.language in languages) and pattern.search(stderr):
            if name == "arguments" and run.keeps_variables and run.language == "python":
                said = _ARGUMENTS_OF_CELL  # noqa: PLW2901
            yield name, said.replace(_INSTALLS, _way_to_packages(run, stderr))
            found = True
    if run.language == "sql" and _NOT_SQLITE.search(stderr) and _DIALECT.search(run.code):
        yield "dialect", _SQLITE
    if "SyntaxError" in stderr and _MARKED.search(run.code) and not found:
        yield "fences", _FENCES
    odd = "SyntaxError: invalid character" in stderr or "SyntaxError: invalid non-printable" in stderr
    if odd or ("SyntaxError: Invalid or unexpected token" in stderr and _NO_ASCII.search(run.code)):
        yield "characters", _CHARACTERS


def _spawned(stderr: str) -> Iterator[tuple[str, str]]:
    for name, pattern, said in _SPAWNED:
        if pattern.search(stderr):
            yield name, said


def _misses_network(result: ExecutionResult, stderr: str, run: Circumstances) -> bool:
    silent = result.exit_code in _FETCH_FAILED and _fetches(run) and not stderr.strip()
    return silent or _NETWORK.search(stderr) is not None


def _way_to_packages(run: Circumstances, stderr: str) -> str:
    if run.dependencies is None:
        return "Do without what is not there."
    tried = dict.fromkeys(next(filter(None, match.groups())) for match in _TRIED.finditer(stderr))
    if tried and len(tried) <= _MOST_TRIED:
        return (
            f"Leave that out, and call again with dependencies=[{_quoted(dict.fromkeys((*run.dependencies, *tried)))}]."
        )
    return "Name packages in dependencies, programs of the system in system_dependencies, and leave that out."


def _files_and_programs(stderr: str, run: Circumstances) -> Iterator[tuple[str, str]]:
    if library := _LIBRARY.search(stderr):
        name = library[1]
        package = system_packages().get(name)
        yield "library", f"The image has no {name}, a library of the system: {_system(package, run)}."
    elif _CHROME.search(stderr):
        browser = "chromium-driver" if "selenium" in run.code else "chromium"
        yield "chrome", f"The image has no web browser: {_system(browser, run)}.{_launched(run)}"
    elif program := _PROGRAM.search(stderr) or _SH.search(stderr):
        yield "program", _program(next(filter(None, program.groups())), run)
    elif foreign := _FOREIGN.search(stderr):
        yield _foreign(foreign[1] or foreign[2])
    elif _DATABASE.search(stderr):
        yield _database(stderr, run)
    elif _lacks_directory(stderr, run):
        yield _make_directory(run)
    elif _READ_ONLY.search(stderr):
        yield "readonly", "Only /workspace and /tmp can be written to: use paths below these."
    elif not run.keeps_files and _ABSENT.search(stderr):
        path = missing_file(stderr)
        if not path.startswith("/") or path.startswith(_OWN_PLACES):
            yield "files", _gone(run)


def _launched(run: Circumstances) -> str:
    """Return how a program that starts a browser itself finds it and can start it, as a sentence after a blank."""
    if run.dependencies is not None and "selenium" in run.code:
        return ' Give Chrome the arguments "--headless=new" and "--no-sandbox".'
    if run.dependencies is None or "launch" not in run.code:
        return ""
    return ' Launch it with the path "/usr/bin/chromium" and the argument "--no-sandbox".'


def _foreign(path: str) -> tuple[str, str]:
    return "foreign", f"There is no {path} here: the program starts in /workspace, so use paths relative to that."


def _database(stderr: str, run: Circumstances) -> tuple[str, str]:
    """Return the rule and the advice about a database that SQLite cannot open: often it does not say which one."""
    texts = [text.partition(":///")[2] or text for _, text in _TEXT.findall(run.code)]
    if foreign := next(filter(None, map(re.compile(_ELSEWHERE).match, texts)), re.search(_ELSEWHERE, stderr)):
        return _foreign(foreign[1])
    if any(re.search(r"^(?:\./)?\w[^:\s]*/[^/\s]+\.(?:db|sqlite|sqlite3|s3db)$", text) for text in texts):
        return _make_directory(run)
    return (
        "readonly",
        "The database's file cannot be made there: take a path below /workspace, whose directory exists.",
    )


def _make_directory(run: Circumstances) -> tuple[str, str]:
    return "directory", _MAKE_DIRECTORY.format(_MAKES.get(family_of(run.language), _MAKES["python"]))


def _lacks_directory(stderr: str, run: Circumstances) -> bool:
    """Return True when a program failed to write a file below a directory that is not there."""
    path, family = missing_file(stderr), family_of(run.language)
    below = path.removeprefix("/workspace/").removeprefix("/tmp/")  # noqa: S108 - a path in the sandbox
    if "/" not in below.lstrip("./") or below.startswith("/"):
        return False
    writes = _WRITES.get(family, _WRITES["python"])
    return writes.search(stderr) is not None or (family == "shell" and path in _REDIRECTS.findall(run.code))


def _program(name: str, run: Circumstances) -> str:
    instead = _instead(name, run)
    return (
        f"The sandbox has no program {name!r}. {instead}"
        if instead
        else (f"The sandbox has no program {name!r}: {_system(system_packages().get(name), run)}.")
    )


def _say_library(library: Library, run: Circumstances) -> str:
    if library.packages is None:
        return f"{library.name!r} is not there, and only the language's own libraries are: do without it."
    first, *further = library.packages or (None,)
    return f"{library.name!r} is not there: {_system(first, run, *further)}."


def _system(package: str | None, run: Circumstances, *further: str | None) -> str:
    """Return the way to packages of the distribution, as the second half of a sentence."""
    if run.dependencies is None:
        return "do without it"
    field, asked = "system_dependencies", run.system_dependencies
    if package is None:
        return f"do without it, or name the package of Debian that has it in {field}"
    if package in asked:
        return "it was installed but does not provide that, so do without it"
    wanted = (*asked, package, *(each for each in further if each is not None and each not in asked))
    return f"call again with {field}=[{_quoted(wanted)}]"


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


def _undefined(stderr: str, run: Circumstances) -> tuple[str, str] | None:
    """Return the rule and the advice about a name that a program uses and does not define."""
    python = run.language == "python"
    name = _last(_NAME_ERROR, stderr) if python else _last(_REFERENCE_ERROR, stderr)
    if name is None or name == "get_ipython":
        return None
    known = _python_name(name) if python else _node_name(name)
    if known is not None:
        return known
    if f"name '{name}' is not defined. Did you mean" in stderr or _defines(run.code, name):
        return None
    if run.keeps_variables and name == "__file__":
        return "name", "A cell is no file: the directory is /workspace, as Path.cwd() says."
    if run.keeps_variables:
        return "name", f"Neither it nor an earlier call defines {name!r}."
    return (
        "name",
        f"It does not define {name!r}; variables of earlier calls are gone: each call is a program of its own.",
    )


def _python_name(name: str) -> tuple[str, str] | None:
    if name in _PYTHON_NAMES or name in sys.stdlib_module_names:
        return "name", f"An import is missing: `{_PYTHON_NAMES.get(name, f'import {name}')}`."
    if name in _PYTHON_WORDS:
        return "name", f"In Python it is {_PYTHON_WORDS[name]}, and JSON is read with `json.loads`."
    return None


def _node_name(name: str) -> tuple[str, str] | None:
    if name == "prompt":
        return "name", "Node.js has no prompt(): read standard input, as with fs.readFileSync(0), and pass it as stdin."
    if name in _TESTING:
        return "name", f"No test runner is at work: `const {{ {name} }} = require('node:test')`."
    if module := _NODE_NAMES.get(name):
        return "name", f"An import is missing: `const {name} = require('{module}')` or `import {name} from '{module}'`."
    if name in _BROWSER:
        return "browser", f"There is no browser, and so no {name!r}: it runs in Node.js."
    if name in _SCRIPT_NAMES:
        return "module", f"A module has no {name!r}: use import and export, or the suffix .cjs for a script."
    return None


def _defines(code: str, name: str) -> bool:
    """Return True when a program gives a value to a name anywhere: it is in another function, or comes too late."""
    word = re.escape(name)
    return (
        re.search(
            rf"(?<![\w.$]){word}\s*(?:=(?![=>])|:=)|\b(?:def|class|as|for|function|let|const|var)\s+{word}\b", code
        )
        is not None
    )


def _losses(result: ExecutionResult, run: Circumstances) -> Iterator[tuple[str, str]]:
    """Yield the advice about output, files and processes that are lost."""
    if result.oom_kills and result.outcome in {"ok", "error"} and result.signal is None:
        yield "oom_kills", "The memory was used up, and a process that it had started was ended for that."
    if result.generated_files and run.keeping:
        yield "keeping", f"Its files are gone with its sandbox: {run.keeping}."
    made = bool(result.results) or any(name.lower().endswith(_PICTURES) for name in result.generated_files)
    if result.outcome == "ok" and not made and (_SHOWS.search(run.code) or _NOT_SHOWN in result.stderr):
        yield "picture", "Nobody sees a window: save what it shows to a file, such as plt.savefig('plot.png')."
        return
    if result.outcome == "ok" and not run.fed and _asks(run):
        yield "unfed", "It reads standard input, and was given none: pass it as stdin."
        return
    if result.outcome in {"dependency_error", "compile_error"} or result.stdout.strip() or result.stderr.strip():
        return
    if result.results:
        return
    if result.outcome == "ok" and not run.networked and _fetches(run):
        yield "network", _NO_NETWORK
    elif result.outcome != "error" or result.exit_code not in _FETCH_FAILED or not _fetches(run):
        nothing = result.outcome == "ok" and not result.generated_files
        nothing = nothing and not run.keeps_variables
        said = "It printed nothing: print the values that you want to know." if nothing else "It printed nothing."
        yield "nothing", said


def _asks(run: Circumstances) -> bool:
    """Return True for a program that reads standard input, and does not fail where there is none."""
    asks = _ASKS.get(family_of(run.language))
    return asks is not None and asks.search(run.code) is not None and not _FEEDS.search(run.code)


class _Package(msgspec.Struct, frozen=True):
    """A package that is missing.

    Attributes:
        package: its name.
        module: the name that the program imports.
        known: the package is well known.
        beside: well-known packages that are missing, too.
    """

    package: str
    module: str
    known: bool = True
    beside: tuple[str, ...] = ()


def _missing(stderr: str, language: str) -> _Package | str | None:
    """Return the missing package; or a sentence when no package would help, or the program that a shell misses."""
    if match := _last(_PYTHON, stderr):
        return _python_package(match)
    if language not in {"bun", "deno"} and (match := _last(_NODE, stderr)):
        return _node_package(match)
    if match := _last(_RUBY, stderr):
        return _Package(match.partition("/")[0], match)
    if language == "python":
        return _optional(stderr)
    return _missing_program(stderr) if language in {"shell", "bash"} else None


def _missing_program(stderr: str) -> _Package | str | None:
    program = _last(_SHELL, stderr)
    if program is None or not program.strip("`[]"):
        return None
    if program in INSTEAD:
        return program
    package = system_packages().get(program)
    others = [system_packages().get(each) for each in _SHELL.findall(stderr) if each not in INSTEAD]
    beside = tuple(dict.fromkeys(each for each in others if each is not None and each != package))
    return _Package(package or program, program, package is not None, beside)


def _say_missing(missing: _Package | str, result: ExecutionResult, run: Circumstances) -> str:
    if isinstance(missing, str):
        if missing.endswith("."):
            return missing
        if (instead := _instead(missing, run)) is not None:
            return f"There is no {missing!r}. {instead}"
        missing = _Package(system_packages().get(missing, missing), missing)
    return _say_package(missing, result, run)


def _say_package(missing: _Package, result: ExecutionResult, run: Circumstances) -> str:
    package = missing.package
    if run.dependencies is None:
        return f"{package!r} is not there and cannot be installed: do without it."
    asked = [each for each in (*run.dependencies, *result.dependencies) if _is_of(each, package, run.language)]
    if any(";" in each for each in asked):
        return f"{package!r} was not installed, as the condition behind the semicolon is not met: leave that out."
    if asked:
        return f"{package!r} was installed but does not provide that: ask for another package, or do without it."
    if not missing.known and run.language == "python":
        return (
            f"{missing.module!r} is not there, and no well-known package has it: if it is a file of yours, write it in "
            "the same program or put it beside; if it is a package, name that in dependencies."
        )
    doubt = "" if missing.known else ", and is not the name of a well-known package: if it is right"
    wanted = _quoted(dict.fromkeys((*run.dependencies, *missing.beside, package)))
    if run.language == "python" and package in large_packages():
        return (
            f"{package!r} is not there, and brings the libraries of graphics cards, more than 2 GB to download: do "
            f"without it, or call again with dependencies=[{wanted}]."
        )
    named = " and ".join(map(repr, (*missing.beside, package)))
    are = "are" if missing.beside else "is"
    return f"{named} {are} not there{doubt}{':' if missing.known else ','} call again with dependencies=[{wanted}]."


def _is_of(specifier: str, package: str, language: str) -> bool:
    """Return True when a specifier asks for a package."""
    if specifier == package or "[" in package:
        return specifier == package
    if language == "python":
        return normal_name(package_name("pip", specifier)) == package
    return package_name("npm" if language in {"javascript", "typescript"} else "system", specifier) == package


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(json.dumps(name, ensure_ascii=False) for name in names)


def _instead(program: str, run: Circumstances) -> str | None:
    """Return the alternative to a program, as a sentence; None where there is none but a package."""
    said = INSTEAD.get(program)
    if said is None or (said == NETWORK and run.networked):
        return None
    language = re.search(r'language="(\w+)"', said)
    if language is not None and run.languages is not None and language[1] not in run.languages:
        return "Do without it."
    return "Do without it." if said == INSTALL and run.dependencies is None else said


def _node_package(name: str) -> _Package | str:
    if name.startswith("node:"):
        return f"Node.js has no module {name!r}: do without it."
    if name.startswith((".", "/", "file:")) or not _PACKAGE.fullmatch(name):
        return "It loads a file that is not there: put everything into one program, or write the file first."
    package = "/".join(name.split("/")[: 2 if name.startswith("@") else 1])
    return _Package(package, name, package in known_packages("npm"))


def _python_package(name: str) -> _Package | str:
    module = name.partition(".")[0]
    if module in _WINDOWS:
        return f"There is no {module!r}, as nobody sees its windows: draw with matplotlib or pillow, or print."
    if module in sys.stdlib_module_names or module in removed_modules():
        return f"There is no module {name!r} in this version of Python."
    package = package_of_module(name)
    return _Package(package or module, module, package is not None)


def _optional(stderr: str) -> _Package | None:
    """Return the well-known package that a library asks for in words of its own, where a program failed for that."""
    raised = list(_RAISED.finditer(stderr))
    if not raised:
        return None
    said = stderr[raised[-1].end() :]
    patterns = (_PIP, _LACKS, _IMPORT_LACKS) if _IMPORT_ERROR.search(raised[-1][1]) else (_PIP, _LACKS)
    for found in (match for pattern in patterns for match in pattern.finditer(said)):
        name, bracket, extras = next(filter(None, found.groups())).partition("[")
        package = package_of_module(name) or package_of_module(name.lower())
        if package is not None:
            return _Package(package + bracket + extras, name)
    return None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None
