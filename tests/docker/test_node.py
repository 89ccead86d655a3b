"""JavaScript and TypeScript booted ahead of need, against bare Node.js in the same image.

``NODE_TEST_IMAGE=node:22-slim pytest tests/docker/test_node.py`` compares the Node.js of another image.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, RunApp

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine, ExecutionResult, RunOptions

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
NODE_IMAGE = os.environ.get("NODE_TEST_IMAGE", "interpreter-tools/node:1")
"""The image whose Node.js is compared; another one is named by the variable."""

GIVEN = {"lib/given.js": b"exports.value = 42", "lib/es.mjs": b"export default 43"}


# A section is "### name" and a program.
_SECTION = re.compile(r"^### (.+)\n((?:(?!###).*\n)*)", re.MULTILINE)
PROGRAMS = [
    pytest.param(program, id=name)
    for name, program in _SECTION.findall(Path(__file__).with_name("node_programs.txt").read_text("utf-8"))
]


def visible(result: ExecutionResult) -> dict[str, object]:
    """What a caller sees of a run, without process ids and the frames of Node's own start."""
    stderr = re.sub(r"\(node:\d+\)", "(node)", result.stderr)
    stderr = re.sub(
        r"^    at .*(\(node:internal/|node:internal/main/|process\.value \(\[eval\]).*\n",
        "",
        stderr,
        flags=re.MULTILINE,
    )
    return {
        "stdout": result.stdout,
        "stderr": stderr,
        "end": (result.outcome, result.exit_code, result.signal),
        "files": result.generated_files,
    }


@pytest.mark.parametrize("program", PROGRAMS)
async def test_program_cannot_tell_the_difference_to_bare_node(engine: ExecutionEngine, program: str) -> None:
    """What it finds, what it prints, how it ends."""
    options: RunOptions = {"strategy": POOL, "stdin": b"x" * 1_000_000, "timeout": 30, "files": GIVEN}
    options["image"] = NODE_IMAGE
    ours = await engine.run("javascript", program, **options)
    # Before version 22.7 Node.js takes nothing for a module that is not named like one
    name = "main.mjs" if program.startswith(("import ", "await ")) else "main.js"
    options["files"] = {**GIVEN, name: program.encode()}
    theirs = await engine.run("shell", f"#!/bin/sh\nunset PWD; exec node /workspace/{name}", **options)
    assert visible(ours) == visible(theirs)


@pytest.mark.parametrize(
    "environment",
    [{"NODE_OPTIONS": "--max-old-space-size=77"}, {"TZ": "Asia/Tokyo"}, {"LANG": "de_DE.UTF-8"}, {"A": "1"}],
)
async def test_variables_of_node_are_honoured(engine: ExecutionEngine, environment: dict[str, str]) -> None:
    """Also those that it reads only while it starts."""
    code = """
console.log(process.execArgv, require('v8').getHeapStatistics().heap_size_limit, new Date(0).toString(),
  Intl.DateTimeFormat().resolvedOptions(), process.env.A)
"""
    ours = await engine.run("javascript", code, image=NODE_IMAGE, environment=environment, strategy=POOL)
    files = {"main.js": code.encode()}
    bare = "#!/bin/sh\nexec node /workspace/main.js"
    theirs = await engine.run("shell", bare, image=NODE_IMAGE, files=files, environment=environment, strategy=POOL)
    assert ours.check().stdout == theirs.check().stdout


# -- modules

APPS = {
    "by its name": (
        "main.mjs",
        {"main.mjs": b"import a from './a.mjs'; console.log(a, await 2)", "a.mjs": b"export default 1"},
    ),
    "a script by its name": ("main.cjs", {"main.cjs": b"console.log(typeof require, __filename)"}),
    "by its package": (
        "main.js",
        {
            "package.json": b'{"type": "module"}',
            "main.js": b"import a from './a.js'; console.log(a)",
            "a.js": b"export default 1",
        },
    ),
    "a script by its package": (
        "main.js",
        {"package.json": b'{"type": "commonjs"}', "main.js": b"console.log(this === exports)"},
    ),
    "in another directory": ("app/main.mjs", {"app/main.mjs": b"console.log(import.meta.url, process.cwd())"}),
}


