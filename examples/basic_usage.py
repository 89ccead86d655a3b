"""The engine without anything around it: results, failures, limits, and files that come out."""

import asyncio

from interpreter_tools import ExecutionEngine

STATISTICS = """
const numbers = [1, 2, 3, 4, 5];
const sum = numbers.reduce((a, b) => a + b, 0);
console.log('sum', sum, 'average', sum / numbers.length);
"""


async def main() -> None:
    """Run good code, bad code and code without an end: each is a result."""
    async with ExecutionEngine() as engine:
        result = await engine.run("javascript", STATISTICS)
        print(result.outcome, result.stdout, end="")

        result = await engine.run("python", "import sys; print('trouble', file=sys.stderr); sys.exit(3)")
        print(result.outcome, result.exit_code, result.stderr, end="")

        result = await engine.run("python", "while True: pass", timeout=0.5)
        print(result.outcome, "within a second:", result.execution_time < 1)

        result = await engine.run("shell", "cat in/name.txt > out.txt", files={"in/name.txt": b"world"})
        print(result.outcome, result.generated_files)


if __name__ == "__main__":
    asyncio.run(main())
