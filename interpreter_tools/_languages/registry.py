"""The languages that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._config.language_names import LANGUAGE_NAMES
from interpreter_tools._exceptions import ConfigurationError, UnknownLanguage
from interpreter_tools._languages.compiled import COMPILED
from interpreter_tools._languages.interpreted import INTERPRETED
from interpreter_tools._languages.node import JAVASCRIPT
from interpreter_tools._languages.node.typescript import TYPESCRIPT
from interpreter_tools._languages.python import PYTHON
from interpreter_tools._languages.shell import BASH, SHELL

if TYPE_CHECKING:
    from interpreter_tools._languages.config import LanguageConfig


class LanguageRegistry:
    """The languages that are known, by name and alias; one for the whole process."""

    _by_name: dict[str, LanguageConfig] = {}  # noqa: RUF012 - the one place where this state is kept

    @classmethod
    def register(cls, config: LanguageConfig) -> None:
        """Makes a language known, or replaces the one of the same name.

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
        """Forgets a language, if it is known."""
        known = cls._by_name.get(name)
        for alias in (known.language, *known.aliases) if known else ():
            cls._by_name.pop(alias, None)  # a name may be given twice
            LANGUAGE_NAMES.discard(alias)

    @classmethod
    def get(cls, name: str) -> LanguageConfig:
        """The language of that name or alias.

        Raises:
            UnknownLanguage: there is none; the error lists what is known.
        """
        config = cls._by_name.get(name) or cls._by_name.get(name.strip().lower())
        if config is None:
            raise UnknownLanguage(name, cls.names())
        return config

    @classmethod
    def names(cls) -> list[str]:
        """The names of the languages, without aliases, sorted."""
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
