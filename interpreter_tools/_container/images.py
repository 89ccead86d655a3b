"""The images of languages, and the Docker host's descriptions of them."""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from interpreter_tools._config.language_names import image_for
from interpreter_tools._exceptions import ArchitectureMismatch, ConfigurationError, DockerApiError, ImageMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._docker import DockerClient, ImageInfo
    from interpreter_tools._languages import LanguageConfig


_BAD_REQUEST = 400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}")


def _no_name(name: str) -> ConfigurationError:
    return ConfigurationError("image", name, "is not a name of an image", hint="give a name such as 'python:3.13-slim'")


def image_name(language: LanguageConfig, *, override: str | None, images: Mapping[str, str]) -> str:
    """Return the image for a language: of the call, the configuration, the environment, or the language's own."""
    if override is not None:
        return override
    variable = "INTERPRETER_TOOLS_IMAGE_" + re.sub(r"\W", "_", language.language).upper()
    configured = image_for((language.language, *language.aliases), images)
    return configured or os.environ.get(variable) or language.default_image


class ImageCatalog:
    """Images that were asked for, remembered by name."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client
        self._known: dict[str, ImageInfo] = {}
        # One lock for each name, so that the first callers reach the pool in the order of their calls.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(self, name: str) -> ImageInfo:
        """Return the Docker host's description of an image.

        Raises:
            ImageMissing: the host has no image of that name.
            ArchitectureMismatch: the image is for another kind of processor than the host's.
            ConfigurationError: no image can have that name.
        """
        async with self._turns[name]:
            known = self._known.get(name)
            return await self._look_up(name) if known is None else known

    async def _look_up(self, name: str) -> ImageInfo:
        if not _NAME.fullmatch(name) or ".." in name:
            raise _no_name(name)
        try:
            image = await self._client.inspect_image(name)
        except DockerApiError as error:
            if error.status != _BAD_REQUEST:
                raise
            raise _no_name(name) from error
        if image is None:
            raise ImageMissing(name)
        architecture = self._client.version.arch
        if image.architecture != architecture:
            raise ArchitectureMismatch(
                f"the image {name!r} is for {image.architecture}, the Docker host is {architecture}",
                hint="pull or build the image for the host's processor",
            )
        self._known[name] = image
        return image

    async def has(self, name: str) -> bool:
        """Return True when the Docker host has an image, or had it when it was last asked."""
        try:
            await self.find(name)
        except ImageMissing:
            return False
        return True

    def forget(self, name: str) -> None:
        """Forget an image that was removed or replaced, so that the next call asks the host again."""
        self._known.pop(name, None)
