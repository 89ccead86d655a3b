"""A client of the MCP server, as an AI application is one: output as it comes, a session, its file as a resource.

pip install "interpreter-tools[cli,mcp]"
"""

import asyncio
import os
import sys
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import TextResourceContents

COUNT = """
import time
for number in (1, 2):
    print("counting", number, flush=True)
    time.sleep(0.3)
"""


async def report(progress: float, total: float | None, message: str | None) -> None:
    """Show a piece of output while the program runs."""
    print("progress:", (message or "").strip())


async def call(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    """Call a tool, and return its answer as data."""
    result = await client.call_tool(tool, arguments, progress_callback=report)
    assert result.structured_content is not None, result.content
    return result.structured_content


async def main() -> None:
    """Start the server as a program of its own, which ends with the client."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "interpreter_tools.cli", "mcp"], env=dict(os.environ)
    )
    async with Client(command) as client:
        answer = await call(client, "execute_code", language="python", code=COUNT)
        print(f"{answer['outcome']}:", *answer["stdout"].split())

        session = (await call(client, "create_session"))["session_id"]
        code = "print(1, 4, 9, file=open('squares.txt', 'w'))"
        await call(client, "execute_code", language="python", code=code, session_id=session)
        for resource in (await client.list_resources()).resources:
            (content,) = (await client.read_resource(resource.uri)).contents
            if resource.name == "squares.txt" and isinstance(content, TextResourceContents):
                print(f"{resource.uri.replace(session, 'SESSION')}: {content.text}", end="")

        answer = await call(client, "execute_code", language="python", code="import nowhere")
        print(f"{answer['outcome']}:", answer["hint"])


if __name__ == "__main__":
    asyncio.run(main())
