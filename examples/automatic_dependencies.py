"""Python that says nothing about packages: what it imports is installed, once per Docker host."""

import asyncio

from interpreter_tools import ExecutionEngine

CODE = """
import json, yaml
print(json.dumps(yaml.safe_load("{numbers: [1, 2, 3]}")))
"""


async def main() -> None:
    """Print what the program printed, and the packages that it was given. `yaml` is in the package PyYAML."""
    async with ExecutionEngine() as engine:
        result = await engine.run("python", CODE, auto_dependencies=True)
    print(result.check().stdout, end="")
    print("installed:", *result.dependencies)


if __name__ == "__main__":
    asyncio.run(main())
