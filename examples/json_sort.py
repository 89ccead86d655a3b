"""A file goes in, code works on it, files come out."""

import asyncio
import json
import tempfile
from pathlib import Path

from interpreter_tools import ExecutionEngine

SORT = """
import json
from pathlib import Path
people = sorted(json.loads(Path("in/people.json").read_text()), key=lambda person: person["age"])
Path("sorted.json").write_text(json.dumps(people, indent=1))
Path("names.txt").write_text("\\n".join(person["name"] for person in people))
"""
PEOPLE = [{"name": "Grace", "age": 85}, {"name": "Ada", "age": 36}, {"name": "Alan", "age": 41}]


async def main() -> None:
    """Sort people by age in a session, and keep what was generated."""
    with tempfile.TemporaryDirectory() as scratch:
        async with ExecutionEngine() as engine:
            session_id = await engine.create_session()
            await engine.write_file(session_id, "in/people.json", json.dumps(PEOPLE).encode())
            result = await engine.execute_code(session_id, language="python", code=SORT)
            print("generated:", *result.check().generated_files)
            print((await engine.read_file_binary(session_id, "names.txt")).decode())
            await engine.cleanup_session(session_id, keep_generated=scratch)
        print("kept:", *sorted(path.name for path in Path(scratch).iterdir()))  # noqa: ASYNC240 - nothing else runs


if __name__ == "__main__":
    asyncio.run(main())
