"""The time of a kernel from its request to its first answer: ``python -m bench.jupyter [rounds]``.

The baseline is jupyter-server with ipykernel on this machine, both of the group ``server-tests``. The client is the
same for both: a process of its own that makes the requests of Open WebUI's code interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import TYPE_CHECKING

import websockets

from bench._outside import KEY, from_outside, served
from bench._report import heading, ratio_at_most, run, told
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._listening import listen
from interpreter_tools.server import Keys, create_app

if TYPE_CHECKING:
    from collections.abc import Generator

_START_DEADLINE = 60.0  # seconds
_PAUSE = 0.5  # seconds between two kernels: what the last one left is cleaned up, and another container comes to life


def _ask(method: str, url: str) -> dict[str, object]:
    request = urllib.request.Request(f"{url}?token={KEY}", method=method)
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read() or b"null")


async def _one(url: str) -> tuple[float, float]:
    """Return the milliseconds from ``POST /api/kernels`` to the kernel, and to the reply of its first cell."""
    began = time.perf_counter()
    kernel = _ask("POST", f"{url}/api/kernels")
    started = time.perf_counter()
    channels = f"{url.replace('http', 'ws')}/api/kernels/{kernel['id']}/channels?token={KEY}"
    async with websockets.connect(channels, proxy=None) as ws:
        header = {"msg_id": "m", "msg_type": "execute_request", "session": "s", "date": "", "version": "5.3"}
        content = {"code": "1 + 1", "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await ws.send(json.dumps(message))
        while True:
            told = json.loads(await ws.recv())
            if told["msg_type"] == "execute_reply":
                break
        ended = time.perf_counter()
        assert told["content"]["status"] == "ok", told
    _ask("DELETE", f"{url}/api/kernels/{kernel['id']}")
    return (started - began) * 1e3, (ended - began) * 1e3


async def _measure(url: str, rounds: int) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for _ in range(rounds):
        await asyncio.sleep(_PAUSE)
        found.append(await _one(url))
    return found


@contextlib.contextmanager
def _jupyter_server() -> Generator[str]:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    words = ("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--IdentityProvider.token={KEY}", "--allow-root")
    with tempfile.TemporaryDirectory() as home:
        places = dict.fromkeys(("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), home)
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *words, "--no-browser"],
            cwd=home, env={**os.environ, **places}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + _START_DEADLINE
            while True:
                try:
                    urllib.request.urlopen(f"{url}/api").close()
                    break
                except OSError:
                    if time.monotonic() > deadline or server.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait()


async def main(count: int) -> None:
    """Run the comparison."""
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=2))) as engine:
        app = create_app(engine, wires=["jupyter"], keys=Keys.of(KEY))
        async with served(app) as port:
            heading()
            url = f"http://127.0.0.1:{port}"
            await from_outside(_measure, url, 2)  # the containers come to life
            with _jupyter_server() as other:
                await from_outside(_measure, other, 1)
                ours, theirs = list[tuple[float, float]](), list[tuple[float, float]]()
                for _ in range(count):
                    ours += await from_outside(_measure, url, 2)
                    theirs += await from_outside(_measure, other, 2)
    told("Jupyter: POST /api/kernels to its answer, median", statistics.median(each[0] for each in ours), unit="ms")
    ratio_at_most(
        "Jupyter: POST /api/kernels to the first reply / ipykernel",
        statistics.median(each[1] for each in ours),
        statistics.median(each[1] for each in theirs),
        unit="ms",
        target=0.1,
    )


if __name__ == "__main__":
    run(main, rounds=5)
