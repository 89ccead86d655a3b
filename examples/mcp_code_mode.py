"""Code mode: a program calls the tools of another MCP server, and combines what they return, in one call.

pip install "interpreter-tools[cli,mcp]"
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.server.mcpserver import MCPServer

STOCK = {"apples": 12, "pears": 3, "plums": 0}

PROGRAM = """
import tools
low = [name for name in tools.shop_products() if tools.shop_stock(name) < 5]
print("to order:", ", ".join(low))
"""


def shop() -> None:
    """Serve as the other server, which an application has in its list already."""
    server = MCPServer("shop", log_level="ERROR")

    @server.tool()
    def products() -> list[str]:
        """List the products."""
        return list(STOCK)

    @server.tool()
    def stock(product: str) -> int:
        """Tell how many of a product there are."""
        return STOCK[product]

    server.run()


async def main(servers: Path) -> None:
    """Give the shop's tools to the code, and call ``execute_code`` as a model would."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "interpreter_tools.cli", "mcp", "--tools-from", str(servers)],
        env=dict(os.environ),
    )
    async with Client(command) as client:
        listed = {tool.name: tool.description or "" for tool in (await client.list_tools()).tools}
        print("listed:", *(line for line in listed["execute_code"].splitlines() if line.startswith("- ")), sep="\n")
        answer = await client.call_tool("execute_code", {"language": "python", "code": PROGRAM})
        assert answer.structured_content is not None
        print(answer.structured_content["stdout"], end="")


if __name__ == "__main__":
    if sys.argv[1:] == ["shop"]:
        shop()
    else:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "servers.json")
            shop_command = {"command": sys.executable, "args": [__file__, "shop"]}
            path.write_text(json.dumps({"mcpServers": {"shop": shop_command}}))
            asyncio.run(main(path))
