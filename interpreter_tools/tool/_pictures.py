"""Pictures that programs display, in the form for models, and the variable that shows figures left open."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from interpreter_tools._config.display import DisplayResult

_FIGURES = "INTERPRETER_TOOLS_FIGURES"
_SHOWN = 4  # pictures of one run; each costs a model about 1,500 tokens
_BYTES = 2 << 20  # of one picture
_ALL_BYTES = 4 << 20  # of all pictures of a reply: providers refuse requests that are much larger
_Kind: TypeAlias = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
_MARKS: dict[bytes, _Kind] = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture for a model.

    Attributes:
        data: the file.
        mime_type: what its first bytes say that it is: ``image/png``, ``image/jpeg``, ``image/gif`` or ``image/webp``.
    """

    data: bytes
    mime_type: _Kind

    def __repr__(self) -> str:
        return f"<Picture {self.mime_type} [{len(self.data)}]>"

    @property
    def base64(self) -> str:
        """The file in base64."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def url(self) -> str:
        """The file as a ``data:`` URL."""
        return f"data:{self.mime_type};base64,{self.base64}"


def read_picture(data: bytes) -> Picture | None:
    """Return a file as a picture; None for what is too large, or none of the kinds that models take."""
    kind: _Kind | None = next((kind for mark, kind in _MARKS.items() if data.startswith(mark)), None)
    if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    return None if kind is None or len(data) > _BYTES else Picture(data=data, mime_type=kind)


def pictures_of(results: Iterable[DisplayResult]) -> tuple[Picture, ...]:
    """Return the pictures that a model is given: the first few, as far as they are not too large."""
    found: list[Picture] = []
    room = _ALL_BYTES
    for shown in results:
        made = shown.picture
        picture = None if made is None else read_picture(made[1])
        if picture is not None and len(picture.data) <= room:
            found.append(picture)
            room -= len(picture.data)
        if len(found) == _SHOWN:
            break
    return tuple(found)


def showing_figures(language: str, environment: Mapping[str, str], *given: Mapping[str, str]) -> dict[str, str]:
    """Return a run's variables, with the one that has Python show figures that a program leaves open.

    Args:
        language: what the program is written in.
        environment: the variables without it.
        given: the variables of the container. One that is given, here or in ``environment``, stays as it is.
    """
    installer = LanguageRegistry.get(language).dependencies
    if installer is None or installer.kind != "pip" or any(_FIGURES in each for each in (environment, *given)):
        return dict(environment)
    return {**environment, _FIGURES: "all"}
