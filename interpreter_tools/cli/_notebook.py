"""A Jupyter notebook as one program: the code of its cells, in order."""

from __future__ import annotations

import re

import msgspec

from interpreter_tools._exceptions import ConfigurationError

_MAGIC = re.compile(r"^(\s*)([%!].*)$", re.MULTILINE)
_OF_PYTHON = re.compile(r"\s*%%(?:time|timeit|capture|prun)\b")  # magics whose cell is a program of Python


class _Cell(msgspec.Struct):
    cell_type: str = ""
    source: str | list[str] = ""


class _Kernel(msgspec.Struct):
    language: str = ""


class _Metadata(msgspec.Struct):
    kernelspec: _Kernel = msgspec.field(default_factory=_Kernel)


class _Notebook(msgspec.Struct):
    cells: list[_Cell]
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


def program_of_notebook(data: bytes) -> tuple[str, bytes]:
    """Return a notebook's language and its cells' code.

    Lines of IPython's own, such as ``%pip``, become comments, and so do cells of another language, such as ``%%bash``.

    Raises:
        ConfigurationError: it is no notebook of version 4.
    """
    try:
        notebook = msgspec.json.decode(data, type=_Notebook)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError("file", "...", f"is no Jupyter notebook: {error}") from None
    language = notebook.metadata.kernelspec.language.lower() or "python"
    sources = ["".join(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    if language == "python":
        sources = [_of_python(source) for source in sources]
    code = "\n\n".join(sources) + "\n"
    return language, code.encode()


def _of_python(source: str) -> str:
    if source.lstrip().startswith("%%") and not _OF_PYTHON.match(source):
        return "".join(f"# {line}" for line in source.splitlines(keepends=True))
    return _MAGIC.sub(r"\1# \2", source)
