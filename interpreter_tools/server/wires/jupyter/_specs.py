"""The kernels that there are: one for each language that has contexts, under the names that notebooks use."""

from __future__ import annotations

import contextlib

import msgspec

from interpreter_tools._exceptions import UnknownLanguage
from interpreter_tools._languages import LanguageConfig, LanguageRegistry
from interpreter_tools.server._errors import BadRequest

DEFAULT = "python3"
"""The kernel of a client that names none."""

_NAMES = {"python": "python3", "shell": "bash"}  # by language; others have their language's name


class LanguageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The language of a kernel, in Jupyter's words.

    Attributes:
        name: its name.
        version: its version, as far as it is known.
        mimetype: of its programs.
        file_extension: of its programs.
        pygments_lexer: its name for colours in HTML.
        codemirror_mode: its name for colours in editors.
        nbconvert_exporter: what makes a script of a notebook.
    """

    name: str
    mimetype: str
    file_extension: str
    version: str = ""
    pygments_lexer: str = ""
    codemirror_mode: str | dict[str, object] = ""
    nbconvert_exporter: str = "script"


_INFOS = {
    "python": LanguageInfo(
        name="python",
        version="3",
        mimetype="text/x-python",
        file_extension=".py",
        pygments_lexer="ipython3",
        codemirror_mode={"name": "ipython", "version": 3},
        nbconvert_exporter="python",
    ),
    "javascript": LanguageInfo(
        name="javascript",
        mimetype="text/javascript",
        file_extension=".js",
        pygments_lexer="javascript",
        codemirror_mode="javascript",
    ),
    "typescript": LanguageInfo(
        name="typescript",
        mimetype="text/typescript",
        file_extension=".ts",
        pygments_lexer="typescript",
        codemirror_mode={"name": "javascript", "typescript": True},
    ),
    "bash": LanguageInfo(
        name="bash", mimetype="text/x-sh", file_extension=".sh", pygments_lexer="bash", codemirror_mode="shell"
    ),
}
_VERSION_CODES = {
    "python": "print(__import__('platform').python_version())",
    "javascript": "console.log(process.versions.node)",
    "bash": "echo $BASH_VERSION",
}
_TITLES = {"python": "Python 3", "javascript": "JavaScript", "typescript": "TypeScript", "bash": "Bash"}


class Spec:
    """A kernel that can be started.

    Attributes:
        name: its name.
        language: the name of our language.
        info: what clients are told of the language.
        version_code: a cell that prints the version of the language; empty where there is none.
    """

    def __init__(self, language: LanguageConfig) -> None:
        self.language = language.language
        self.name = _NAMES.get(self.language, self.language)
        self.version_code = _VERSION_CODES.get(self.language, "")
        extension = "." + language.code_filename.rpartition(".")[2]
        self.info = _INFOS.get(self.language) or LanguageInfo(
            name=self.language,
            mimetype=f"text/x-{self.language}",
            file_extension=extension,
            pygments_lexer=self.language,
            codemirror_mode=self.language,
        )

    def __repr__(self) -> str:
        return f"<Spec {self.name}>"

    def model(self) -> dict[str, object]:
        """Return the answer to who asks for this kernel."""
        return {
            "name": self.name,
            "resources": {},
            "spec": {
                "argv": [],  # it is no command of the client's machine
                "display_name": _TITLES.get(self.language, self.language.title()),
                "language": self.info.name,
                "interrupt_mode": "message",
                "env": {},
                "metadata": {},
            },
        }


def specs() -> dict[str, Spec]:
    """Return the kernels that there are, by name."""
    languages = [LanguageRegistry.get(name) for name in LanguageRegistry.names()]
    found = [Spec(language) for language in languages if language.cells is not None and language.language != "shell"]
    return {spec.name: spec for spec in found}


def find_spec(name: str) -> Spec:
    """Return the kernel of a name, or of another name of its language.

    Raises:
        BadRequest: there is none.
    """
    with contextlib.suppress(UnknownLanguage):
        language = LanguageRegistry.get(name or DEFAULT)
        if language.cells is not None:
            return Spec(language)
    raise BadRequest(f"there is no kernel {name[:80]!r}", hint=f"known: {', '.join(specs())}")
