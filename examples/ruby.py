"""A language of your own: one object is all it takes. Its image comes from `interpreter-tools setup ruby`."""

import asyncio

from interpreter_tools import ExecutionEngine, LanguageConfig, LanguageRegistry

RUBY = LanguageConfig(
    language="ruby",
    default_image="interpreter-tools/ruby:1",
    code_filename="main.rb",
    run_command=("ruby", "{file}"),
    aliases=("rb",),
)

CODE = """
require 'json'
puts JSON.generate((1..5).to_h { |n| [n, n ** 2] })
"""


async def main() -> None:
    """Registers Ruby and runs some."""
    LanguageRegistry.register(RUBY)
    async with ExecutionEngine() as engine:
        result = await engine.run("ruby", CODE)
    print(result.check().stdout, end="")


if __name__ == "__main__":
    asyncio.run(main())
