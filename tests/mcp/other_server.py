"""A server of MCP with tools of its own: ``python other_server.py [EXTRA]``, over standard input and output."""

from __future__ import annotations

import os
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("other", log_level="ERROR")


class Hit(BaseModel):
    """What a search finds."""

    title: str
    score: float


@server.tool()
def search(query: str, limit: int = 3) -> list[Hit]:
    """Search the archive for words.

    The best come first.
    """
    return [Hit(title=f"{query} {number}", score=1 / number) for number in range(1, limit + 1)]


@server.tool()
def total(numbers: list[float]) -> float:
    """Add numbers."""
    return sum(numbers)


@server.tool()
def whoami() -> str:
    """Tell where the server runs."""
    return f"pid {os.getpid()}, {os.environ.get('GIVEN', 'nothing')} given"


@server.tool()
def fail(reason: str) -> str:
    """Fail."""
    raise ToolError(reason)


for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 0):

    def extra(text: str = "") -> str:
        """Do something that takes a long line of words to be described, which a model would have to read each time."""
        return text

    server.add_tool(extra, name=f"extra-{number}")

if __name__ == "__main__":
    server.run()
