"""Contexts of JavaScript and TypeScript: V8's own console mode, with what an interrupt must end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context, ExecutionEngine
    from tests.docker.workplace import Workplace

pytestmark = pytest.mark.docker

_STAYS = {
    "let": ("let x = 1", "let x = 2; x", "2"),
    "const": ("const x = 1", "const x = 2; x", "2"),
    "const, then let": ("const x = 1", "let x = 2; x", "2"),
    "var, then const": ("var x = 1", "const x = 2; x", "2"),
    "a loop's var": ("for (var x = 0; x < 2; x++);", "x += 1; x", "3"),
    "a pattern": ("var {a: x, ...rest} = {a: 1, b: 2}", "x + rest.b", "3"),
    "a function, then const": ("function x() { return 1 }", "const x = () => 2; x()", "2"),
    "a function above itself": ("x = f(); function f() { return typeof f }", "x", "'function'"),
    "a class": ("class X { a = 1 }", "class X { a = 2 }\nnew X().a", "2"),
    "await": ("const x = await new Promise((done) => setTimeout(() => done(3), 5))", "x", "3"),
    "a closure": ("let x = 1; const read = () => x", "x = 5; read()", "5"),
    "import": (
        "import fs, { existsSync as is } from 'fs'; import * as os from 'node:os'",
        "typeof fs.stat + is('/tmp') + typeof os.cpus",
        "'functiontruefunction'",
    ),
    "import anew": (
        "const fs = require('fs'); fs.writeFileSync('m.mjs', 'export default 1'); await import('./m.mjs')",
        "fs.writeFileSync('m.mjs', 'export default 2'); (await import('./m.mjs?2')).default",
        "2",
    ),
    "import of a name that only the run of a script makes": (
        "require('fs').writeFileSync('made.cjs', 'const made = {}; made.a = 5; module.exports = made')",
        "import made, { a as taken } from './made.cjs'; made.a + taken",
        "10",
    ),
    "import of a package from elsewhere": (
        (
            "process.env.NODE_PATH = `${process.cwd()}/other/node_modules`; require('module')._initPaths();"
            " const { mkdirSync, writeFileSync } = require('fs');"
            " mkdirSync('other/node_modules/two', { recursive: true });"
            " const exports_ = { import: './one.mjs', require: './two.cjs' };"
            " writeFileSync('other/node_modules/two/package.json', JSON.stringify({ exports: exports_ }));"
            " writeFileSync('other/node_modules/two/one.mjs', 'export const which = 1');"
            " writeFileSync('other/node_modules/two/two.cjs', 'exports.which = 2')"
        ),
        "import { which } from 'two'; [which, require('two').which, import.meta.resolve('two').slice(-7)]",
        "[ 1, 2, 'one.mjs' ]",
    ),
    "import again": ("import path from 'path'", "import path from 'path'; path.basename('/a/b')", "'b'"),
    "import()": ("const { basename } = await import('path')", "basename('/a/b')", "'b'"),
    "require": ("const path = require('path')", "path.basename('/a/b')", "'b'"),
    "export": ("export const x = 4; export default function f() { return x }", "f()", "4"),
    "a promise": ("const x = Promise.resolve(1)", "x", "Promise { 1 }"),
    "an object": ("", "{a: 1}", "{ a: 1 }"),
    "a text": ("", "'use'", "'use'"),
    "the last value": ("20 + 1", "_ * 2", "42"),
}

_INTERRUPTED = {
    "a loop": "while (true) {}",
    "an await": "await new Promise(() => {})",
    "a loop behind an await": "await null; while (true) {}",
    "a loop of awaits": "for (;;) await null",
    "a loop of awaits in a function": "const f = async () => { for (;;) await null }; await f()",
    "a loop of awaits that nobody awaits": "(async () => { for (;;) await null })(); 1",
    "a loop of microtasks": "const f = () => queueMicrotask(f); f()",
    "an iteration": "for await (const i of { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) });",
    "a timer": "setTimeout(() => { for (;;); }, 5); await new Promise(() => {})",
    "a function behind a timer": "await (async () => { await new Promise((go) => setTimeout(go, 5)); for (;;); })()",
    "a child": "require('child_process').execSync('echo up; sleep 100', { stdio: 'inherit' })",
    "a child that is asked for its end": (
        "require('child_process').spawnSync('sh', ['-c', 'echo up; exec sleep 100'], { stdio: 'inherit' })"
    ),
    "a representation": "({ [Symbol.for('nodejs.util.inspect.custom')]() { while (true); } })",
    "input": "await new Promise((done) => process.stdin.once('data', done))",
}


_FROM_THE_LOOP = {
    "what Node calls back": "require('fs').readFile('/dev/null', busy)",
    "a promise that Node keeps": "(async () => { await require('fs').promises.readFile('/dev/null'); busy() })()",
    "a tick": "setTimeout(() => process.nextTick(busy), 5)",
    "a timer of Node's own": "(async () => { await require('timers/promises').setTimeout(5); busy() })()",
    "a signal of the time": "AbortSignal.timeout(5).addEventListener('abort', busy)",
    "an interval": "setInterval(busy, 5)",
    "a stream": "require('stream').Readable.from(['a']).on('data', busy)",
    "a port": "const c = new MessageChannel(); c.port1.onmessage = busy; c.port2.postMessage(1)",
    "a server": (
        "const server = require('http').createServer(busy).listen('s'); require('http')"
        ".get({ socketPath: 's' }).on('error', () => {})"
    ),
    "what takes errors": "process.prependOnceListener('uncaughtException', busy); setTimeout(() => { throw 1 })",
    "what must be done at the end": "setTimeout(() => process.kill(process.pid, 'SIGINT'), 5)",
}

_POLLUTED = {
    "properties of objects": (
        "for (const name of ['get', 'set', 'value', 'then', 'code', 'error', 'result', 'type', 'op', 'length', 0])"
        " Object.prototype[name] = 1"
    ),
    "a setter in arrays": (
        "const property = { __proto__: null, set() {} }; Reflect.defineProperty(Array.prototype, 0, property)"
    ),
    "functions": (
        "JSON.parse = JSON.stringify = () => ({}); Buffer.from = Buffer.alloc = Buffer.concat = () => { throw 1 };"
        " process.emit = process.cpuUsage = process.hrtime = process.stdout.write = () => { throw 1 };"
        " require('util').inspect = require('vm').Script.prototype.runInThisContext = () => { throw 1 };"
        " require('events').prototype.emit = require('inspector').Session.prototype.post = () => { throw 1 }"
    ),
    "methods": (
        "for (const { prototype } of [String, RegExp, Map, Set, Uint8Array, Buffer, Function, Promise])"
        " for (const name of Object.getOwnPropertyNames(prototype)) try {"
        " if (name !== 'constructor') prototype[name] = () => { throw 1 } } catch {}"
    ),
    "names": (
        "for (const name of ['process', 'JSON', 'Promise', 'Buffer', 'Array', 'String', 'Error', 'setImmediate'])"
        " globalThis[name] = null"
    ),
    "everything": "Object.freeze(Object.prototype); Object.freeze(globalThis)",
}


@pytest.fixture
async def context(workplace: Workplace) -> AsyncGenerator[Context]:
    """A context of JavaScript."""
    async with workplace.context("javascript", timeout=30) as context:
        yield context


@pytest.mark.parametrize("name", _STAYS)
async def test_what_a_cell_declares_stays(context: Context, name: str) -> None:
    """It may be declared again, as something else, too."""
    first, second, text = _STAYS[name]
    (await context.run(first)).check()
    result = (await context.run(second)).check()
    assert result.text == text


async def test_results_keep_their_place_in_the_output(context: Context) -> None:
    """A display waits until it has its place; objects come as data, too."""
    code = "console.log('a'); display([1, {b: 2}]); console.log('b'); console.error('c'); new Map([[1, 2]])"
    async with context.stream(code) as cell:
        order = [chunk.stream async for chunk in cell]
        result = await cell.result()
    assert order.index("display") == 1
    assert (result.stdout, result.stderr) == ("a\nb\n", "c\n")
    assert (result.results[0].json, result.results[0].is_main_result) == ([1, {"b": 2}], False)
    assert (result.text, result.results[1].is_main_result) == ("Map(1) { 1 => 2 }", True)


async def test_programs_show_their_own_representations(context: Context) -> None:
    """By the method that other JavaScript notebooks know, by MIME type, and again under a name."""
    code = """
