"""The core: all wires share one table of sandboxes, one set of keys, one admission, and one place that counts runs."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools.server._errors import Unauthorized
from interpreter_tools.server._presented import presented_key
from interpreter_tools.server._recent import RecentRun
from interpreter_tools.server._spans import end_span, start_span

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.trace import Span
    from starlette.requests import HTTPConnection

    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools.server._admission import Admission
    from interpreter_tools.server._config import ServerConfig
    from interpreter_tools.server._keys import Keys, Owner
    from interpreter_tools.server._metrics import Metrics
    from interpreter_tools.server._sandbox import Sandbox
    from interpreter_tools.server._sandboxes import Sandboxes

_LOG = logging.getLogger("interpreter_tools.server")
_RECENT = 100
_STRATEGIES = {"sandbox": "pool", "reset": "pool", "container": "per_execution"}
"""The strategy of a run outside of sessions, by its isolation."""


def _recent() -> deque[RecentRun]:
    return deque(maxlen=_RECENT)


@dataclass(frozen=True, eq=False)
class Core:
    """The parts that all wires of a server share.

    Attributes:
        engine: runs the code.
        sandboxes: the table of sandboxes.
        keys: who may use the server.
        admission: whose turn it is; ``run`` uses it.
        metrics: the counts.
        config: the limits.
        recent: the last runs.
    """

    engine: ExecutionEngine
    sandboxes: Sandboxes
    keys: Keys
    admission: Admission
    metrics: Metrics
    config: ServerConfig
    recent: deque[RecentRun] = field(default_factory=_recent)

    def authenticate(self, connection: HTTPConnection) -> Owner:
        """Return the owner of the key that a request brings, wherever its client puts it.

        Raises:
            Unauthorized: there is no key, or the server does not know it.
        """
        try:
            return self.keys.owner(presented_key(connection.scope))
        except Unauthorized as error:
            self.metrics.refused(error.reason)
            raise

    def run(self, owner: Owner, *, wire: str, language: str, strategy: str = "", sandbox: Sandbox | None = None) -> Run:
        """Return the turn of a run or cell, which waits in ``async with`` and is counted at its end.

        Give its result to ``Run.end``. Without, its outcome is ``failed``, or ``cancelled``.

        Args:
            owner: whose run it is.
            wire: the wire that it came by.
            language: its language.
            strategy: ``"context"`` for a cell, ``"per_session"`` for a run of a session; empty means that the result
                tells.
            sandbox: the sandbox that it runs in; None where it has none.
        """
        return Run(self, owner, wire=wire, language=language, strategy=strategy, sandbox=sandbox)


class Run:
    """A run or cell of a wire: its turn, and what is counted of it.

    Attributes:
        queue_seconds: how long it waited for its turn.
    """

    def __init__(
        self, core: Core, owner: Owner, *, wire: str, language: str, strategy: str, sandbox: Sandbox | None
    ) -> None:
        self._core = core
        self._owner = owner
        self._wire = wire
        self._language = language
        self._strategy = strategy
        self._meter = None if sandbox is None else sandbox.meter
        self._used = 0.0  # of the meter, at the beginning
        self._outcome = "failed"
        self._span: Span | None = None
        self._slot = core.admission.slot(owner)
        self._began = 0.0
        self.queue_seconds = 0.0

    async def __aenter__(self) -> Self:
        await self._slot.__aenter__()
        self._span = start_span(wire=self._wire, language=self._language)
        self.queue_seconds = self._slot.waited
        self._began = time.monotonic()
        if self._meter is not None:
            self._used = self._meter.used
        return self

    def wait_for_client(self) -> None:
        """Take no turn from others while the cell waits for its client, until ``go_on``."""
        self._slot.lend()

    def go_on(self) -> None:
        """Count as one that runs again."""
        self._slot.take_back()

    def end(self, result: ExecutionResult) -> None:
        """Note how the run ended, and what it used."""
        self._outcome = result.outcome
        self._strategy = self._strategy or _STRATEGIES.get(result.isolation or "", "unknown")
        if self._meter is None:
            self._owner.use_cpu(result.cpu_time)
        else:
            self._meter.charge(result.cpu_time, since=self._used)
        for call in result.tool_calls:
            self._core.metrics.tool_calls.labels(call.name, call.outcome).inc()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._slot.__aexit__(kind, error, traceback)
        if self._outcome == "failed" and kind is not None and not issubclass(kind, Exception):
            self._outcome = "cancelled"
        seconds = time.monotonic() - self._began
        strategy = self._strategy or "unknown"
        end_span(self._span, outcome=self._outcome, strategy=strategy, queue_seconds=self.queue_seconds)
        run = RecentRun(
            ended_at=datetime.now(UTC),
            owner=self._owner.id,
            wire=self._wire,
            language=self._language,
            strategy=strategy,
            outcome=self._outcome,
            queue_seconds=self.queue_seconds,
            run_seconds=seconds,
        )
        self._core.metrics.ran(run)
        self._core.recent.append(run)
        if _LOG.isEnabledFor(logging.INFO):
            _LOG.info("run", extra={"fields": msgspec.structs.asdict(run)})
