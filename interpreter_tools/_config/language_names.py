"""The names of languages, kept by the registry of languages for modules that must not import it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

LANGUAGE_NAMES: set[str] = set()
"""Every name and alias that is registered."""


def check_languages(images: Mapping[str, str], *, field: str, beside: Collection[str] = ()) -> None:
    """Refuse images of unknown languages: the image of a misspelt language would never be used.

    Args:
        images: images by language, as ``EngineConfig.images``.
        field: their path in the configuration.
        beside: languages that the same configuration brings.

    Raises:
        ConfigurationError: a language is not registered.
    """
    if not LANGUAGE_NAMES:
        return  # a part of the program that runs nothing, and so has loaded no language
    for name, image in images.items():
        if fold(name) not in LANGUAGE_NAMES and fold(name) not in beside:
            close = difflib.get_close_matches(fold(name), LANGUAGE_NAMES, n=1)
            known = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(LANGUAGE_NAMES))};"
            hint = f"{known} others are registered first, with LanguageRegistry.register(LanguageConfig(...))"
            raise ConfigurationError(f"{field}.{name}", image, "is for a language that is not registered", hint=hint)


def image_for(names: Iterable[str], images: Mapping[str, str]) -> str | None:
    """Return the image that is configured for a language, under whichever of its names; None where there is none."""
    if not images:
        return None
    wanted = set(names)
    return next((image for name, image in images.items() if fold(name) in wanted), None)


def fold(name: str) -> str:
    """Return a name as it is registered: the names of environment variables are in upper case."""
    return name.strip().lower()
