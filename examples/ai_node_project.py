"""A model writes a whole Node.js project; it runs in a sandbox and is asked something. Whose model: see `_model.py`.

pip install "interpreter-tools[pydantic-ai]"
"""

import asyncio

from _model import agent_model
from node_express import PACKAGE, SERVER, try_out
from pydantic import BaseModel
from pydantic_ai import Agent


class Project(BaseModel):
    """The project that the model is to write."""

    files: dict[str, str]
    """Contents by path; package.json lists the dependencies."""
    entry_file: str


QUESTION = """\
Write a Node.js project with Express. It listens on port 3000 of all addresses, says `listening` when it does, and
answers GET /NAME with the text `hello NAME`."""
MODEL = agent_model(
    {"files": {"package.json": PACKAGE.decode(), "server.js": SERVER.decode()}, "entry_file": "server.js"}
)


async def main() -> None:
    """Have the project written, and try it out as `node_express.py` does its own."""
    project = (await Agent(MODEL, output_type=Project).run(QUESTION)).output
    print("project:", *sorted(project.files))
    await try_out({path: text.encode() for path, text in project.files.items()}, project.entry_file)


if __name__ == "__main__":
    asyncio.run(main())
