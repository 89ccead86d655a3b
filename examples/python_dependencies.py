"""Python with packages: installed once per Docker host, then there at once for every run, offline."""

import asyncio

from interpreter_tools import ExecutionEngine

CODE = """
import sys, six
print("Python", sys.version_info.major, "with six", six.__version__)
"""


async def main() -> None:
    """Stream the installer's output, if it has to run, then the program's; the second run finds the package."""
    async with ExecutionEngine() as engine:
        async with engine.stream("python", CODE, dependencies=["six==1.16.0"]) as execution:
            async for chunk in execution:
                print(f"{chunk.stream}: {chunk.text}", end="")
            (await execution.result()).check()
        result = await engine.run("python", CODE, dependencies=["six==1.16.0"])
        print(f"again: {result.stdout.strip()}, {result.dependency_time:.1f} s for dependencies")


if __name__ == "__main__":
    asyncio.run(main())
