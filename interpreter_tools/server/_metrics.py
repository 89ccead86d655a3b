"""Metrics in Prometheus' form. They name languages, strategies and reasons; never code, data or keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from interpreter_tools._exceptions import EngineClosed
from interpreter_tools.server._sandbox import SandboxState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools.server._admission import Admission
    from interpreter_tools.server._recent import RecentRun
    from interpreter_tools.server._sandboxes import Sandboxes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_PREFIX = "interpreter_tools"


class Metrics:
    """The metrics of a server, in a registry of their own.

    Attributes:
        registry: the registry, for those who add metrics of their own.
        refusals: requests that were refused, by reason.
        tool_calls: calls of host functions by programs, by tool and outcome.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        runs = ("wire", "language", "strategy", "outcome")
        self._runs = Counter(f"{_PREFIX}_runs", "Runs and cells that have ended", runs, registry=self.registry)
        self._seconds = Histogram(
            f"{_PREFIX}_run_seconds",
            "Seconds from the turn of a run to its end",
            ("language", "strategy"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._queued = Histogram(
            f"{_PREFIX}_queue_seconds",
            "Seconds that a run waited for its turn",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refusals = Counter(
            f"{_PREFIX}_refusals", "Requests that were refused", ("reason",), registry=self.registry
        )
        self.tool_calls = Counter(
            f"{_PREFIX}_tool_calls",
            "Calls of host functions by programs",
            ("tool", "outcome"),
            registry=self.registry,
        )

    def watch(self, engine: ExecutionEngine, sandboxes: Sandboxes, admission: Admission) -> None:
        """Read numbers of now from these whenever the metrics are asked for."""
        self.registry.register(_Now(engine, sandboxes, admission))

    def ran(self, run: RecentRun) -> None:
        """Count a run that has ended."""
        self._runs.labels(run.wire, run.language, run.strategy, run.outcome).inc()
        self._seconds.labels(run.language, run.strategy).observe(run.run_seconds)
        self._queued.observe(run.queue_seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was refused."""
        self.refusals.labels(reason).inc()

    def text(self) -> bytes:
        """Return all metrics, as Prometheus reads them."""
        return generate_latest(self.registry)


class _Now(Collector):
    """The numbers of now, and what the engine counts itself."""

    def __init__(self, engine: ExecutionEngine, sandboxes: Sandboxes, admission: Admission) -> None:
        self._engine = engine
        self._sandboxes = sandboxes
        self._admission = admission

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        sandboxes = GaugeMetricFamily(f"{_PREFIX}_sandboxes", "Sandboxes now", labels=["state"])
        found = [sandbox.state for sandbox in self._sandboxes.all()]
        for state in (SandboxState.RUNNING, SandboxState.PAUSED):
            sandboxes.add_metric([state], found.count(state))
        yield sandboxes
        yield GaugeMetricFamily(f"{_PREFIX}_running", "Runs and cells now", value=self._admission.running)
        yield GaugeMetricFamily(f"{_PREFIX}_waiting", "Runs and cells that wait", value=self._admission.waiting)
        try:
            stats = self._engine.stats()
        except EngineClosed:
            return
        pools = GaugeMetricFamily(f"{_PREFIX}_pool_containers", "Containers of the pools now", labels=["state"])
        for state in ("idle", "busy", "starting"):
            pools.add_metric([state], getattr(stats, state))
        yield pools
        yield GaugeMetricFamily(f"{_PREFIX}_pool_waiting", "Callers that wait for a container", value=stats.waiting)
        leases = CounterMetricFamily(f"{_PREFIX}_leases", "Containers that were asked for", labels=["from"])
        leases.add_metric(["warm"], stats.hits)
        leases.add_metric(["cold"], stats.misses)
        yield leases
        yield CounterMetricFamily(f"{_PREFIX}_starts", "Containers that were started", value=stats.refills)
        discards = CounterMetricFamily(f"{_PREFIX}_discards", "Containers that were removed", labels=["cause"])
        for cause, count in stats.discards.items():
            discards.add_metric([cause], count)
        yield discards
