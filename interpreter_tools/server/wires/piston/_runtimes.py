"""The languages that Piston's clients are told of, and the versions of them that are asked for."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._container.images import image_name
from interpreter_tools._exceptions import UnknownLanguage
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.server._errors import BadRequest
from interpreter_tools.server.wires.piston._ranges import fits

if TYPE_CHECKING:
    from interpreter_tools._languages import LanguageConfig
    from interpreter_tools.server._core import Core

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_PROBES = {
    "python": "python3 --version",
    "javascript": "node --version",
    "typescript": "node --version",
    "bash": "bash --version",
    "shell": "bash --version",
    "sql": "sqlite3 --version",
    "awk": "gawk --version",
    "c": "gcc --version",
    "cpp": "g++ --version",
    "fortran": "gfortran --version",
    "pascal": "fpc -iV",
    "go": "go version",
    "rust": "rustc --version",
    "java": "javac --version",
    "perl": "perl -v",
    "lua": "lua5.4 -v",
    "php": "php --version",
    "r": "Rscript --version",
}
"""Commands that print the version of a language's interpreter or compiler."""

_UNKNOWN_VERSION = "1.0.0"  # of a language whose image does not say


class Runtime(msgspec.Struct, kw_only=True):
    """A language that can be run."""

    language: str
    version: str
    aliases: list[str]
    runtime: str | None = None


class Runtimes:
    """The languages whose images are on the Docker host, with the versions of their interpreters; asked for once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._versions: dict[str, str] = {}  # by image and language
        self._lock = asyncio.Lock()

    async def all(self) -> list[Runtime]:
        """Return them, by name."""
        languages = [LanguageRegistry.get(name) for name in LanguageRegistry.names()]
        async with self._lock:
            found = [await self._find(language) for language in languages]
        return [runtime for runtime in found if runtime is not None]

    async def get(self, name: str, version: str) -> tuple[LanguageConfig, Runtime]:
        """Return the language of a name whose version fits, such as ``*``, ``3.x``, ``3.12`` or ``^3.1.0``.

        Raises:
            BadRequest: there is none, in Piston's words.
        """
        unknown = BadRequest(f"{name[:80]}-{version[:80]} runtime is unknown")
        try:
            language = LanguageRegistry.get(name)
        except UnknownLanguage:
            raise unknown from None
        async with self._lock:
            runtime = await self._find(language)
        if runtime is None or not fits(runtime.version, version):
            raise unknown
        return language, runtime

    async def _find(self, language: LanguageConfig) -> Runtime | None:
        config = self._core.engine.config
        image = image_name(language, override=config.container.image, images=config.images)
        if not await self._core.engine.has_image(image):
            return None
        key = f"{image} {language.language}"
        version = self._versions.get(key)
        if version is None:
            version = self._versions[key] = await self._probe(language, image)
        return Runtime(language=language.language, version=version, aliases=list(language.aliases))

    async def _probe(self, language: LanguageConfig, image: str) -> str:
        command = _PROBES.get(language.language)
        if command is None:
            return _UNKNOWN_VERSION
        result = await self._core.engine.run("shell", command, image=image, merge_output=True)
        found = _VERSION.search(result.stdout)
        return _UNKNOWN_VERSION if found is None else ".".join(part or "0" for part in found.groups())
