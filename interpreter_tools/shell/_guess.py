"""A guess for input without a mark: a shell command, a program, or plain language."""

from __future__ import annotations

import ast
import re
import warnings

_COMMANDS = frozenset({
    "awk", "bash", "bzip2", "cat", "cd", "chmod", "chown", "cp", "curl", "df", "du", "echo", "egrep", "env", "export",
    "fgrep", "gawk", "git", "grep", "gunzip", "gzip", "hostname", "id", "jq", "ls", "make", "mkdir", "mv", "node",
    "npm", "npx", "pip", "pip3", "printenv", "printf", "ps", "pwd", "python", "python3", "rm", "rmdir", "ruby", "sed",
    "seq", "sh", "tar", "tr", "uname", "unzip", "wc", "wget", "whoami", "xargs", "xxd", "zcat", "zip",
})  # fmt: skip
_COMMANDS_AND_WORDS = frozenset({
    "cut", "date", "diff", "file", "find", "head", "join", "kill", "less", "ln", "more", "paste", "sleep", "sort",
    "split", "stat", "tail", "tee", "test", "touch", "tree", "uniq", "which",
})  # fmt: skip
_ASSIGNS_OR_CALLS = re.compile(r"[.(\[,:]|\s*[-+*/|&]?=")
_LIKE_AN_ARGUMENT = re.compile(r"[-+/.~*$\"'<>|]|\S*[./*]\S")
_JAVASCRIPT = re.compile(
    r"\s*(?:const|let|var|function|class|import|export|await|for|if|while)\b.*[;{}()=]|.*=>|.*;\s*$|\s*console\."
)
_PROSE = re.compile(r"[^\W\d_][\w',-]*(?: [\w',-]+){2,}[?.!]?")
_PROGRAM = (
    ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For,
    ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Raise, ast.Delete, ast.Match,
)  # fmt: skip
_VALUE = (
    ast.Call, ast.Subscript, ast.List, ast.Dict, ast.Set, ast.JoinedStr, ast.ListComp, ast.SetComp, ast.DictComp,
    ast.GeneratorExp, ast.Lambda, ast.Await,
)  # fmt: skip


def is_shell_command(text: str) -> bool:
    """Return True when the text begins and goes on as a command that shells know."""
    first = re.match(r"[a-z][a-z0-9]*", text)
    if first is None:
        return False
    rest = text[first.end() :]
    if _ASSIGNS_OR_CALLS.match(rest) or (rest and not rest[0].isspace() and rest[0] not in "|;&<>"):
        return False
    if first[0] in _COMMANDS:
        return True
    return first[0] in _COMMANDS_AND_WORDS and (not rest.strip() or bool(_LIKE_AN_ARGUMENT.match(rest.strip())))


def is_program(text: str, language: str) -> bool:
    """Return True when the text is certainly a program in a language, and not words that look like one."""
    if language in {"javascript", "typescript"}:
        return _JAVASCRIPT.match(text) is not None
    if language != "python":
        return False
    tree = parse_python(text)
    return tree is not None and any(_is_certain(statement) for statement in tree.body)


def is_prose(text: str, language: str) -> bool:
    """Return True when the text is more likely words than a program with a mistake."""
    return language == "python" and _PROSE.fullmatch(text) is not None and parse_python(text) is None


def parse_python(text: str) -> ast.Module | None:
    """Return the syntax tree of a program; None when the text is no program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_certain(statement: ast.stmt) -> bool:
    if isinstance(statement, _PROGRAM):
        return True
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None
    if not isinstance(statement, ast.Expr):
        return False
    return any(
        isinstance(node, _VALUE) or (isinstance(node, ast.Constant) and isinstance(node.value, (int, float, complex)))
        for node in ast.walk(statement)
    )
