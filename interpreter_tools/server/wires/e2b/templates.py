"""Templates: their names map to images of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ImageMissing
from interpreter_tools.server._errors import NotFound
from interpreter_tools.setup import KNOWN_IMAGES

if TYPE_CHECKING:
    from interpreter_tools.server._core import Core

DEFAULTS = frozenset({"", "base", "code-interpreter-v1", "code-interpreter", "code-interpreter-beta"})
"""The templates of E2B that stand for the best image that this machine has."""

_BEST = ("interpreter-tools/code-interpreter:1", "interpreter-tools/python-data:1", "interpreter-tools/python:1")
_BY_NAME = {known.name: known.image for known in KNOWN_IMAGES}
_PYTHON = frozenset(_BEST)

REFUSAL = (
    "templates are not built here: build an image with Docker (`docker build -t NAME .`, with python3 in it) "
    "and use its name as the template, or one of: "
) + ", ".join(sorted({*DEFAULTS - {""}, *_BY_NAME}))


async def image_of(core: Core, template: str) -> str:
    """Return the image of a template.

    Raises:
        NotFound: there is no such template, and no such image on this machine.
    """
    name = template.partition("/")[2] if template.startswith("e2b/") else template
    if name in DEFAULTS:
        for image in _BEST:
            if await core.engine.has_image(image):
                return image
        raise ImageMissing(_BEST[-1])
    image = _BY_NAME.get(name, name)
    if await core.engine.has_image(image):
        return image
    hint = "`docker image ls` shows those of this machine"
    if name in _BY_NAME:
        hint = f"`interpreter-tools setup {name}` makes its image"
    raise NotFound(f"template {template[:100]!r} not found", hint=hint)


def begins_with_python(image: str) -> bool:
    """Return True for an image whose sandboxes begin with a Python that is ready."""
    return image in _PYTHON


def is_code_interpreter(image: str) -> bool:
    """Return True for the image that has Node.js, and whose workspace has the name of E2B's home, too."""
    return image == _BEST[0]


def names() -> list[str]:
    """Return the names of the templates that have a name of their own."""
    return sorted({*DEFAULTS - {""}, *_BY_NAME})
