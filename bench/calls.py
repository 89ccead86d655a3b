"""A hundred thousand calls of a tool in random order, from threads and tasks: ``python -m bench.calls [thousands]``.

No answer may go astray, and nothing may wait for ever. The tests make a tenth of these calls.
"""

from __future__ import annotations

import asyncio
import time

from bench._report import at_least, heading, run
from interpreter_tools import EngineConfig, ExecutionEngine, HostTool, PoolConfig

_CODE = """
import asyncio, random, threading, tools
wrong = []
def work(seed):
    source = random.Random(seed)
    for _ in range(COUNT // 20):
        value = source.randrange(10**6)
        if tools.echo(value) != value: wrong.append(value)
async def tasks(seed):
    source = random.Random(seed)
    async def one():
        value = source.randrange(10**6)
        if await tools.echo.call(value) != value: wrong.append(value)
    for _ in range(COUNT // 200):
        await asyncio.gather(*[one() for _ in range(50)])
threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
threads += [threading.Thread(target=lambda i=i: asyncio.run(tasks(i))) for i in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(wrong))
"""


async def echo(value: int) -> int:
    """Return what was given, sometimes a moment later."""
    if value % 3 == 0:
        await asyncio.sleep(0)
    return value


async def main(thousands: int) -> None:
    """Make the calls, and tell their rate."""
    heading()
    count = 1000 * thousands
    tool = HostTool(echo, max_calls=count)
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1, max_size=1))) as engine:
        started = time.perf_counter()
        code = _CODE.replace("COUNT", str(count))
        result = (await engine.run("python", code, tools=[tool], timeout=900)).check()
        if result.stdout != "0\n":
            raise SystemExit(f"{result.stdout.strip()} answers went astray")
        at_least("calls of a tool in random order", count / (time.perf_counter() - started), unit="per s", target=500)


if __name__ == "__main__":
    run(main, rounds=100)
