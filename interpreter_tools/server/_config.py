"""The configuration of a server."""

from __future__ import annotations

import os

import msgspec

from interpreter_tools._config.checks import check_count, check_seconds
from interpreter_tools._config.fields import ConfigMeta, check_fields

_MIB = 1 << 20


class ServerConfig(msgspec.Struct, metaclass=ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of a server.

    Attributes:
        runs: runs and cells at once, over all keys; None means four for each core, at least 8.
        queue: runs and cells that wait, over all keys; a caller beyond it is told to come again later (429).
        sandboxes: sandboxes at once, over all keys.
        sandbox_timeout: seconds that a sandbox lives unless its client says otherwise.
        longest_timeout: seconds that a client may ask for at most.
        paused_timeout: seconds that a paused sandbox is kept.
        body_limit: bytes of a request that is held in memory.
        upload_limit: bytes of a file that is streamed into a workspace.
        drain: seconds that runs get to end when the server stops.
        domain: the domain whose hosts ``{port}-{sandbox}.{domain}`` lead to sandboxes; empty means none.

    Raises:
        ConfigurationError: a value cannot work.
    """

    runs: int | None = None
    queue: int = 2000
    sandboxes: int = 200
    sandbox_timeout: float = 300.0
    longest_timeout: float = 86400.0
    paused_timeout: float = 86400.0
    body_limit: int = 64 * _MIB
    upload_limit: int = 4096 * _MIB
    drain: float = 20.0
    domain: str = ""

    def __post_init__(self) -> None:
        if self.runs is not None:
            check_count(self.runs, field="runs", least=1)
        check_count(self.queue, field="queue", least=1)
        check_count(self.sandboxes, field="sandboxes", least=1)
        check_count(self.body_limit, field="body_limit", least=1)
        check_count(self.upload_limit, field="upload_limit", least=1)
        for field in ("sandbox_timeout", "longest_timeout", "paused_timeout", "drain"):
            check_seconds(getattr(self, field), field=field)
        check_fields(self)

    @property
    def slots(self) -> int:
        """``runs``, or what it is on this machine."""
        return self.runs or max(8, 4 * (os.cpu_count() or 1))
