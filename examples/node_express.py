"""A Node.js project with an Express server in a sandbox, reached on a published port of this machine's loopback."""

import asyncio

from interpreter_tools import ContainerConfig, ContainerStrategy, ExecutionEngine, RunApp

PACKAGE = b"""{"name": "hello", "private": true, "dependencies": {"express": "^4.19.2"}}"""
SERVER = b"""
const app = require('express')();
app.get('/:name', (request, response) => response.send(`hello ${request.params.name}`));
app.listen(3000, '0.0.0.0', () => console.log('listening'));
"""


async def get(port: int, path: str) -> str:
    """The body of an answer to a plain request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode().rpartition("\r\n")[2]


async def main() -> None:
    """Writes the project, starts it, asks it something, and kills it."""
    container = ContainerConfig(network="bridge", ports=(3000,))
    async with (
        ExecutionEngine() as engine,
        engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session,
    ):
        await session.write_file("app/package.json", PACKAGE)
        await session.write_file("app/server.js", SERVER)
        app = RunApp(entry_file="server.js", cwd="app")
        async with session.stream("javascript", run_app=app, timeout=120) as execution:
            async for chunk in execution:
                if chunk.stream == "stdout" and "listening" in chunk.text:
                    print(await get(execution.ports[3000], "/world"))
                    await execution.kill()
            print((await execution.result()).outcome)


if __name__ == "__main__":
    asyncio.run(main())
