"""The modules that a program loads, read with the parser of its language; no part of the program is run.

The parsers are tree-sitter's, with the grammars of Python, JavaScript and TypeScript. They read programs with errors,
and with newer syntax than that of this interpreter, and take no more stack for a program that is nested deeply.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

Grammar: TypeAlias = Literal["python", "javascript", "typescript", "tsx"]

MOST_BYTES = 1 << 20
"""Of a program whose imports are read."""

_GRAMMARS: dict[str, Grammar] = {
    ".py": "python",
    ".pyw": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
}
_QUERIES = {
    "python": """
        (import_statement) @import
        (import_from_statement) @from
        (call function: [(identifier) (attribute)] @called arguments: (argument_list . (string) @name)) @call
        (call function: [(identifier) (attribute)] @called arguments: (argument_list
            (keyword_argument name: (identifier) @keyword value: (string) @name) (#eq? @keyword "name"))) @call
    """,
    "javascript": """
        (import_statement source: (string) @source) @import
        (export_statement source: (string) @source) @import
        (call_expression function: [(identifier) (member_expression) (import) (call_expression)] @called
            arguments: (arguments . [(string) (template_string)] @name)) @call
    """,
}
_TYPED = "(import_statement (import_require_clause source: (string) @source)) @import"
_LOADERS = {
    "python": {"__import__", "import_module", "importlib.import_module", "importlib.__import__"},
    "javascript": {"require", "import", "require.resolve", "module.require", "import.meta.resolve"},
}
_CHECKING = {"TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING"}
_CAUGHT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_FUNCTIONS = {
    "function_definition",
    "lambda",
    "function_declaration",
    "function_expression",
    "arrow_function",
    "method_definition",
    "generator_function",
    "generator_function_declaration",
}
_TYPES = {"type_annotation", "type_arguments", "type_alias_declaration", "interface_declaration", "type_query"}


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """A module that a program loads.

    Attributes:
        name: as it is written: ``"a.b"`` or, relative, ``".b"`` in Python; ``"pkg/sub"`` or ``"./b.js"`` in JavaScript.
        members: names that are imported from it, of which each may be a module, too; Python only.
        fallbacks: what the program loads where this module is missing; None where it cannot do without.
        instead_of: the modules whose absence makes the program load this one.
    """

    name: str
    members: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] | None = None
    instead_of: tuple[str, ...] = ()


def grammar_of(filename: str) -> Grammar | None:
    """Return the grammar for a file, by the end of its name; None where there is none."""
    return _GRAMMARS.get(f".{filename.rpartition('.')[2]}") if "." in filename else None


def read_imports(code: bytes, grammar: Grammar) -> tuple[Imported, ...]:
    """Return the modules that a program loads, in order, each once. It takes some milliseconds for 1,000 lines.

    Conditions are not decided: both branches of an ``if`` count, except what only type checkers see.

    Args:
        code: the program, in UTF-8; what is beyond ``MOST_BYTES`` is not read.
        grammar: of its language.
    """
    from tree_sitter import Parser, QueryCursor  # noqa: PLC0415 - most runs need no parser

    language, query = _load(grammar)
    root = Parser(language).parse(code[:MOST_BYTES].removeprefix(b"\xef\xbb\xbf")).root_node
    read = _read_python if grammar == "python" else _read_javascript
    found: dict[Imported, None] = {}
    for _, captures in sorted(QueryCursor(query).matches(root), key=lambda match: _first(match[1]).start_byte):
        for imported in read(captures):
            found[imported] = None
    return tuple(found)


def parses(code: bytes, grammar: Grammar) -> bool:
    """Return True when a text is a program of a grammar, without an error."""
    from tree_sitter import Parser  # noqa: PLC0415 - most runs need no parser

    return not Parser(_load(grammar)[0]).parse(code).root_node.has_error


@cache
def _load(grammar: Grammar):  # noqa: ANN202 - types of an optional stub
    import tree_sitter  # noqa: PLC0415

    if grammar == "python":
        import tree_sitter_python as python  # noqa: PLC0415

        language, query = tree_sitter.Language(python.language()), _QUERIES["python"]
    elif grammar == "javascript":
        import tree_sitter_javascript as javascript  # noqa: PLC0415

        language, query = tree_sitter.Language(javascript.language()), _QUERIES["javascript"]
    else:
        import tree_sitter_typescript as typescript  # noqa: PLC0415

        made = typescript.language_tsx() if grammar == "tsx" else typescript.language_typescript()
        language, query = tree_sitter.Language(made), _QUERIES["javascript"] + _TYPED
    return language, tree_sitter.Query(language, query)


def _first(captures: dict[str, list[Node]]) -> Node:
    return next(nodes[0] for name, nodes in captures.items() if name in {"import", "from", "call"})


def _text(node: Node | None) -> str:
    return "" if node is None or node.text is None else node.text.decode("utf-8", "replace")


def _literal(node: Node) -> str | None:
    """Return what a string without substitutions holds; None for any other."""
    parts = [child for child in node.named_children if child.type not in {"string_start", "string_end"}]
    if any(part.type not in {"string_content", "string_fragment"} or part.named_child_count for part in parts):
        return None
    return "".join(map(_text, parts))


def _ancestors(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield each node above with the child that leads down."""
    above = node.parent
    while above is not None:
        yield above, node
        node, above = above, above.parent


# -- Python


def _read_python(captures: dict[str, list[Node]]) -> Iterator[Imported]:
    node = _first(captures)
    names = list(_python_names(node, captures))
    if not names or _only_checked(node):
        return
    fallbacks, instead_of = _python_alternatives(node)
    for name, members in names:
        yield Imported(name=name, members=members, fallbacks=fallbacks, instead_of=instead_of)


def _only_checked(node: Node) -> bool:
    """Return True when only type checkers see an import."""
    for above, below in _ancestors(node):
        if above.type == "if_statement" and below == above.child_by_field_name("consequence"):
            condition = "".join(_text(above.child_by_field_name("condition")).split()).strip("()")
            if condition in _CHECKING:
                return True
    return False


def _python_alternatives(node: Node) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return what is loaded where an import fails, and for whose failure the import stands in."""
    for above, below in _ancestors(node):
        if above.type in _FUNCTIONS:
            break
        if above.type == "try_statement" and below == above.child_by_field_name("body"):
            fallbacks = _fallbacks(above)
            if fallbacks is not None:
                return fallbacks, ()
        elif above.type == "try_statement" and below.type == "except_clause" and _catches(below):
            body = above.child_by_field_name("body")
            return None, tuple(_modules_in(body)) if body is not None else ()
        elif above.type == "with_statement" and _suppresses(above):
            return (), ()
    return None, ()


def _python_names(node: Node, captures: dict[str, list[Node]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if node.type == "call":
        name = _literal(captures["name"][0])
        if name and _text(captures["called"][0]) in _LOADERS["python"] and not name.startswith("."):
            yield name, ()
        return
    named = [_imported_name(child) for child in node.children_by_field_name("name")]
    if node.type == "import_statement":
        yield from ((name, ()) for name in named if name)
        return
    module = _text(node.child_by_field_name("module_name")).replace(" ", "")
    if module:
        yield module, tuple(named)


def _imported_name(node: Node) -> str:
    name = node.child_by_field_name("name") if node.type == "aliased_import" else node
    return "".join(_text(name).split())


def _fallbacks(attempt: Node) -> tuple[str, ...] | None:
    """Return what a ``try`` loads when an import in it fails; None where it does not catch that."""
    handlers = [child for child in attempt.children if child.type == "except_clause" and _catches(child)]
    return tuple(name for handler in handlers for name in _modules_in(handler)) if handlers else None


def _catches(handler: Node) -> bool:
    """Return True when an ``except`` catches a missing module."""
    value = handler.child_by_field_name("value")
    if value is None:
        return True
    if value.type == "as_pattern":
        value = value.named_children[0]
    named = value.named_children if value.type == "tuple" else [value]
    return any(_text(name).rpartition(".")[2] in _CAUGHT for name in named)


def _suppresses(statement: Node) -> bool:
    """Return True when a ``with`` is ``contextlib.suppress(ImportError)``."""
    head = _text(statement.named_children[0])
    return "suppress" in head and any(name in head for name in _CAUGHT)


def _modules_in(block: Node) -> Iterator[str]:
    """Yield the modules that a block of Python loads by statements."""
    waiting = [block]
    while waiting:
        node = waiting.pop()
        if node.type in {"import_statement", "import_from_statement"}:
            yield from (name for name, _ in _python_names(node, {}) if not name.startswith("."))
        elif node.type not in _FUNCTIONS:
            waiting.extend(reversed(node.named_children))


# -- JavaScript and TypeScript


def _read_javascript(captures: dict[str, list[Node]]) -> Iterator[Imported]:
    node = _first(captures)
    if node.type == "call_expression":
        called, name = captures["called"][0], _literal(captures["name"][0])
        if not name or not _loads(called):
            return
    else:
        name = _literal(captures["source"][0])
        if not name or _only_types(node):
            return
    fallbacks: tuple[str, ...] | None = None
    for above, below in _ancestors(node):
        if above.type in _TYPES:
            return
        if above.type in _FUNCTIONS:
            break
        if above.type == "try_statement" and below == above.child_by_field_name("body"):
            fallbacks = () if above.child_by_field_name("handler") is not None else None
            break
        if above.type == "await_expression" and _caught(above):
            fallbacks = ()
            break
    yield Imported(name=name, fallbacks=fallbacks)


def _loads(called: Node) -> bool:
    if called.type == "call_expression":  # createRequire(import.meta.url)("name")
        return _text(called.child_by_field_name("function")).rpartition(".")[2] == "createRequire"
    return "".join(_text(called).split()) in _LOADERS["javascript"]


def _caught(awaited: Node) -> bool:
    return ".catch(" in _text(awaited)


def _only_types(node: Node) -> bool:
    """Return True when a statement of TypeScript has only types."""
    if any(child.type == "type" for child in node.children):
        return True
    clauses = [child for child in node.named_children if child.type in {"import_clause", "export_clause"}]
    if not clauses:
        return False
    named = clauses[0]
    if named.type == "import_clause":
        if any(child.type != "named_imports" for child in named.named_children):
            return False
        named = named.named_children[0]
    specifiers = [child for child in named.named_children if child.type in {"import_specifier", "export_specifier"}]
    return bool(specifiers) and all(any(c.type == "type" for c in each.children) for each in specifiers)