@pytest.mark.parametrize("name", APPS)
async def test_app_of_modules_is_run_as_node_runs_it(engine: ExecutionEngine, name: str) -> None:
    """Names and the package's type decide."""
    entry, files = APPS[name]
    app = RunApp(entry_file=entry)
    ours = await engine.run("javascript", "", run_app=app, files=files, image=NODE_IMAGE, strategy=POOL)
    bare = f"#!/bin/sh\nexec node /workspace/{entry}"
    theirs = await engine.run("shell", bare, image=NODE_IMAGE, files=files, strategy=POOL)
    assert visible(ours) == visible(theirs)
    assert ours.outcome == "ok"


async def test_typescript_app_of_modules(engine: ExecutionEngine) -> None:
    """Files import each other without a suffix, with that of TypeScript's, and with the one that they would have."""
    files = {
        "main.ts": b"import { a } from './a'; import { b } from './b'; console.log(a + b as number);",
        "a.ts": b"export const a: number = 1;",
        "b/index.ts": b"export enum B { X = 5 } export const b: number = B.X;",
    }
    app = RunApp(entry_file="main.ts")
    result = await engine.run("typescript", "", run_app=app, files=files, image=NODE_IMAGE, strategy=POOL)
    assert result.check().stdout == "6\n"


ERASED = {
    "a package's": (
        "import express, { Request, type Response, NextFunction } from 'express';\n"
        "const f = (r: Request, s: Response): NextFunction | null => null;\nconsole.log(express.name, f(1, 2));"
    ),
    "a file's": (
        "import { value, Shape } from './shapes.js'; const s: Shape = { area: value };\nconsole.log(s.area, null);"
    ),
    "alone, and in a comment": (
        "import { Shape } from './shapes';\n/* a Shape */\n"
        "const s: Shape = { area: 'express null' };\nconsole.log(s.area);"
    ),
    "exported": "import { mixed, Mixed } from './mixed'; const m: Mixed = mixed(); console.log(m.area, null);",
    "in a text": (
        "import { readFileSync, type PathLike } from 'fs';\n"
        "const text = `\nimport { express } from 'x';\n`;\nconsole.log(text.split(' ')[2], null);"
    ),
}


@pytest.mark.parametrize("name", ERASED)
async def test_import_of_a_type_is_erased_with_it(engine: ExecutionEngine, name: str) -> None:
    """Compilers leave out what is imported and no value is made of; texts stay as they are."""
    mixed = b"""
import { Shape } from './shapes';
interface Mixed extends Shape {}
const mixed = (): Mixed => ({ area: 'express' });
export { mixed, Mixed };
"""
    files = {
        "node_modules/express/index.js": b"module.exports = function express() {}",
        "shapes.ts": b"export interface Shape { area: string }\nexport const value = 'express';",
        "mixed.ts": mixed,
    }
    result = await engine.run("typescript", ERASED[name], files=files, strategy=POOL)
    assert result.check().stdout == "express null\n"


@pytest.mark.parametrize("language", ["javascript", "typescript"])
async def test_data_is_imported_as_people_have_written_it(engine: ExecutionEngine, language: str) -> None:
    """As Node.js 17 to 21 took it, as compilers take it, as it is now; in programs and in cells."""
    code = """import one from './data.json' assert { type: 'json' };
import two from './data.json';
import { three } from './other.js';
const four = await import('./data.json', { with: { type: 'json' } });
console.log(one.a, two.a, three, four.default.a);
"""
    files = {"data.json": b'{"a": 1}', "other.js": b"export const three = 3;"}
    result = await engine.run(language, code, files=files, strategy=POOL)
    assert result.check().stdout == "1 1 3 1\n"
    async with engine.context(language) as context:
        await context.run("require('fs').writeFileSync('data.json', '{\"a\": 1}')")
        await context.run("require('fs').writeFileSync('other.js', 'export const three = 3;')")
        assert (await context.run(code)).check().stdout == "1 1 3 1\n"