display({ 'text/html': '<b>1</b>' }, { raw: true, display_id: 'it' });
display.update('it', { 'text/html': '<b>2</b>' }, { raw: true });
({ [Symbol.for('Jupyter.display')]() { return { 'image/png': Buffer.from('PNG').toString('base64') } } })
"""
    first, second, picture = (await context.run(code)).check().results
    assert (first.html, first.display_id, second.html, second.update) == ("<b>1</b>", "it", "<b>2</b>", True)
    assert picture.png == b"PNG"


async def test_errors_have_their_place(context: Context) -> None:
    """Name, message and the trace of the cells; nothing of the runner."""
    result = await context.run("function f() {\n  return null.x\n}\nf()")
    assert (result.outcome, result.exit_code) == ("error", 1)
    assert result.error is not None
    assert result.error.name == "TypeError"
    assert "cell-1:2:" in result.error.traceback
    assert "node:" not in result.error.traceback
    result = await context.run("let fine = 1\nfoo(\n  ]")
    assert result.error is not None
    assert (result.error.name, result.error.traceback.split("\n")[:3]) == ("SyntaxError", ["cell-2:3", "  ]", "  ^"])
    assert (await context.run("typeof fine")).text == "'undefined'"


async def test_an_import_of_a_name_that_the_module_has_not_is_an_error(context: Context) -> None:
    """It says the module and the name, as in a program."""
    for imported in ("{ nothing }", "fs, { stat, nothing as something }"):
        result = await context.run(f"import {imported} from 'fs'")
        assert result.error is not None
        assert (result.error.name, result.error.value) == (
            "SyntaxError",
            "The requested module 'fs' does not provide an export named 'nothing'",
        )


async def test_rejections_that_nobody_handles_are_told(context: Context) -> None:
    """Under the cell that made them; the context goes on."""
    later = "setTimeout(() => { throw new Error('later') }, 5)"
    result = await context.run(f"Promise.reject(new Error('nobody')); {later}; 1")
    assert "Unhandled rejection: Error: nobody" in result.stderr
    result = await context.run("await new Promise((done) => setTimeout(done, 50)); 2")
    assert result.text == "2"


@pytest.mark.parametrize("name", _INTERRUPTED)
async def test_an_interrupt_keeps_the_variables(context: Context, name: str) -> None:
    """Also where the cell would never give the event loop a turn."""
    await context.run("let kept = 7")
    has_child = "echo up" in _INTERRUPTED[name]  # Node sleeps over an interrupt that comes before its child is there
    async with context.stream(_INTERRUPTED[name], timeout=None if has_child else 0.3) as cell:
        if has_child:
            await anext(cell)
            await context.interrupt()
        result = await cell.result()
    assert (result.outcome, result.exit_code) == ("error" if has_child else "timeout", 130), result.notes
    assert result.error is not None
    assert result.error.name == "KeyboardInterrupt"
    assert (await context.run("globalThis.gc?.(); kept")).text == "7"


async def test_an_interrupt_ends_what_the_event_loop_runs(context: Context) -> None:
    """Code that Node comes to by itself is ended as the lines of a cell are; what would begin anew is taken away."""
    await context.run("let kept = 7; const busy = () => { require('fs').writeSync(1, 'up'); for (;;); }")
    for name, code in _FROM_THE_LOOP.items():
        ending = "busy()" if "at the end" in name else "0"
        async with context.stream(f"{code}; try {{ await new Promise(() => {{}}) }} finally {{ {ending} }}") as cell:
            assert (await anext(cell)).text == "up"
            await context.interrupt()
            result = await cell.result()
        assert result.exit_code == 130, (name, result.notes)
        assert (await context.run("kept")).text == "7", name


async def test_an_interrupt_ends_a_loop_of_long_calls(context: Context) -> None:
    """V8 looks for one after some thousand turns of a loop, which are minutes here."""
    (await context.run("const text = JSON.stringify('x'.repeat(2e6))")).check()
    for loop in ("for (;;) JSON.parse(text)", "while (true) { JSON.parse(text) }", "do JSON.parse(text); while (true)"):
        result = await context.run(f"const f = () => {{ {loop} }}; f()", timeout=0.05)
        assert (result.outcome, result.exit_code) == ("timeout", 130), result.notes
    counted = "let n = 0; for (const x of [1, 2]) for (const y in { a: 1 }) n += Number(String(x)); n"
    assert (await context.run(counted)).text == "3"


async def test_what_a_cell_makes_of_the_language_is_its_own_matter(context: Context) -> None:
    """The runner goes on, and tells values and errors, whatever becomes of what both have."""
    await context.run("let kept = 7")
    for name, code in _POLLUTED.items():
        result = await context.run(f"{code}; kept")
        assert (result.outcome, result.text) == ("ok", "7"), (name, result.stderr)
        assert (await context.run(f"let {name.split()[0]} = await 3; kept + {name.split()[0]}")).text == "10", name
        assert (await context.run("throw 5")).stderr == "Uncaught 5\n", name
    assert (await context.run("for (;;);", timeout=0.05)).exit_code == 130
    assert (await context.run("kept")).text == "7"


@pytest.mark.parametrize(
    "thrown",
    [
        "{ get message() { throw 1 }, get stack() { throw 1 } }",
        "new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 1 }, ownKeys() { throw 1 } })",
        "Object.assign(new Error('x'), { [require('util').inspect.custom]() { throw 1 } })",
        "new Error('x'.repeat(2e6))",
    ],
)
async def test_an_error_that_cannot_be_shown_ends_its_cell(context: Context, thrown: str) -> None:
    """One that throws when it is looked at, and one that is too long."""
    result = await context.run(f"throw {thrown}")
    assert (result.outcome, result.exit_code) == ("error", 1)
    assert (await context.run("1")).text == "1"


@pytest.mark.parametrize(
    "child",
    ["require('child_process').execSync('{}')", "await require('util').promisify(require('child_process').exec)('{}')"],
)
async def test_an_interrupt_may_reach_a_child_first(context: Context, child: str) -> None:
    """Its end is no error of the cell then; a child that ends so by itself is one."""
    result = await context.run(child.format("kill -INT $$"))
    assert (result.exit_code, result.error and result.error.name) == (1, "Error")
    result = await context.run(child.format("kill -INT 0"))
    assert (result.exit_code, result.error and result.error.name) == (130, "KeyboardInterrupt")


async def test_a_cell_interrupts_itself(context: Context) -> None:
    """By the signal, at once and later; signals that end nothing leave the context as it is."""
    for code in ("process.kill({}); 1", "setTimeout(() => process.kill({}), 5); await new Promise(() => {{}})"):
        assert (await context.run(code.format("process.pid, 'SIGINT'"))).exit_code == 130
    assert (await context.run("process.kill(process.pid, 'SIGWINCH') && process.kill(process.pid, 0)")).text == "true"
    assert (await context.run("20 + 1")).text == "21"


async def test_an_interrupted_cell_never_goes_on(context: Context) -> None:
    """Wherever in a loop of awaits an interrupt finds it: what goes on would keep all later cells out."""
    for _ in range(20):
        async with context.stream("for (;;) await null", timeout=0.05) as cell:
            assert (await cell.result()).outcome == "timeout"
        assert (await context.run("let kept = 7; kept", timeout=5)).text == "7"


@pytest.mark.parametrize("loop", ["console.log('x')", "display('x')"])
async def test_an_interrupt_in_the_midst_of_output_keeps_it_going(context: Context, loop: str) -> None:
    """What the next cells print and show is all there, in its order."""
    for number in range(12):
        result = await context.run(f"for (;;) {loop}", timeout=0.02)
        assert (result.outcome, result.exit_code) == ("timeout", 130), result.notes
        async with context.stream(f"console.log('a'); display({number}); console.log('b')", timeout=10) as cell:
            said = [chunk.text async for chunk in cell if chunk.stream == "stdout"]
            result = await cell.result()
        assert said == ["a\n", "b\n"]
        assert [each.text for each in result.results] == [str(number)]


async def test_output_goes_on_after_its_end(context: Context) -> None:
    """A cell may end or hold back the stream; the next cell has it again, and a child can write to it whole."""
    for code in ("process.stdout.end(); 0", "process.stdout.cork(); console.log('a'); 0"):
        (await context.run(code)).check()
        assert (await context.run("console.log('b')")).stdout == "b\n"
    child = "require('child_process').spawnSync('sh', ['-c', 'yes | head -c 3000000'], { stdio: 'inherit' }).status"
    result = (await context.run(f"console.log('x'.repeat(1e6)); {child}")).check()
    assert (result.text, len(result.stdout)) == ("0", 4_000_001)


async def test_an_interrupted_await_runs_what_must_be_done_at_the_end(context: Context) -> None:
    """It rejects, so `finally` runs, and nothing goes on behind it."""
    waiting = "setTimeout(() => console.log('up')); await new Promise(() => {})"
    code = f"try {{ {waiting} }} finally {{ console.log('done') }}\nconsole.log('never')"
    async with context.stream(code) as cell:
        await anext(cell)
        await context.interrupt()
        assert (await cell.result()).stdout == "up\ndone\n"


async def test_an_await_takes_the_last_of_several_values(context: Context) -> None:
    """As JavaScript's comma says, though the cell is rewritten."""
    assert (await context.run("await (1, Promise.resolve(2))")).text == "2"


