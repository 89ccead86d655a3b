"""The results that a program displays: pictures, tables and text, each in one or more representations."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from interpreter_tools._text import lenient_json

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

    Representation: TypeAlias = str | bytes
else:
    Representation = object  # msgspec decodes no union of both: in JSON, bytes are base64

CHART = "application/vnd.interpreter-tools.chart+json"
"""A chart as data, as ``DisplayResult.chart`` has it."""

TABLE = "application/vnd.interpreter-tools.table+json"
"""The columns of a table, as ``DisplayResult.table`` has them."""

_SUFFIXES = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/latex": ".tex",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "application/pdf": ".pdf",
    "application/javascript": ".js",
    "application/json": ".json",
    CHART: ".chart.json",
    TABLE: ".table.json",
}
_PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")


def is_json(mime: str) -> bool:
    """Tell whether a MIME type is one of JSON data."""
    return mime == "application/json" or mime.endswith("+json")


def is_binary(mime: str) -> bool:
    """Tell whether a MIME type is one of bytes: a picture, a sound, a PDF file."""
    return (mime.startswith(("image/", "audio/", "video/")) and mime != "image/svg+xml") or mime == "application/pdf"


class DisplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a program has displayed, as a claim of the program: data, never to be executed by who shows it.

    Attributes:
        data: representations by MIME type: bytes for pictures, sounds and PDF files, text for all others (JSON as its
            text). The columns of a data frame, which E2B calls ``data``, are ``table``.
        metadata: what the program says about them, by MIME type.
        is_main_result: it is the value of a cell's last expression.
        display_id: its name, where the program gave it one.
        update: it takes the place of the earlier result of that name.
    """

    data: dict[str, Representation]
    metadata: dict[str, object] = msgspec.field(default_factory=dict[str, object])
    is_main_result: bool = False
    display_id: str | None = None
    update: bool = False

    def __post_init__(self) -> None:
        for mime, item in self.data.items():
            if isinstance(item, str) and is_binary(mime):  # it was decoded from JSON
                self.data[mime] = base64.b64decode(item)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{mime} [{len(item)}]" for mime, item in self.data.items())
        return f"<DisplayResult {sizes}>"

    def _text(self, mime: str) -> str | None:
        item = self.data.get(mime)
        return item if isinstance(item, str) else None

    def _bytes(self, mime: str) -> bytes | None:
        item = self.data.get(mime)
        return item if isinstance(item, bytes) else None

    def _json(self, mime: str) -> object:
        item = self.data.get(mime)
        return None if item is None else msgspec.json.decode(item)

    @property
    def text(self) -> str | None:
        """The plain text; None without one, as with all of these."""
        return self._text("text/plain")

    @property
    def html(self) -> str | None:
        """The HTML."""
        return self._text("text/html")

    @property
    def markdown(self) -> str | None:
        """The Markdown."""
        return self._text("text/markdown")

    @property
    def latex(self) -> str | None:
        """The LaTeX."""
        return self._text("text/latex")

    @property
    def svg(self) -> str | None:
        """The drawing as SVG."""
        return self._text("image/svg+xml")

    @property
    def javascript(self) -> str | None:
        """The script for a browser."""
        return self._text("application/javascript")

    @property
    def png(self) -> bytes | None:
        """The picture as a PNG file."""
        return self._bytes("image/png")

    @property
    def jpeg(self) -> bytes | None:
        """The picture as a JPEG file."""
        return self._bytes("image/jpeg")

    @property
    def pdf(self) -> bytes | None:
        """The PDF file."""
        return self._bytes("application/pdf")

    @property
    def json(self) -> object:
        """The JSON data, decoded."""
        return self._json("application/json")

    @property
    def chart(self) -> dict[str, object] | None:
        """The chart as data: a dictionary with ``type``, ``title`` and ``elements``.

        ``type`` is one of line, scatter, bar, pie, box_and_whisker and superchart, with the fields that E2B's clients
        know, or histogram, heatmap, area and unknown. The figures of plotly and Altair have their own JSON in ``data``.
        """
        return cast("dict[str, object] | None", self._json(CHART))

    @property
    def table(self) -> dict[str, list[object]] | None:
        """The columns of a data frame: values by the column's name (E2B's ``data``)."""
        return cast("dict[str, list[object]] | None", self._json(TABLE))

    @property
    def picture(self) -> tuple[str, bytes] | None:
        """The MIME type and the bytes of the picture that every browser and model takes; None without one."""
        return next(((mime, item) for mime in _PICTURES if (item := self._bytes(mime)) is not None), None)

    def formats(self) -> tuple[str, ...]:
        """Return the MIME types that there are, sorted."""
        return tuple(sorted(self.data))

    def save(self, directory: str | os.PathLike[str], *, name: str = "result") -> tuple[Path, ...]:
        """Write each representation to a file of its own; replaces files that are there. Blocks while it writes.

        Args:
            directory: where the files go; it is made if need be.
            name: what their names begin with: ``result.png``, ``result.txt``.

        Returns:
            The files, sorted.

        Raises:
            OSError: a file cannot be written.
        """
        target = Path(directory)
        target.mkdir(parents=True, exist_ok=True)
        paths: list[Path] = []
        for mime, item in self.data.items():
            suffix = _SUFFIXES.get(mime) or "." + re.sub(r"[^A-Za-z0-9]+", "-", mime).strip("-")[:60]
            path = target / f"{name}{suffix}"
            path.write_bytes(item if isinstance(item, bytes) else item.encode("utf-8", "replace"))
            paths.append(path)
        return tuple(sorted(paths))

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the same for the caller's own notebook: Jupyter's form, with JSON decoded and bytes as base64."""
        data: dict[str, object] = {}
        for mime, item in self.data.items():
            if (include is None or mime in include) and mime not in (exclude or ()):
                plain = base64.b64encode(item).decode() if isinstance(item, bytes) else item
                data[mime] = self._json(mime) if is_json(mime) else plain
        return data, {mime: about for mime, about in self.metadata.items() if mime in data}


class ProgramError(msgspec.Struct, frozen=True, kw_only=True):
    """The exception that ended a cell.

    Attributes:
        name: its type, such as ``"ValueError"``.
        value: its message.
        traceback: as the language prints it, as plain text.
    """

    name: str
    value: str
    traceback: str


class _Message(msgspec.Struct):
    """A display as the package in the sandbox sends it."""

    data: dict[str, object]
    metadata: dict[str, object] = msgspec.field(default_factory=dict[str, object])
    main: bool = False
    id: str | None = None
    update: bool = False


_DECODER = msgspec.json.Decoder(_Message)
_MOST_LENIENT = 4 << 20  # bytes of a message that is read twice


def read_display(body: bytes | bytearray) -> DisplayResult | None:
    """Return what a program's message says; None for a message that is no display: it is the program's own mistake."""
    try:
        message = _message(body)
        data = {mime: made for mime, item in message.data.items() if (made := _representation(mime, item)) is not None}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not data:
        return None
    return DisplayResult(
        data=data,
        metadata=message.metadata,
        is_main_result=message.main,
        display_id=message.id,
        update=message.update,
    )


def _message(body: bytes | bytearray) -> _Message:
    """Read a message; half a character in it becomes ``?``, and NaN null.

    Raises:
        DecodeError, UnicodeDecodeError, RecursionError: it is none.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if len(body) > _MOST_LENIENT:
            raise
        try:
            return msgspec.convert(lenient_json(body), _Message)
        except ValueError:
            raise msgspec.DecodeError("no JSON") from None


def _representation(mime: str, item: object) -> str | bytes | None:
    if is_json(mime):
        return msgspec.json.encode(item).decode()
    if not isinstance(item, str):
        return None
    if not is_binary(mime):
        return item
    try:
        return base64.b64decode(item, validate=False)
    except ValueError:
        return None
