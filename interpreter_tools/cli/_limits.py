"""The limits of runs as options of the command line: one list for ``run``, ``shell``, ``mcp`` and ``serve``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
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


def option(text: str, *, name: str = "", alias: str = "") -> dict[str, str]:
    """Return the metadata by which a field of a dataclass is an option of the command line.

    Args:
        text: the words for ``--help``.
        name: the option's name; otherwise that of the field.
        alias: its short name.
    """
    return {"text": text, "name": name, "alias": alias}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of programs; None for an option that was not given."""

    timeout: str | None = field(
        default=None, metadata=option("Run time, such as 30, 90s or 5m; 0 means no limit. Usually 60 s.")
    )
    memory: str | None = field(default=None, metadata=option("Memory limit, such as 2g. Usually 512m."))
    cpus: str | None = field(default=None, metadata=option("Limit of processor cores, such as 0.5. Usually none."))
    pids: int | None = field(default=None, metadata=option("Limit of processes and threads at once. Usually 256."))
    workspace_size: str | None = field(
        default=None,
        metadata=option("Room for files, such as 64m; it counts towards --memory. Usually half of that, at most 256m."),
    )
    tmp_size: str | None = field(
        default=None, metadata=option("The same for /tmp. Usually an eighth of --memory, at most 64m.")
    )
    output_limit: str | None = field(
        default=None,
        metadata=option("Limit of output, such as 1m, or none. Usually 16m; none for `run` without --json."),
    )
    env: list[str] | None = field(
        default=None,
        metadata=option("NAME=VALUE, or NAME for this shell's value; may be repeated.", alias="-e"),
    )
    network: str | None = field(
        default=None, metadata=option("A Docker network, such as bridge; otherwise there is none.")
    )
    mount: list[str] | None = field(
        default=None,
        metadata=option(
            "SOURCE:TARGET shows a local file or directory; end with :zip to unpack an archive, with :rw to let "
            "programs write (as another user: the directory must let others write).",
            alias="-m",
        ),
    )
    workdir: str | None = field(
        default=None, metadata=option("Where programs start: a path in the sandbox.", alias="-w")
    )
    image: str | None = field(default=None, metadata=option("The image to run in."))
    tenant: str | None = field(
        default=None, metadata=option("Whose code it is: programs of different tenants never share a container.")
    )

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
