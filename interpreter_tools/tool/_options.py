"""Options of the code execution tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from interpreter_tools._config.checks import check_count, check_seconds
from interpreter_tools._config.fields import check_fields
from interpreter_tools._config.host_tools import HostTool
from interpreter_tools._config.model import ContainerStrategy, RunStrategy, check_sharing
from interpreter_tools._config.options import RunLimits, check_limits
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import Sequence


class ToolOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a tool; attributes as in ``create_code_execution_tool``.

    Raises:
        ConfigurationError: a value cannot work.
    """

    name: str = "execute_code"
    description: str | None = None
    languages: tuple[str, ...] | None = None
    strategy: RunStrategy | None = None
    session_id: str | None = None
    workspace_sharing: Literal["isolated", "shared"] = "isolated"
    stateful: bool = False
    dependencies: bool = True
    auto_dependencies: bool = True
    timeout: float | None = 60.0
    max_tokens: int = 4000
    limits: RunLimits = {}
    tools: Mapping[str, HostTool] = {}

    def __post_init__(self) -> None:
        check_seconds(self.timeout, field="timeout")
        check_count(self.max_tokens, field="max_tokens", least=100)
        limits = check_limits(self.limits)
        tools = self.tools
        for name in ("limits", "tools"):
            msgspec.structs.force_setattr(self, name, {})
        check_fields(self)
        msgspec.structs.force_setattr(self, "limits", limits)
        msgspec.structs.force_setattr(self, "tools", tools)
        if isinstance(self.strategy, ContainerStrategy):
            check_sharing(self.strategy, self.workspace_sharing)
        if not self.name.replace("_", "").replace("-", "").isalnum() or not self.name.isascii() or len(self.name) > 64:
            hint = "use letters, digits, _ and - only, at most 64"
            raise ConfigurationError("name", self.name, "is not a name that models can call", hint=hint)

    @property
    def keeps_files(self) -> bool:
        """True when files stay from one call to the next, in a session of the tool's own."""
        own = self.strategy is ContainerStrategy.PER_SESSION or self.workspace_sharing == "shared"
        return own or (self.stateful and self.session_id is None)

    def allowed_languages(self) -> Sequence[str]:
        """Return the languages that are registered now and allowed."""
        if self.languages is None:
            return LanguageRegistry.offered()
        return sorted({LanguageRegistry.get(name).language for name in self.languages})
