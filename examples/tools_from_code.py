"""The code calls functions of this process: one fails, one must be approved, one gives its values one by one."""

import asyncio
from collections.abc import AsyncIterator

from interpreter_tools import ExecutionEngine, HostTool, ToolRequest

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid"}

CODE = """
import asyncio, tools

print(tools.capital("Italy"))
try:
    tools.capital("Atlantis")
except KeyError as error:
    print("KeyError:", error)
try:
    tools.delete("everything")
except PermissionError as error:
    print("PermissionError:", error)
print(*tools.count(to=3))

async def main():
    print(*await asyncio.gather(*[tools.capital.call(name) for name in ("France", "Spain")]))

asyncio.run(main())
"""


async def capital(country: str) -> str:
    """Return the capital of a country."""
    return CAPITALS[country]


async def count(to: int) -> AsyncIterator[int]:
    """Give the numbers up to one, one by one."""
    for number in range(1, to + 1):
        yield number


def delete(name: str) -> None:
    """Delete something."""
    raise AssertionError(f"{name} must not be deleted")


async def ask(request: ToolRequest) -> bool:
    """Allow nothing; a program for people would ask them here."""
    print(f"refused: {request.name} {dict(request.arguments)}, at: {request.source_line}")
    return False


async def main() -> None:
    """Run the code with its tools, and print what it called."""
    tools = [capital, count, HostTool(delete, approve=ask, max_calls=1)]
    async with ExecutionEngine() as engine:
        result = (await engine.run("python", CODE, tools=tools)).check()
    print(result.stdout, end="")
    print("calls:", *(f"{call.name}={call.outcome}" for call in result.tool_calls))


if __name__ == "__main__":
    asyncio.run(main())