async def test_exit_ends_the_cell(context: Context) -> None:
    """With its code; the variables stay."""
    await context.run("let kept = 1")
    result = await context.run("process.exit(3)")
    assert (result.outcome, result.exit_code) == ("error", 3)
    assert (await context.run("process.exitCode = 4; 0")).exit_code == 4
    assert (await context.run("kept")).text == "1"


@pytest.mark.parametrize(
    "code",
    [
        "[prompt('a?'), prompt()]",
        "fs.readFileSync(0, 'utf8').trim().split('\\n')",
        "const all = []; require('readline').createInterface(process.stdin).on('line', (l) => all.push(l)); all",
        "const all = []; for await (const l of require('readline').createInterface(process.stdin)) all.push(l); all",
    ],
)
async def test_input_comes_from_stdin(context: Context, code: str) -> None:
    """For the functions that wait, and for those that do not."""
    await context.run("import fs from 'fs'")
    assert (await context.run(code, stdin=b"1\n2\n")).text == "[ '1', '2' ]"
    assert (await context.run("prompt()")).text == "null"


@pytest.mark.parametrize(
    "asks",
    [
        "new Promise((done) => process.stdin.once('data', done))",
        "require('readline/promises').createInterface(process.stdin).question('?')",
        "new Promise((done) => require('readline').createInterface(process.stdin).question('?', done))",
        "(async () => { await null; await new Promise((done) => process.stdin.on('data', done)) })()",
    ],
)
async def test_an_await_of_input_that_has_ended_is_an_error(context: Context, asks: str) -> None:
    """As a program ends then; what else the cell waits for has its time, and the context goes on."""
    code = f"let kept = 7; try {{ await {asks} }} finally {{ console.log('done') }}"
    result = await context.run(code)
    assert (result.outcome, result.stdout) == ("error", "done\n")
    assert result.error is not None
    assert "standard input has ended" in result.error.value
    later = "await new Promise((done) => process.stdin.once('end', () => setTimeout(done, 100)).resume()); kept"
    assert (await context.run(later)).text == "7"


