"""Programs in four languages, each in a sandbox of its own; their output is printed as it comes."""

import asyncio

from interpreter_tools import EngineConfig, ExecutionEngine

PROGRAMS = {
    "python": """
import os, sys
print("Python", sys.version.split()[0], "as user", os.getuid())
print("squares:", [number**2 for number in range(5)])
""",
    "javascript": "console.log(`Node.js ${process.version}:`, [3, 1, 2].sort((a, b) => a - b));",
    "typescript": "const square = (x: number): number => x * x;\nconsole.log(`TypeScript: ${square(7)}`);",
    "shell": 'echo "Shell: $(uname -m)"; cat /no/such/file; exit 3',
}


async def main() -> None:
    """Run each program and print its output as it arrives, then how it went."""
    async with ExecutionEngine(EngineConfig(prewarm=tuple(PROGRAMS))) as engine:
        await engine.warm()
        for language, code in PROGRAMS.items():
            async with engine.stream(language, code) as execution:
                async for chunk in execution:
                    print(chunk.text, end="", flush=True)
                result = await execution.result()
            milliseconds = result.execution_time * 1000
            print(f"-- {language}: {result.outcome}, exit code {result.exit_code}, {milliseconds:.1f} ms\n")


if __name__ == "__main__":
    asyncio.run(main())
