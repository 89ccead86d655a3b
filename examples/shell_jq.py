"""A shell script with jq."""

import asyncio

from interpreter_tools import ExecutionEngine

SCRIPT = """
mkdir -p data
for n in 1 2 3; do printf '{"id": %d, "square": %d}' $n $((n * n)) > data/$n.json; done
jq --slurp 'map(select(.id > 1)) | {ids: map(.id), total: (map(.square) | add)}' --compact-output data/*.json
"""


async def main() -> None:
    """Make some JSON files and add them up."""
    async with ExecutionEngine() as engine:
        result = await engine.run("bash", SCRIPT)
        print(result.check().stdout, end="")
        print("files:", *result.generated_files)


if __name__ == "__main__":
    asyncio.run(main())
