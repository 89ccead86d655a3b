"""Rewards for reinforcement learning: SandboxFusion's own client asks a server on this machine, 32 callers at once.

pip install "interpreter-tools[server]" sandbox-fusion. ``interpreter-tools serve`` is such a server as a process of its
own, and prints what to set for the client.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from sandbox_fusion import RunCodeRequest, run_code_async  # pyright: ignore[reportMissingTypeStubs]

from interpreter_tools import ExecutionEngine
from interpreter_tools.server import Keys, create_app

ANSWERS = ["n * n", "n ** 2", "n + n", "1 / 0"]
TEST = "n = int(input())\nassert {answer} == 49"


async def reward(answer: str, endpoint: str) -> float:
    """Return 1 for an answer that passes the test."""
    request = RunCodeRequest.parse_obj({"language": "python", "code": TEST.format(answer=answer), "stdin": "7"})
    result = await run_code_async(request, endpoint=endpoint)
    return float(result.status == "Success")


async def main() -> None:
    """Serve, and ask from the same process."""
    keys, key = Keys.generate()
    app = create_app(ExecutionEngine(), wires=["sandbox-fusion"], keys=keys)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        serving = asyncio.create_task(server.serve([listener]))
        endpoint = f"http://key:{key}@127.0.0.1:{listener.getsockname()[1]}"
        rewards = await asyncio.gather(*(reward(answer, endpoint) for answer in ANSWERS * 8))
        server.should_exit = True
        await serving
    for answer, found in zip(ANSWERS, rewards, strict=False):
        print(f"{answer}: {found}")
    print(f"mean of {len(rewards)}: {sum(rewards) / len(rewards)}")


if __name__ == "__main__":
    asyncio.run(main())
