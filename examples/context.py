"""State that lives: a context keeps its variables from cell to cell, also after an error and after a timeout."""

import asyncio

from interpreter_tools import ExecutionEngine


async def main() -> None:
    """Analyse some numbers step by step, as a notebook or a model does."""
    async with ExecutionEngine() as engine, engine.context("python") as context:
        await context.run("import statistics\nsamples = [3, 1, 4, 1, 5, 9, 2, 6]")
        result = await context.run("statistics.median(samples)")
        print("median:", result.text)

        result = await context.run("samples / 2")
        assert result.error is not None
        print("error:", result.error.name, "-", result.error.value)

        result = await context.run("while True: pass", timeout=0.5)
        print("outcome:", result.outcome, "-", result.notes[0])

        result = await context.run("sorted(samples)")
        print(f"still there, as Out[{result.execution_count}]:", result.text)

        async with context.stream("for sample in samples[:3]:\n    print(sample)\n'done'") as cell:
            async for chunk in cell:
                print(f"{chunk.stream}: {chunk.text.rstrip()}")


if __name__ == "__main__":
    asyncio.run(main())
