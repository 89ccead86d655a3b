"""A model writes a whole Node.js project; it runs in a sandbox and is asked something. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import model_or
from node_express import PACKAGE, SERVER, get
from pydantic import BaseModel
from pydantic_ai import Agent

from interpreter_tools import ContainerConfig, ContainerStrategy, ExecutionEngine, RunApp


class Project(BaseModel):
    """What the model is to write."""

    files: dict[str, str]
    """Contents by path; package.json lists the dependencies."""
    entry_file: str


QUESTION = """\
Write a Node.js project with Express. It listens on port 3000 of all addresses, says `listening` when it does, and
answers GET /NAME with the text `hello NAME`."""
MODEL = model_or({"files": {"package.json": PACKAGE.decode(), "server.js": SERVER.decode()}, "entry_file": "server.js"})


async def main() -> None:
    """Has the project written, installs what it needs, starts it, asks it something, and kills it."""
    project = (await Agent(MODEL, output_type=Project).run(QUESTION)).output
    print("project:", *sorted(project.files))
    container = ContainerConfig(network="bridge", ports=(3000,))
    async with (
        ExecutionEngine() as engine,
        engine.session(strategy=ContainerStrategy.PER_SESSION, container=container) as session,
    ):
        for path, content in project.files.items():
            await session.write_file(f"app/{path}", content.encode())
        app = RunApp(entry_file=project.entry_file, cwd="app")
        async with session.stream("javascript", run_app=app, timeout=120) as execution:
            async for chunk in execution:
                if chunk.stream == "stdout" and "listening" in chunk.text:
                    print(await get(execution.ports[3000], "/world"))
                    await execution.kill()
            print((await execution.result()).outcome)


if __name__ == "__main__":
    asyncio.run(main())