async def test_files_of_a_cell(context: Context) -> None:
    """What a cell changes is told, and nothing that another one did."""
    result = await context.run("require('fs').mkdirSync('d'); require('fs').writeFileSync('d/a.txt', 'x')")
    assert result.generated_files == ("d/a.txt",)
    assert (await context.run("1")).generated_files == ()


async def test_completion_and_inspection(context: Context) -> None:
    """Of names and of properties, without running a getter of the program."""
    await context.run("let answer = { deep: 1, get trap() { console.log('run'); return 1 } }")
    assert (await context.complete("answer.de")).matches == ("deep",)
    assert "answer" in (await context.complete("1 + ans")).matches
    found = await context.inspect("answer")
    assert found.found
    assert "deep: 1" in (found.text or "")
    assert (await context.complete("answer.trap.")).matches == ()


async def test_notebook_gets_questions_clears_and_errors_apart(context: Context) -> None:
    """A prompt, an error and a clearing are no output."""
    code = "console.log('one'); display.clear({wait: true}); console.log(prompt('Name?')); throw new Error('no')"
    seen: list[tuple[str, str]] = []
    async with context.stream(code, notebook=True) as cell:
        async for chunk in cell:
            seen.append((chunk.stream, chunk.text))
            if chunk.stream == "input":
                await cell.send_stdin(b"me\n")
        result = await cell.result()
    assert seen == [("stdout", "one\n"), ("clear", ""), ("input", "Name?"), ("stdout", "me\n")]
    assert result.error is not None
    assert (result.error.value, result.stderr) == ("no", "")
    silent = await context.run("40 + 2", silent=True)
    assert (silent.results, silent.execution_count) == ((), None)
    counted = await context.run("40 + 2")
    assert (counted.text, counted.execution_count) == ("42", 2)


