"""Displays come out as results: a chart as a picture and as data, a table as HTML and as data."""

import asyncio

from interpreter_tools import DisplayChunk, ExecutionEngine

CODE = """
import pandas, matplotlib.pyplot as plt
from IPython.display import display

fruit = pandas.DataFrame({"name": ["apple", "pear"], "count": [3, 7]})
display(fruit)
print("now a chart")
plt.bar(fruit["name"], fruit["count"])
plt.title("Fruit")
plt.show()
"""


async def main() -> None:
    """Print what is displayed in order with the output, then what the result holds."""
    packages = ["pandas", "matplotlib"]
    async with ExecutionEngine() as engine, engine.stream("python", CODE, dependencies=packages) as execution:
        async for chunk in execution:
            if isinstance(chunk, DisplayChunk):
                print("displayed:", *sorted(chunk.result.data))
            elif chunk.stream == "stdout":
                print(chunk.text, end="")
        table, picture = (await execution.result()).check().results
    print("table:", table.table)
    assert picture.png is not None
    assert picture.chart is not None
    print("picture:", picture.png[1:4].decode(), "- chart:", picture.chart["type"], picture.chart["title"])


if __name__ == "__main__":
    asyncio.run(main())
