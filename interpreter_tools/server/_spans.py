"""Spans of OpenTelemetry, by its conventions for generative AI: a run is a tool that a model has called.

They are there where ``opentelemetry-api`` is installed (extra ``otel``) and the process has set up a tracer. They hold
neither code nor data.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

try:
    from opentelemetry import context, propagate, trace
except ModuleNotFoundError:
    context = propagate = trace = None

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.trace import Span, Tracer, TracerProvider
    from starlette.types import Scope

_NAME = "execute_tool run_code"


@functools.lru_cache(maxsize=1)
def _tracer(provider: TracerProvider) -> Tracer:
    """Return the tracer of a provider, which makes a new one each time it is asked."""
    return provider.get_tracer("interpreter_tools.server")


def start_span(*, wire: str, language: str) -> Span | None:
    """Return the span of a run, which begins now; None without OpenTelemetry."""
    if trace is None:
        return None
    return _tracer(trace.get_tracer_provider()).start_span(
        _NAME,
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "run_code",
            "gen_ai.tool.type": "function",
            "interpreter_tools.wire": wire,
            "interpreter_tools.language": language,
        },
    )


def end_span(span: Span | None, *, outcome: str, strategy: str, queue_seconds: float) -> None:
    """End the span of a run."""
    if span is None or trace is None:
        return
    span.set_attribute("interpreter_tools.outcome", outcome)
    span.set_attribute("interpreter_tools.strategy", strategy)
    span.set_attribute("interpreter_tools.queue_seconds", queue_seconds)
    if outcome != "ok":
        span.set_attribute("error.type", outcome)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


@contextlib.contextmanager
def trace_of(scope: Scope) -> Generator[None]:
    """Have spans belong to the trace that a request names in its header ``traceparent``."""
    if context is None or propagate is None:
        yield
        return
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
    if not headers:
        yield
        return
    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


_HEADERS = {b"traceparent", b"tracestate"}
