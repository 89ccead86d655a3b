"""The completions and the colours of the prompt."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.lexers import Lexer, PygmentsLexer, SimpleLexer
from pygments.lexers import find_lexer_class_by_name
from pygments.util import ClassNotFound

from interpreter_tools._exceptions import UnknownLanguage
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.formatted_text import StyleAndTextTuples

    from interpreter_tools.shell._routing import Route


class Words(Completer):
    """Completes commands and what they take, prefixes of languages, and names of files.

    Args:
        commands: the argument of each command: ``"languages"``, ``"files"`` of the workspace, ``"paths"`` of this
            machine, or nothing.
        files: the files of the workspace.
    """

    def __init__(self, commands: Mapping[str, str], files: Callable[[], Sequence[str]]) -> None:
        self._commands = commands
        self._files = files
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return the completions at the cursor."""
        before = document.text_before_cursor
        if not before.startswith("/"):
            yield from self._of_code(before)
            return
        command, space, rest = before[1:].partition(" ")
        if not space:
            names = (f"/{name}" for name in sorted(self._commands) if name.startswith(command))
            yield from (Completion(name, start_position=-len(before)) for name in names)
            return
        takes = self._commands.get(command, "")
        if takes == "paths" and " " not in rest:
            yield from self._paths.get_completions(Document(rest, len(rest)), complete_event)
        elif takes in {"files", "languages"}:
            known = self._files() if takes == "files" else LanguageRegistry.names()
            for found in _beginning(rest, known):
                yield Completion(shlex.quote(found.text), start_position=found.start_position)

    def _of_code(self, before: str) -> Iterable[Completion]:
        word = before[max(before.rfind(mark) for mark in " \n\t'\"(=") + 1 :]
        if not word:
            return
        yield from _beginning(word, self._files())
        if word == before:
            yield from _beginning(word, [f"{name}:" for name in LanguageRegistry.names()])


def _beginning(word: str, known: Iterable[str]) -> Iterable[Completion]:
    # A name with control characters would put them into the input.
    fitting = (name for name in known if name.startswith(word) and name.isprintable())
    return (Completion(name, start_position=-len(word)) for name in fitting)


class Colours(Lexer):
    """Shows code in the colours of its language, which may change while it is typed.

    Args:
        routed: returns the route of an input.
    """

    def __init__(self, routed: Callable[[str], Route]) -> None:
        self._routed = routed
        self._lexers: dict[str, Lexer] = {}

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return a function for the styles of each line."""
        try:
            found = self._routed(document.text)
        except UnknownLanguage:
            found = None
        if found is not None and found.kind == "command":
            return SimpleLexer("ansicyan").lex_document(document)
        return self._lexer(found.name if found is not None and found.kind == "run" else "").lex_document(document)

    def _lexer(self, language: str) -> Lexer:
        if language not in self._lexers:
            self._lexers[language] = _lexer(language)
        return self._lexers[language]


def _lexer(language: str) -> Lexer:
    try:
        return PygmentsLexer(find_lexer_class_by_name(language)) if language else SimpleLexer()
    except ClassNotFound:
        return SimpleLexer()
