"""Python draws a chart in its sandbox; the picture comes out."""

import asyncio
import tempfile
from pathlib import Path

from interpreter_tools import ExecutionEngine

CHART = """
from matplotlib import pyplot
figure, axes = pyplot.subplots()
axes.bar(["a", "b", "c"], [3, 7, 5])
axes.set_title("Drawn in a sandbox")
figure.savefig("charts/plot.png")
"""


async def main() -> None:
    """Run the code, say which files it made, and copy the picture to this machine."""
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch, "plot.png")
        async with ExecutionEngine() as engine, engine.session() as session:
            await session.write_file("charts/README.txt", b"Charts go here.\n")
            result = await session.run("python", CHART, dependencies=["matplotlib"])
            print("generated:", *(result.check().generated_files))
            await session.copy_file_from_workspace("charts/plot.png", picture)
        data = picture.read_bytes()  # noqa: ASYNC240 - nothing else runs
        print("a PNG:", data.startswith(b"\x89PNG"), "- large enough:", len(data) > 5000)


if __name__ == "__main__":
    asyncio.run(main())
