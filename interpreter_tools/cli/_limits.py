"""The limits of runs as options of the command line: one list for ``run``, ``shell`` and ``mcp``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.mounts import Mount
    from interpreter_tools._config.options import RunLimits

_MODES = ("ro", "rw", "zip")
_OTHERS_MAY_WRITE = 0o002

FLAGS = {
    "timeout": "--timeout",
    "memory_limit": "--memory",
    "cpu_limit": "--cpus",
    "pids_limit": "--pids",
    "workspace_size": "--workspace-size",
    "tmp_size": "--tmp-size",
    "output_limit": "--output-limit",
    "environment": "--env",
    "network": "--network",
    "mounts": "--mount",
    "working_dir": "--workdir",
    "image": "--image",
    "tenant": "--tenant",
}
"""The flag of each option in ``RunLimits``, and of ``timeout``."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of programs; None for an option that was not given."""

    timeout: str | None = None
    memory: str | None = None
    cpus: str | None = None
    pids: int | None = None
    workspace_size: str | None = None
    tmp_size: str | None = None
    output_limit: str | None = None
    env: list[str] | None = None
    network: str | None = None
    mount: list[str] | None = None
    workdir: str | None = None
    image: str | None = None
    tenant: str | None = None

    @property
    def given(self) -> dict[str, object]:
        """The options that were given, by the names that ``RunLimits`` has for them."""
        values = {name: getattr(self, flag.removeprefix("--").replace("-", "_")) for name, flag in FLAGS.items()}
        return {name: value for name, value in values.items() if value is not None}

    def over(self, loaded: EngineConfig) -> EngineConfig:
        """Return the user's configuration with these limits over it.

        Raises:
            ConfigurationError: a value cannot work.
        """
        from interpreter_tools._config.options import with_limits  # noqa: PLC0415 - help needs none of it

        given = self.given
        timeout = loaded.timeout if self.timeout is None else read_timeout(self.timeout)
        given.pop("timeout", None)
        if self.output_limit == "none":
            given["output_limit"] = None
        if self.env:
            given["environment"] = dict(filter(None, map(_variable, self.env)))
        if self.mount:
            given["mounts"] = (*loaded.container.mounts, *map(_mount, self.mount))
        return with_limits(loaded, cast("RunLimits", given), timeout=timeout)


def read_timeout(text: str) -> float | None:
    """Return the seconds that ``30``, ``1.5``, ``90s`` or ``5m`` mean; None for 0 and ``none``, which mean no limit.

    Raises:
        ConfigurationError: the text is no time.
    """
    from interpreter_tools._exceptions import ConfigurationError  # noqa: PLC0415 - as above
    from interpreter_tools.tool._texts import read_seconds  # noqa: PLC0415

    seconds = 0.0 if text.strip().lower() == "none" else read_seconds(text)
    if seconds is None:
        hint = "give seconds, such as 30, or 90s, 5m, 1h; 0 means no limit"
        raise ConfigurationError("--timeout", text, "is not a time", hint=hint)
    return seconds or None


def _variable(text: str) -> tuple[str, str] | None:
    name, equals, value = text.partition("=")
    if equals:
        return name, value
    if name not in os.environ:
        sys.stderr.write(f"interpreter-tools: --env {name}: this shell has no such variable, so it is left out\n")
        return None
    return name, os.environ[name]


def _mount(text: str) -> Mount:
    from interpreter_tools._config.mounts import Mount  # noqa: PLC0415 - as above
    from interpreter_tools._exceptions import ConfigurationError  # noqa: PLC0415

    rest, _, mode = text.rpartition(":")
    if mode not in _MODES:
        rest, mode = text, "ro"
    source, colon, target = rest.rpartition(":")
    if not colon or not source or not target:
        hint = "give SOURCE:TARGET, SOURCE:TARGET:rw, or ARCHIVE:TARGET:zip"
        raise ConfigurationError("--mount", text, "does not name a source and a target", hint=hint)
    mount = Mount(target=target, source=source, kind="zip" if mode == "zip" else None, read_only=mode != "rw")
    if mode == "rw":
        _tell_who_writes(source)
    return mount


def _tell_who_writes(source: str) -> None:
    """Say so where programs will not be able to write: they run as another user than the directory's owner."""
    try:
        mode = os.stat(source).st_mode  # noqa: PTH116 - a text from the command line
    except OSError:
        return  # the mount itself is refused, with the reason
    if not mode & _OTHERS_MAY_WRITE:
        sys.stderr.write(
            f"interpreter-tools: --mount {source}: programs run as another user, who may not write there: "
            f"`chmod o+w {source}` lets them; --out DIR brings files out without that\n"
        )
