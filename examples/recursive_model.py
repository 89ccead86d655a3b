"""A long text in a variable, and sub-queries by a tool: the model reads a text that no context window would hold.

The program that the model writes cuts the text and asks a model about each part ("recursive language models").
"""

import asyncio

from interpreter_tools import ExecutionEngine, HostTool

TEXT = "\n".join(f"On day {day} the station measured {(day * 37) % 41} degrees." for day in range(1, 2001))

# What a model would write when it is told of the variable `text` and of the tool `ask`.
STEPS = [
    "len(text), text.count('\\n') + 1, text[:44]",
    """
import asyncio, tools
lines = text.split("\\n")
parts = ["\\n".join(lines[at : at + 250]) for at in range(0, len(lines), 250)]
hottest = await asyncio.gather(*(tools.ask.call("On which day was it hottest? DAY DEGREES", part) for part in parts))
hottest
""",
    "max(((int(degrees), int(day)) for day, degrees in map(str.split, hottest)))",
]


async def ask(question: str, text: str) -> str:
    """Ask a model about a part of the text. Here is a stand-in, which reads it with Python."""
    await asyncio.sleep(0.01)
    found = [(int(words[6]), words[2]) for words in map(str.split, text.splitlines())]
    degrees, day = max(found, key=lambda each: each[0])
    return f"{day} {degrees}"


async def main() -> None:
    """Put the text into the context, and run what the model wrote, step by step."""
    async with ExecutionEngine() as engine, engine.session() as session:
        await session.write_file("text.txt", TEXT.encode())
        sub_query = HostTool(ask, max_calls=100, timeout=60)
        async with session.context("python", tools=[sub_query]) as context:
            await context.run("text = open('text.txt').read()")
            for step in STEPS:
                result = await context.run(step)
                print(result.check().text, f"({len(result.tool_calls)} sub-queries)")


if __name__ == "__main__":
    asyncio.run(main())
