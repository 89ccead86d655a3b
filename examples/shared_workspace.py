"""One workspace, three languages, three images: written by a shell, read by Python, sorted by Node.js."""

import asyncio

from interpreter_tools import ExecutionEngine

WRITE = "seq 5 -1 1 > numbers.txt"
READ = "numbers = open('numbers.txt').read().split(); print('sum', sum(map(int, numbers)))"
SORT = """
const fs = require('fs');
const numbers = fs.readFileSync('numbers.txt', 'utf8').trim().split('\\n').sort();
fs.writeFileSync('sorted.txt', numbers.join(' '));
"""


async def main() -> None:
    """Run each language in a container of its own; the workspace is what they share."""
    async with ExecutionEngine() as engine, engine.session() as session:
        (await session.run("shell", WRITE)).check()
        print((await session.run("python", READ)).check().stdout, end="")
        result = await session.run("javascript", SORT)
        print("all generated files:", *result.check().session_generated_files)
        print((await session.read_file("sorted.txt")).decode())


if __name__ == "__main__":
    asyncio.run(main())
