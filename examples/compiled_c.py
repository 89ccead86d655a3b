"""C is compiled, then run; what the compiler says is kept apart. Its image comes from `interpreter-tools setup c`."""

import asyncio

from interpreter_tools import ExecutionEngine

CODE = """
#include <stdio.h>
int main(void) { printf("%d\\n", 6 * 7); return 0; }
"""


async def main() -> None:
    """Run a program twice in a session, which compiles it once, and then one that is wrong."""
    async with ExecutionEngine() as engine, engine.session() as session:
        first = await session.run("c", CODE)
        print(first.check().stdout, end="")
        again = await session.run("c", CODE)
        print("compiled again:", again.check().compile_time > 0)
        wrong = await session.run("c", CODE.replace("6 * 7", "answer"))
        print(wrong.outcome, "-", "undeclared" in wrong.compile_stderr)


if __name__ == "__main__":
    asyncio.run(main())
