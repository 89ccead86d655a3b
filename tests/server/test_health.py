"""Readiness: the Docker engine is asked, seldom and with a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from interpreter_tools import EngineConfig, ExecutionEngine
from tests.relay import Relay
from tests.watch import eventually

from .serving import serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker


async def test_server_is_ready_while_its_docker_engine_answers(tmp_path: Path):
    """Many ask at once and Docker is asked once; one that is gone is told with its reason."""
    async with (
        Relay(tmp_path / "docker.sock") as relay,
        ExecutionEngine(EngineConfig(docker_host=relay.address, prewarm=())) as engine,
        serving(engine, wires=["sandbox-fusion"]) as served,
        httpx.AsyncClient(base_url=served.url, timeout=30) as client,
    ):
        relay.calls.clear()
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len([call for call in relay.calls if "/version" in str(call)]) < 20

        async def ready() -> tuple[int, str]:
            answer = await client.get("/readyz")
            return answer.status_code, answer.text

        await relay.close()
        await eventually(ready, lambda answer: answer[0] == 503 and "Docker" in answer[1], within=20)
        assert (await client.get("/healthz")).status_code == 200
        await relay.open()
        await eventually(ready, lambda answer: answer[0] == 200, within=20)
