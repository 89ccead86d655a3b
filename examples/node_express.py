"""A Node.js project with an Express server in a sandbox, reached on a published port of this machine's loopback."""

import asyncio
from collections.abc import Mapping

from interpreter_tools import ContainerConfig, ExecutionEngine, RunApp

PACKAGE = b"""{"name": "hello", "private": true, "dependencies": {"express": "^4.19.2"}}"""
SERVER = b"""
const app = require('express')();
app.get('/:name', (request, response) => response.send(`hello ${request.params.name}`));
app.listen(3000, '0.0.0.0', () => console.log('listening'));
"""


async def get(port: int, path: str) -> str:
    """Send a plain request, and return the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode().rpartition("\r\n")[2]


async def try_out(files: Mapping[str, bytes], entry_file: str) -> None:
    """Write the project, install what it needs, start it, ask it something, and kill it."""
    container = ContainerConfig(network="bridge", ports=(3000,))
    async with (
        ExecutionEngine() as engine,
        engine.session(container=container) as session,
    ):
        for path, content in files.items():
            await session.write_file(f"app/{path}", content)
        app = RunApp(entry_file=entry_file, cwd="app")
        async with session.stream("javascript", run_app=app, timeout=120) as execution:
            async for chunk in execution:
                if chunk.stream == "stdout" and "listening" in chunk.text:
                    print(await get(execution.ports[3000], "/world"))
                    await execution.kill()
            print((await execution.result()).outcome)


if __name__ == "__main__":
    asyncio.run(try_out({"package.json": PACKAGE, "server.js": SERVER}, "server.js"))