MIXED = {
    "require and await": ("const os = require('os')\nconsole.log(os.EOL.length, await 2)", "1 2\n"),
    "import and require": ("import os from 'node:os'\nconsole.log(require('path').join('a', 'b'), !!os)", "a/b true\n"),
    "a guard and exports": (
        "const value = await 3\nmodule.exports = { value }\nif (require.main === module) console.log(value)",
        "3\n",
    ),
    "exports": ("exports.value = await 4\nconsole.log(exports, module.exports === exports)", "{ value: 4 } true\n"),
    "its directory": ("import 'node:os'\nconsole.log(__dirname)", "/workspace\n"),
    "a file of its own": ("const given = require('./lib/given.js')\nconsole.log(await given.value)", "42\n"),
    "a require of its own": (
        "import { createRequire } from 'module'\nconst require = createRequire(import.meta.url)\nconsole.log(await 1)",
        "1\n",
    ),
    "a first line": ("#!/usr/bin/env node\nconst os = require('os')\nconsole.log(await os.EOL.length)", "1\n"),
}


@pytest.mark.parametrize("language", ["javascript", "typescript"])
@pytest.mark.parametrize("name", MIXED)
async def test_program_may_mix_the_two_kinds_of_module(engine: ExecutionEngine, name: str, language: str) -> None:
    """As compilers allow it, and people write it."""
    code, expected = MIXED[name]
    result = await engine.run(language, code, files=GIVEN, strategy=POOL)
    assert result.check().stdout == expected


@pytest.mark.parametrize("language", ["javascript", "typescript"])
@pytest.mark.parametrize(
    "code",
    ["import fs from 'node:fs'; await 1; fs.writeFileSync('made', '')", "require('fs').writeFileSync('made', '')"],
)
async def test_module_leaves_no_file_of_ours(engine: ExecutionEngine, language: str, code: str) -> None:
    """Only what the program has made is told."""
    result = await engine.run(language, code, image=NODE_IMAGE, strategy=POOL)
    assert result.check().generated_files == ("made",)


# -- TypeScript


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("class A { accessor n: number = 1 }\nconst a = new A(); a.n++; console.log(a.n)", "2\n"),
        ("class A { static accessor #n = 3; static get m(): number { return A.#n } }\nconsole.log(A.m)", "3\n"),
        ("const accessor: number = 4; console.log(accessor satisfies number)", "4\n"),
    ],
)
async def test_typescript_has_automatic_accessors(engine: ExecutionEngine, code: str, expected: str) -> None:
    """No Node.js runs them yet, so that to strip the types is not enough."""
    assert (await engine.run("typescript", code, strategy=POOL)).check().stdout == expected
    async with engine.context("typescript") as context:
        assert (await context.run(code)).check().stdout == expected


async def test_typescript_with_markup(engine: ExecutionEngine) -> None:
    """Files with the suffix .tsx, also imported, with and without elements in them."""
    files = {
        "a.tsx": 'import { v } from "./b";\nconst React = { createElement: (name: string) => name };\n'
        "const x: number = 1;\nconsole.log(x, (<div id={v}>{v}</div> as string));",
        "b.tsx": "export const v: string = `b`",
    }
    for entry, expected in (("a.tsx", "1 div\n"), ("b.tsx", "")):
        result = await engine.run("typescript", run_app=RunApp(entry_file=entry), files=files, strategy=POOL)
        assert result.check().stdout == expected
    given = files | {"b.ts": files["b.tsx"]}
    result = await engine.run("typescript", files["a.tsx"], files=given, strategy=POOL)  # main.ts, as it is a program
    assert result.check().stdout == "1 div\n"


async def test_arguments_are_parsed_as_node_parses_them(engine: ExecutionEngine) -> None:
    """The program's own name is none of them."""
    code = """
const { parseArgs } = require('util')
console.log(parseArgs({ options: { v: { type: 'boolean' } }, allowPositionals: true }).positionals)
"""
    result = await engine.run("javascript", code, args=["a b", "--v", "c"], strategy=POOL)
    assert result.check().stdout == "[ 'a b', 'c' ]\n"


async def test_modules_of_node_are_no_packages(engine: ExecutionEngine) -> None:
    """By their full names, too: nothing is installed, and that is said."""
    names = ["node:fs/promises", "node:test", "node:path", "fs"]
    result = await engine.run("javascript", "console.log(1)", dependencies=names, strategy=POOL)
    assert result.check().stdout == "1\n"
    assert all(any(f"'{name}' is a standard module" in note for note in result.notes) for name in names)


