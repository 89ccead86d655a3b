"""The user's settings, as every command reads them."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from interpreter_tools._config.model import EngineConfig
from interpreter_tools._config.settings import SettingsIgnored
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._text import harmless

if TYPE_CHECKING:
    from pathlib import Path


def load_settings(command: str, file: Path | None = None) -> EngineConfig:
    """Return the user's configuration, and say on stderr which settings of the current directory were ignored.

    Args:
        command: the command that reads them.
        file: the file that the user names; None means the usual ones.

    Raises:
        ConfigurationError: a setting cannot work.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SettingsIgnored)
        config = EngineConfig.load(file)
    for warning in caught:
        if isinstance(warning.message, SettingsIgnored):
            sys.stderr.write(f"interpreter-tools {command}: {harmless(str(warning.message))}\n")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    LanguageRegistry.register_all(config.languages)
    return config
