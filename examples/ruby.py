"""A language of your own: one object is all it takes. Its image comes from `interpreter-tools setup ruby`."""

import asyncio
from pathlib import Path

from interpreter_tools import CellRunner, DependencyPlan, ExecutionEngine, LanguageConfig, LanguageRegistry

RUBY = LanguageConfig(
    language="ruby",
    default_image="interpreter-tools/ruby:1",
    code_filename="main.rb",
    run_command=("ruby", "{file}"),
    aliases=("rb",),
    dependencies=DependencyPlan(  # for `dependencies=["rake:13.0"]`
        kind="words",
        install=(("gem", "install", "--install-dir", "{target}", "--no-document", "{packages}"),),
        paths={"GEM_PATH": "{target}", "PATH": "{target}/bin"},
    ),
    # for `engine.context("ruby")`: a program that runs cells one after another, here by irb's own machinery
    cells=CellRunner(command=("ruby", "-e", Path(__file__).with_name("ruby_cells.rb").read_text("utf-8"))),
)

CODE = """
require 'json'
puts JSON.generate((1..5).to_h { |n| [n, n ** 2] })
"""


async def main() -> None:
    """Register Ruby and run some."""
    LanguageRegistry.register(RUBY)
    async with ExecutionEngine() as engine:
        result = await engine.run("ruby", CODE)
        print(result.check().stdout, end="")
        async with engine.context("ruby") as context:  # variables stay from cell to cell
            await context.run("squares = (1..5).map { |n| n ** 2 }")
            print((await context.run("squares.sum")).check().text)


if __name__ == "__main__":
    asyncio.run(main())