async def test_typescript_is_more_than_comments(engine: ExecutionEngine) -> None:
    """Enums, namespaces, parameter properties, decorators, imports, generics, ``satisfies``."""
    code = """
import fs, { readFileSync } from "fs";
import { value, type Shape } from "./lib/given";
enum Colour { Red, Green = 5, Blue }
const enum Fixed { A = "a" }
namespace Space { export const inner: number = 1; }
abstract class Base<T> { constructor(protected readonly name: T, public size = 3) {} abstract area(): number }
class Square extends Base<string> implements Shape { declare extra?: string; area() { return this.size ** 2 } }
function logged(target: any, key: string, descriptor: PropertyDescriptor) { console.log("decorated", key) }
class Decorated { @logged method() {} }
function over(x: string): string; function over(x: number): number; function over(x: any) { return x }
const config = { port: 1 } satisfies Record<string, number>;
let maybe: string | undefined; const sure = maybe!;
const tuple: [a: number, b?: string] = [1];
type Deep<T> = T extends object ? { [K in keyof T]: Deep<T[K]> } : T;
async function* generate(): AsyncGenerator<number> { yield 1 }
(async () => { for await (const n of generate()) console.log(n) })();
console.log(Colour.Blue, Colour[5], Fixed.A, Space.inner, new Square("s").area(), over(1), config.port, sure);
console.log(tuple, value, fs.readFileSync === readFileSync, (<any>"cast").length, ("x" as unknown as number));
"""
    given = {"lib/given.ts": b"export const value: number = 42; export interface Shape { area(): number }"}
    result = await engine.run("typescript", code, image=NODE_IMAGE, files=given, strategy=POOL)
    assert (result.outcome, result.stderr) == ("ok", "")
    assert result.stdout == "decorated method\n6 Green a 1 9 1 1 undefined\n[ 1 ] 42 true 4 x\n1\n"


async def test_typescript_s_traces_name_its_own_lines(engine: ExecutionEngine) -> None:
    """Not those of what it was turned into."""
    code = """interface Gone {
  a: string;
  b: number;
}

enum Also { Grows, Longer }

function fail(x: Gone): never {
  throw new Error("no " + x.a);
}

fail({ a: "luck", b: Also.Grows });
"""
    result = await engine.run("typescript", code, image=NODE_IMAGE, strategy=POOL)
    assert (result.outcome, result.exit_code) == ("error", 1)
    assert "Error: no luck\n    at fail (/workspace/main.ts:9:9)\n" in result.stderr
    assert "/workspace/main.ts:12:1" in result.stderr


async def test_typescript_is_stripped_not_checked(engine: ExecutionEngine) -> None:
    """As every runtime does it that has no time to check."""
    code = "const n: number = 'text' as any as string; console.log(n)"
    result = await engine.run("typescript", code, image=NODE_IMAGE, strategy=POOL)
    assert result.stdout == "text\n"


async def test_broken_typescript_is_an_error(engine: ExecutionEngine) -> None:
    """With the place, before anything of it runs; also in a module, where a program may catch it."""
    code = "console.log('never');\nconst y = 1 +;\n"
    result = await engine.run("typescript", code, image=NODE_IMAGE, strategy=POOL)
    assert (result.outcome, result.exit_code, result.stdout) == ("error", 1, "")
    told = "/workspace/main.ts:2\nconst y = 1 +;\n             ^\n\nSyntaxError: Expression expected.\n"
    assert result.stderr.startswith(told)
    assert "[eval]" not in result.stderr
    code = "try { require('./broken') } catch (error) { console.log(error.name, error.stack.split('\\n')[0]) }"
    result = await engine.run("typescript", code, image=NODE_IMAGE, files={"broken.ts": b"let x: = 1"}, strategy=POOL)
    assert result.check().stdout == "SyntaxError /workspace/broken.ts:1\n"


async def test_typescript_started_for_the_run_is_the_same(engine: ExecutionEngine) -> None:
    """With a variable that only a start can honour."""
    code = "enum E { A = 3 }\nconsole.log(E.A, process.execArgv.length, process.argv.slice(1), require.main === module)"
    ahead = await engine.run("typescript", code, image=NODE_IMAGE, strategy=POOL)
    environment = {"NODE_OPTIONS": "--max-old-space-size=77"}
    started = await engine.run("typescript", code, image=NODE_IMAGE, environment=environment, strategy=POOL)
    assert ahead.check().stdout == started.check().stdout == "3 0 [ '/workspace/main.ts' ] true\n"
