"""Go back after a bad step: variables and files of a context return together."""

import asyncio

from interpreter_tools import ExecutionEngine

LOOK = "import os\nprint(f'rows: {len(rows)}, files: {sorted(os.listdir())}')"


async def main() -> None:
    """Clean some data, spoil it, and go back."""
    async with ExecutionEngine() as engine, engine.context("python") as context:
        await context.run("rows = ['3', '1', '2']\nopen('data.csv', 'w').write('\\n'.join(rows))")
        print((await context.run(LOOK)).stdout.rstrip())
        saved = await context.checkpoint()

        await context.run("import os\nrows = [row for row in rows if row > '9']\nos.remove('data.csv')")  # a bad step
        print("after a bad step:", (await context.run(LOOK)).stdout.rstrip())

        await context.rewind(saved)
        print("after the rewind:", (await context.run(LOOK)).stdout.rstrip())
        print(context.history())


if __name__ == "__main__":
    asyncio.run(main())
