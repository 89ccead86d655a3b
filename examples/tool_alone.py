"""The tool by itself: what a model is shown, what it may answer, and what it is told."""

import asyncio
import json

from interpreter_tools import create_code_execution_tool

# As models write them: text of JSON, other names, a fence, numbers as text, and what cannot be understood.
ANSWERS = [
    '{"language": "Python", "code": "print(sum(range(1, 11)))"}',
    {"lang": "js", "code": ["const n = 10;", "console.log(n * (n + 1) / 2)"], "timeout": "5s"},
    "```sh\nseq 10 | paste -sd+ | bc\n```",
    {"language": "python", "code": "import yaml\nprint(yaml.safe_load('a: 1'))"},
    {"language": "python", "code": "print(result)"},
    {"language": "cobol", "code": "DISPLAY 55."},
]


async def main() -> None:
    """Answer each call as a model would be answered, then stream one more."""
    async with create_code_execution_tool() as tool:
        print(tool.name, "-", tool.description)
        print("required:", json.dumps(tool.json_schema["required"]), "\n")
        for answer in ANSWERS:
            reply = await tool.call(answer)
            print(reply.text, "\n")
        async with tool.stream(language="python", code="for n in 'live': print(n)") as execution:
            async for chunk in execution:
                print(chunk.text, end="")


if __name__ == "__main__":
    asyncio.run(main())
