"""Run benchmarks one after the other: ``python -m bench [--quick] [--json FILE] [NAME...]``.

Without names it runs all but the soak. Each runs in a process of its own. The status is 1 when one misses a target or
cannot be run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench._report import Row, machine, write_json

QUICK = {
    "memory": 1500,
    "sustained": 5,
    "startup": 7,
    "compiled": 7,
    "fresh": 2,
    "dependencies": 3,
    "soak": 2000,
    "calls": 10,
}
"""The amount of a benchmark that ``--quick`` measures, in its own unit; the others have :data:`ROUNDS` rounds."""

ROUNDS = 3

LONG = {"soak"}
"""The benchmarks that are run only when they are named."""


class _File(msgspec.Struct):
    rows: list[Row]


def main() -> int:
    """Run them and return the status."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: some six minutes for all of them")
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(known))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    print(f"on {machine()}")
    rows: list[Row] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.names or [name for name in known if name not in LONG]:
            written = Path(scratch, f"{name}.json")
            print(f"\n{name}", flush=True)
            command = [sys.executable, "-m", f"bench.{name}", "--json", str(written)]
            if arguments.quick:
                command.append(str(QUICK.get(name, ROUNDS)))
            status = subprocess.run(command, check=False).returncode
            if not written.exists():
                failed.append(f"{name} (status {status})")
                continue
            rows += msgspec.json.decode(written.read_bytes(), type=_File).rows
    if arguments.json:
        write_json(arguments.json, rows)
    missed = [row.name for row in rows if not row.met]
    print(f"\n{len(rows)} figures, {len(missed)} missed: {'; '.join(missed) or 'none'}")
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    sys.exit(main())
