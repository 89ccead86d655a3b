"""The registry of languages."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from interpreter_tools._config.language_names import LANGUAGE_NAMES
from interpreter_tools._config.settings import build
from interpreter_tools._exceptions import ConfigurationError, UnknownLanguage
from interpreter_tools._languages.compiled import COMPILED
from interpreter_tools._languages.config import LanguageConfig
from interpreter_tools._languages.interpreted import INTERPRETED
from interpreter_tools._languages.node import JAVASCRIPT
from interpreter_tools._languages.node.typescript import TYPESCRIPT
from interpreter_tools._languages.python import PYTHON
from interpreter_tools._languages.shell import BASH, SHELL

if TYPE_CHECKING:
    from collections.abc import Mapping


GROUP = "interpreter_tools.languages"
"""The entry points of installed packages that bring a language: each names a ``LanguageConfig``."""

_LOG = logging.getLogger("interpreter_tools")


class LanguageRegistry:
    """The registered languages, by name and alias; one registry for the whole process.

    Installed packages add languages by entry points of the group ``interpreter_tools.languages``. The registry reads
    the entry points once, when a name is not known or all names are asked for. Register and unregister languages in one
    thread, while no other thread uses the registry.
    """

    _by_name: dict[str, LanguageConfig] = {}  # noqa: RUF012 - the one place where this state is kept
    _looked = False

    @classmethod
    def register(cls, config: LanguageConfig) -> None:
        """Register a language, or replace the one of the same name.

        Raises:
            ConfigurationError: a name or alias belongs to another language.
        """
        for name in (config.language, *config.aliases):
            other = cls._by_name.get(name)
            if other is not None and other.language != config.language:
                raise ConfigurationError("aliases", name, f"already means {other.language}")
        cls.unregister(config.language)
        for name in (config.language, *config.aliases):
            cls._by_name[name] = config
            LANGUAGE_NAMES.add(name)

    @classmethod
    def unregister(cls, name: str) -> None:
        """Remove a language from the registry, if it is there."""
        known = cls._by_name.get(name)
        for alias in (known.language, *known.aliases) if known else ():
            cls._by_name.pop(alias, None)  # a name may be given twice
            LANGUAGE_NAMES.discard(alias)

    @classmethod
    def get(cls, name: str) -> LanguageConfig:
        """Return the language of a name or alias.

        Raises:
            UnknownLanguage: no such language is registered; the error lists the registered ones.
            ConfigurationError: the name is no text.
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise ConfigurationError("language", name, "is not a name", hint="give it as a text, such as 'python'")
        config = cls._find(name)
        if config is None:
            names = cls.names()  # which looks for those of installed packages
            config = cls._find(name)
            if config is None:
                raise UnknownLanguage(name, names)
        return config

    @classmethod
    def run_by(cls, program: str) -> LanguageConfig | None:
        """Return the language whose programs a program runs, such as Python for ``python3``; None where there is none.

        Args:
            program: the name of a program, or several as ``LanguageConfig.run_command`` has them.
        """
        for names in (cls.registered, cls.names):  # the languages of installed packages take longer to find
            languages = [cls._by_name[name] for name in names()]
            by_command = (found for found in languages if found.run_command[0] == program != "sh")  # which runs many
            by_name = (found for name in (program, program.rstrip("0123456789.")) if (found := cls._find(name)))
            by_pattern = (found for found in languages if found.is_run_by(program))
            for found in itertools.chain(by_command, by_name, by_pattern):
                return found
        return None

    @classmethod
    def _find(cls, name: str) -> LanguageConfig | None:
        return cls._by_name.get(name) or cls._by_name.get(name.strip().lower())

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the registered languages, without aliases, sorted."""
        cls._look()
        return cls.registered()

    @classmethod
    def register_all(cls, tables: Mapping[str, Mapping[str, object]]) -> None:
        """Make the languages of a configuration known, as ``EngineConfig.languages`` has them.

        Args:
            tables: the fields of a ``LanguageConfig`` by the language's name.

        Raises:
            ConfigurationError: a value cannot work; the error tells the field's path.
        """
        for name, table in tables.items():
            cls.register(build({"language": name, **table}, LanguageConfig, field=f"languages.{name}"))

    @classmethod
    def _look(cls) -> None:
        """Register the languages of installed packages, once; one that cannot be had is told, and left out."""
        if cls._looked:
            return
        cls._looked = True
        from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and few runs need it

        for point in entry_points(group=GROUP):
            try:
                config: object = point.load()
            except Exception:  # noqa: BLE001 - somebody else's package; the languages beside it work
                _LOG.warning("the language of the entry point %r cannot be loaded", point.name, exc_info=True)
                continue
            if not isinstance(config, LanguageConfig):
                _LOG.warning("the entry point %r is %r, which is no LanguageConfig", point.name, config)
            elif cls._find(config.language) is None:  # what the program itself has registered goes before
                cls.register(config)

    @classmethod
    def registered(cls) -> list[str]:
        """Return the names of the languages that are registered by now; entry points may bring more later."""
        return sorted({config.language for config in cls._by_name.values()})

    @classmethod
    def offered(cls) -> list[str]:
        """Return the names of the languages that models are offered where nobody chooses.

        Those whose images set-up makes by itself, and those that the program has registered.
        """
        further = {config.language: config for config in _FURTHER}
        return [name for name in cls.names() if cls._by_name[name] is not further.get(name)]


_FURTHER = (*INTERPRETED, *COMPILED)

for _config in (PYTHON, JAVASCRIPT, TYPESCRIPT, SHELL, BASH, *_FURTHER):
    LanguageRegistry.register(_config)