async def test_completeness(engine: ExecutionEngine) -> None:
    """As the language's parser sees it."""
    codes = ("function f() {", "let s = `a", "let a = 1", "let = )", "[1, 2", "f(`${a}`) /* on")
    wanted = ["incomplete", "incomplete", "complete", "invalid", "incomplete", "incomplete"]
    for language in ("javascript", "typescript"):
        async with engine.context(language) as context:
            assert [(await context.is_complete(code)).status for code in codes] == wanted
    async with engine.context("shell") as context:
        assert (await context.is_complete("if true")).status == "unknown"


async def test_typescript_strips_types(engine: ExecutionEngine) -> None:
    """Types, enums and decorators; a syntax error has its place."""
    async with engine.context("typescript", timeout=30) as context:
        (await context.run("interface A { x: number }\nenum Color { Red, Green }\nconst a: A = { x: 1 }")).check()
        assert (await context.run("enum Color { Red, Green, Blue }\na.x + Color.Blue")).text == "3"
        assert (await context.run("const id = <T,>(x: T): T => x; id<string>('q')")).text == "'q'"
        assert (await context.run("@seen class D {}; function seen(x: any) { console.log(x.name) }")).stdout == "D\n"
        assert (await context.run("enum E { A = 4 }; namespace N { export const x = 1 }; E.A + N.x")).text == "5"
        module = "export enum Q { A = 4 }; export interface T { a: number }; export const f = (t: T): number => t.a"
        await context.run(f"require('fs').writeFileSync('m.ts', `{module}`)")
        assert (await context.run("import { f, Q, type T } from './m'\nf({ a: 3 }) + Q.A")).text == "7"
        assert (
            await context.run("import { T } from './m'\nrequire('./m').Q.A + (await import('./m?2')).Q.A")
        ).text == "8"
        assert (await context.run("f({ a: 5 } as T)")).text == "5"
        script = "const made = {}; made.a = 3; module.exports = made"
        await context.run(f"require('fs').writeFileSync('made.cjs', `{script}`)")
        assert (await context.run("import made, { a, Type } from './made.cjs'\nmade.a + a")).text == "6"
        result = await context.run("let b: = 1")
        assert result.error is not None
        assert result.error.name == "SyntaxError"


async def test_large_code_and_many_cells(context: Context) -> None:
    """Code goes in pieces; a hundred interrupts leave a context that works."""
    assert (await context.run(f"'{'x' * 300_000}'.length")).text == "300000"
    for number in range(20):
        assert (await context.run("await null; while (true) {}", timeout=0.05)).outcome == "timeout"
        assert (await context.run(f"{number}")).text == str(number)
