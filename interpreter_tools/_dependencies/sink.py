"""The sink of an installer's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from interpreter_tools._config.results import DependencyStream

Sink: TypeAlias = Callable[[DependencyStream, bytes], None]
