"""Spans of OpenTelemetry: one for each run, in the trace of the request, without code or data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .serving import KEY, serving

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


async def test_run_is_a_tool_that_was_called(engine: ExecutionEngine):
    """Its span has the names of the conventions, how it ended, and the parent that the client names."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with (
        serving(engine, wires=["sandbox-fusion"]) as served,
        httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}, timeout=60) as client,
    ):
        for code, headers in (("print('secret')", {"traceparent": parent}), ("raise SystemExit(1)", {})):
            await client.post("/run_code", json={"language": "python", "code": code}, headers=headers)
    good, bad = exporter.get_finished_spans()
    assert good.name == "execute_tool run_code"
    assert good.attributes is not None
    assert good.attributes["gen_ai.operation.name"] == "execute_tool"
    assert good.attributes["interpreter_tools.language"] == "python"
    assert good.attributes["interpreter_tools.outcome"] == "ok"
    assert good.parent is not None
    assert f"{good.parent.trace_id:032x}" in parent
    assert "secret" not in good.to_json()
    assert bad.parent is None
    assert bad.attributes is not None
    assert bad.attributes["error.type"] == "error"
    assert not bad.status.is_ok
