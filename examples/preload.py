"""Modules that the waiting Python has imported already: a run neither starts an interpreter nor imports them.

With the image of `interpreter-tools setup data`, pass image="interpreter-tools/python-data:1" and
preload=("numpy", "pandas").
"""

import asyncio

from interpreter_tools import ContainerConfig, ExecutionEngine

CODE = """
import time
start = time.perf_counter()
import decimal, email.message, http.client, xml.etree.ElementTree
print((time.perf_counter() - start) * 1000)
"""
MODULES = ("decimal", "email.message", "http.client", "xml.etree.ElementTree")


async def main() -> None:
    """Print the time that the imports take in a plain container and in one that has them already."""
    async with ExecutionEngine() as engine:
        async with engine.session() as plain:
            slow = float((await plain.run("python", CODE)).check().stdout)
        async with engine.session(container=ContainerConfig(preload=MODULES)) as session:
            fast = float((await session.run("python", CODE)).check().stdout)
    print(f"imports: {slow:.1f} ms, preloaded: {fast:.1f} ms")
    print("sooner:", fast < slow)


if __name__ == "__main__":
    asyncio.run(main())
