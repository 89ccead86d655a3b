"""Programs in a sandbox call functions of this process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

import msgspec
import pytest

from interpreter_tools import ContainerStrategy, HostTool, ToolRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from interpreter_tools import ExecutionEngine, ExecutionResult

pytestmark = pytest.mark.docker


class Point(msgspec.Struct):
    """A type of the host's."""

    x: int
    y: int = 0


async def search(query: str, limit: int = 3, *, mode: Literal["all", "any"] = "all") -> list[str]:
    """Search for words."""
    return [f"{mode} {query} {number}" for number in range(limit)]


def move(point: Point, by: Point) -> Point:
    """Add two points."""
    return Point(point.x + by.x, point.y + by.y)


def double(data: bytes) -> bytes:
    """Repeat bytes."""
    return data * 2


def fails(kind: str) -> None:
    """Raise."""
    raise {"value": ValueError, "own": _OwnError}[kind]("the words")


class _OwnError(Exception):
    """An exception that no program knows."""


async def count(to: int) -> AsyncIterator[dict[str, int]]:
    """Give numbers."""
    for number in range(to):
        yield {"n": number}


TOOLS = [search, move, double, fails, count]


async def run(engine: ExecutionEngine, code: str, *tools: object, **options: object) -> ExecutionResult:
    """Run Python with tools."""
    return await engine.run("python", code, tools=tools or TOOLS, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def lines(engine: ExecutionEngine, code: str, *tools: object) -> list[str]:
    """What it prints, without an error."""
    result = await run(engine, "import tools\n" + code, *tools)
    assert result.ok, result.stderr
    return result.stdout.splitlines()


async def test_arguments_and_values_are_those_of_the_annotations(engine: ExecutionEngine) -> None:
    """By place and by name; structs, bytes, defaults; what does not fit is the program's TypeError."""
    code = """
print(tools.search("x", 1, mode="any"), tools.search(query="y", limit=1))
print(tools.move({"x": 1}, {"x": 2, "y": 3}), tools.double(b"\\x00\\xff"))
for bad in (lambda: tools.search(3), lambda: tools.search(), lambda: tools.search("a", b="c"),
            lambda: tools.search("a", mode="no"), lambda: tools.search(object()), lambda: tools.double("text"),
            lambda: tools.search("half \\ud800"), lambda: tools.search("a", float("nan")),
            lambda: tools.search("a", self=1)):
    try: bad()
    except (TypeError, ValueError) as error: print(type(error).__name__, str(error)[:40])
"""
    assert await lines(engine, code) == [
        "['any x 0'] ['all y 0']",
        "{'x': 3, 'y': 3} b'\\x00\\xff\\x00\\xff'",
        "TypeError query: Expected `str`, got `int`",
        "TypeError missing a required argument: 'query'",
        "TypeError got an unexpected keyword argument 'b'",
        "TypeError mode: Invalid enum value 'no'",
        "TypeError object cannot be sent to a tool: give JS",
        "TypeError data: Expected `bytes`, got `str`",
        "UnicodeEncodeError 'utf-8' codec can't encode character '\\u",
        "ValueError Out of range float values are not JSON c",
        "TypeError got an unexpected keyword argument 'self",
    ]


async def test_failures_have_the_host_s_name_and_words(engine: ExecutionEngine) -> None:
    """And no traceback of the host; a known exception is caught as such."""
    code = """
try: tools.fails("value")
except ValueError as error: print(repr(error), isinstance(error, tools.ToolError))
try: tools.fails("own")
except tools.ToolError as error: print(repr(error))
tools.fails("own")
"""
    result = await run(engine, "import tools\n" + code)
    assert result.stdout == "ValueError('the words') True\n_OwnError('the words')\n"
    assert "test_tool_calls" not in result.stderr
    assert [call.outcome for call in result.tool_calls] == ["error"] * 3


async def test_tools_explain_themselves(engine: ExecutionEngine) -> None:
    """To dir, help and inspect."""
    code = """
import inspect
print(dir(tools))
print(inspect.getdoc(tools.search))
print(inspect.signature(tools.search).parameters.keys())
try: tools.nothing
except AttributeError as error: print(error)
"""
    assert await lines(engine, code) == [
        "['ToolError', 'count', 'double', 'fails', 'move', 'search']",
        "search(query: str, limit: int = 3, *, mode: Literal['all', 'any'] = 'all') -> list[str]",
        "",
        "Search for words.",
        "odict_keys(['query', 'limit', 'mode'])",
        "there is no tool 'nothing': this program was given search, move, double, fails, count",
    ]


async def test_parallel_calls_from_threads_tasks_and_processes(engine: ExecutionEngine) -> None:
    """Each gets its own answer, and slow ones hold nobody up."""

    async def echo(value: int) -> int:
        await asyncio.sleep((value * 7 % 10) / 1000)
        return value

    code = """
import asyncio, multiprocessing
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(20) as pool:
    print(list(pool.map(tools.echo, range(300))) == list(range(300)))
async def main():
    return await asyncio.gather(*[tools.echo.call(i) for i in range(100)])
print(asyncio.run(main()) == list(range(100)), asyncio.run(main()) == list(range(100)))
multiprocessing.set_start_method("fork")
with multiprocessing.Pool(4) as pool:
    print(pool.map(tools.echo, range(40)) == list(range(40)))
"""
    assert await lines(engine, code, echo) == ["True", "True True", "True"]


async def test_streams_come_one_by_one_and_end_when_the_program_has_enough(engine: ExecutionEngine) -> None:
    """A generator that is left is closed on the host."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield (number := number + 1)
        finally:
            closed.set()

    code = """
import asyncio, itertools
print([each["n"] for each in tools.count(5)])
print(list(itertools.islice(tools.endless(), 3)))
async def main():
    async for each in tools.count.call(2): print(each)
asyncio.run(main())
"""
    assert await lines(engine, code, count, endless) == ["[0, 1, 2, 3, 4]", "[1, 2, 3]", "{'n': 0}", "{'n': 1}"]
    await asyncio.wait_for(closed.wait(), 10)


async def test_approval_sees_the_call_and_may_change_it(engine: ExecutionEngine) -> None:
    """Or refuse it."""
    asked: list[ToolRequest] = []

    async def approve(request: ToolRequest) -> bool | Mapping[str, object]:
        asked.append(request)
        return {"data": b"changed"} if request.arguments["data"] == b"a" else False

    code = """
print(tools.double(b"a"))  # a call
try: tools.double(b"b")
except PermissionError as error: print(error)
"""
    assert await lines(engine, code, HostTool(double, approve=approve)) == [
        "b'changedchanged'",
        "the call of double was not approved",
    ]
    assert [(each.name, each.arguments) for each in asked] == [("double", {"data": b"a"}), ("double", {"data": b"b"})]
    assert asked[0].source_line == 'print(tools.double(b"a"))  # a call'


async def test_budgets_of_calls_and_time(engine: ExecutionEngine) -> None:
    """They end the call, and not the program."""

    async def slow() -> None:
        await asyncio.sleep(1000)

    code = """
for _ in range(2):
    try: print(tools.double(b""))
    except PermissionError as error: print(error)
try: tools.slow()
except TimeoutError as error: print(error)
"""
    tools = [HostTool(double, max_calls=1), HostTool(slow, timeout=0.2)]
    result = await run(engine, "import tools\n" + code, *tools)
    assert result.stdout == "b''\ndouble may be called 1 times in a run\nslow took longer than 0.2 s\n"
    assert [call.outcome for call in result.tool_calls] == ["ok", "refused", "timeout"]


@pytest.mark.parametrize("end", ["kill", "cancel", "timeout", "exit"])
async def test_end_of_the_run_cancels_what_is_under_way(engine: ExecutionEngine, end: str) -> None:
    """And waits until the function has ended; a tool that hangs ends with the run's time limit."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    code = "import tools, threading, os, time\n"
    if end == "exit":
        code += "threading.Thread(target=tools.hang).start(); time.sleep(0.5); os._exit(0)"
    else:
        code += "tools.hang()"
    timeout = 1.0 if end == "timeout" else 60.0
    execution = engine.stream("python", code, tools=[hang], timeout=timeout, stdin=b"")
    async with execution:
        await began.wait()
        if end == "kill":
            await execution.kill()
        if end != "cancel":
            result = await execution.result()
            assert result.outcome == {"kill": "killed", "timeout": "timeout", "exit": "ok"}[end]
            assert [call.outcome for call in result.tool_calls] == ["cancelled"]
    assert ended.is_set()


async def test_program_calls_only_what_it_was_given(engine: ExecutionEngine) -> None:
    """Runs without tools have none; runs at the same time have their own."""

    def name() -> str:
        return "first"

    def other() -> str:
        return "second"

    without = await engine.run("python", "import tools")
    assert "ModuleNotFoundError: No module named 'tools'" in without.stderr
    code = "import tools\nprint([each for each in dir(tools) if each != 'ToolError'])"
    first, second = await asyncio.gather(
        run(engine, code + "\nprint(tools.name())", name),
        run(engine, code + "\nprint(tools.name())", HostTool(other, name="name"), double),
    )
    assert first.stdout == "['name']\nfirst\n"
    assert second.stdout == "['double', 'name']\nsecond\n"
    hidden = """
import interpreter_tools_display.messages as m, json, time, tools
for message in ({"call": 1, "tool": "__import__"}, {"call": 2, "tool": "search.__globals__"}):
    m.send("t", json.dumps(message).encode())
time.sleep(0.2)
"""
    result = await run(engine, hidden, double)
    assert [call.outcome for call in result.tool_calls] == ["refused", "refused"]


async def test_hostile_calls_are_bounded(engine: ExecutionEngine) -> None:
    """Nonsense, floods, endless messages, answers that nobody reads: the client goes on, and the run ends as any."""
    code = """
import socket, os, time, threading
def connect():
    made = socket.socket(socket.AF_UNIX); made.connect("\\0interpreter-tools"); made.settimeout(5); return made
def send(sock, body):
    sock.sendall(len(body).to_bytes(4, "little") + body)
def quietly(sock, bodies):
    try:
        for body in bodies: send(sock, body)
    except OSError: pass
quietly(connect(), [b"t", b"t\\0", b"t\\0{", b"t\\0[]", b"t\\0" + b"[" * 50000, b"t\\0\\xff",
    b't\\0{"call": -1e999}', b't\\0{"call": 1, "tool": 7}',
    b't\\0{"call":1,"tool":"double","args":[{"$bytes":"!"}]}', b't\\7{}', b"x" * 65000])
quietly(connect(), [b"t\\1" + b"x" * 60000] * 400)  # 24 MB that never end
quietly(connect(), [b't\\0{"call": %d, "asks": true}' % i for i in range(5000)])  # whose answers nobody reads
quietly(connect(), [b't\\0{"call": 1, "tool": "double", "args": [{"$bytes": "AAAA"}]}'] * 3000)
print("done")
"""
    before = time.monotonic()
    result = await run(engine, code, double, timeout=30)
    assert result.stdout == "done\n"
    assert time.monotonic() - before < 30
    assert (await lines(engine, "print(tools.double(b'x'))")) == ["b'xx'"]


async def test_large_arguments_and_values(engine: ExecutionEngine) -> None:
    """In pieces, with other calls between them; what is too large is an error of that call."""
    code = """
print(len(tools.double(b"x" * 4_000_000)))
try: tools.double(b"x" * 10_000_000)
except ValueError as error: print("ValueError", str(error)[:10])
try: tools.double(b"x" * 17_000_000)
except ValueError as error: print("ValueError", str(error)[:8])
print(len(tools.double(b"x")))
"""
    result = await run(engine, "import tools" + code, double)
    assert result.stdout.splitlines() == ["8000000", "ValueError the result", "ValueError the call", "2"]
    assert [call.outcome for call in result.tool_calls] == ["ok", "error", "refused", "ok"]


async def test_calls_that_are_too_large_together(engine: ExecutionEngine) -> None:
    """Those that find no room are refused, each by itself, in JavaScript as well."""
    code = """
const big = 'x'.repeat(15 << 20);
const ended = await Promise.allSettled(Array.from({length: 6}, () => tools.size(big)));
const refused = await tools.size(big.repeat(2)).catch((error) => error.message.slice(0, 8));
console.log(ended.length, refused, await tools.size('x'));
"""

    def size(text: str) -> int:
        return len(text)

    result = await engine.run("javascript", code, tools=[size], memory_limit="1g", timeout=120)
    assert result.stdout == "6 the call 1\n", result.stderr


async def test_sessions_give_tools_to_one_run(engine: ExecutionEngine) -> None:
    """Also in a container that is used again; the next run has none."""
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        for _ in range(2):
            result = await session.run("python", "import tools; print(tools.double(b'a'))", tools=[double])
            assert result.stdout == "b'aa'\n"
            assert "ModuleNotFoundError" in (await session.run("python", "import tools")).stderr


async def test_module_of_the_program_s_own_comes_first(engine: ExecutionEngine) -> None:
    """Nothing that ran before breaks."""
    result = await engine.run("python", "import tools; print(tools.x)", files={"tools.py": "x = 1"}, tools=[double])
    assert result.stdout == "1\n"


async def test_ten_thousand_calls_in_random_order(engine: ExecutionEngine) -> None:
    """Threads and tasks at once, and no answer goes astray."""

    async def echo(value: int) -> int:
        if value % 3 == 0:
            await asyncio.sleep(0)
        return value

    code = """
import asyncio, random, threading
wrong = []
def work(seed):
    source = random.Random(seed)
    for _ in range(500):
        value = source.randrange(10**6)
        if tools.echo(value) != value: wrong.append(value)
async def tasks(seed):
    source = random.Random(seed)
    async def one():
        value = source.randrange(10**6)
        if await tools.echo.call(value) != value: wrong.append(value)
    for _ in range(50):
        await asyncio.gather(*[one() for _ in range(50)])
threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
threads += [threading.Thread(target=lambda i=i: asyncio.run(tasks(i))) for i in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(wrong)
"""
    assert await lines(engine, code, HostTool(echo, max_calls=20_000)) == ["[]"]


async def test_cells_of_a_context_have_tools_of_their_own(engine: ExecutionEngine) -> None:
    """They change from cell to cell; what a cell leaves under way is cancelled with it, and its result says so."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.set()

    async with engine.context("python") as context:
        result = await context.run("import tools\ntools.double(b'a')", tools=[double])
        assert result.text == "b'aa'"
        assert [call.name for call in result.tool_calls] == ["double"]
        result = await context.run("tools.search('x', limit=1)", tools=[search])
        assert result.text == "['all x 0']"
        result = await context.run("tools.double(b'a')")
        assert result.error is not None
        assert result.error.name == "AttributeError"
        code = "import threading, time\nthread = threading.Thread(target=tools.hang)\nthread.start(); time.sleep(0.3)"
        result = await context.run(code, tools=[hang])
        assert [call.outcome for call in result.tool_calls] == ["cancelled"]
        assert cancelled.is_set()
        result = await context.run("thread.join(10); thread.is_alive()", tools=[double])
        assert result.text == "False"
        begun.clear()
        cancelled.clear()
        cell = asyncio.create_task(context.run("tools.hang()", tools=[hang]))
        await begun.wait()
        await context.interrupt()
        result = await cell
        assert result.error is not None
        assert result.error.name == "KeyboardInterrupt"
        assert cancelled.is_set()
        assert (await context.run("tools.double(b'b')", tools=[double])).text == "b'bb'"


@pytest.mark.parametrize("language", ["javascript", "typescript"])
async def test_node_calls_tools(engine: ExecutionEngine, language: str) -> None:
    """By name or by place; values, bytes, streams, failures, and many at once; the program ends by itself."""
    code = """
declare const tools: any;
async function main() {
  console.log(JSON.stringify([await tools.search({ query: 'x', limit: 2 }), await tools.search('y', 1)]));
  console.log((await tools.double(Buffer.from('ab'))).toString());
  try { await tools.fails('value'); } catch (error: any) { console.log(error.name, error.message); }
  try { await tools.nothing(); } catch (error: any) { console.log(error.name); }
  try { await tools.search({ query: 'x', limit: 1n }); } catch (error: any) { console.log(error.name); }
  try { await tools.search(undefined); } catch (error: any) { console.log(error.message); }
  for await (const each of tools.count({ to: 2 })) console.log(each.n);
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => tools.search({ query: `${i}`, limit: 1 })));
  console.log(all[99][0]);
}
main();
"""
    if language == "javascript":
        code = code.replace("declare const tools: any;", "").replace(": any", "")
    result = await engine.run(language, code, tools=TOOLS)
    assert result.ok, result.stderr
    assert result.stdout.splitlines() == [
        '[["all x 0","all x 1"],["all y 0"]]',
        "abab",
        "ValueError the words",
        "PermissionError",
        "TypeError",
        "query: Expected `str`, got `null`",
        *("0", "1"),
        "all 99 0",
    ]
    assert (await engine.run(language, "console.log(typeof globalThis['tools'])")).stdout == "undefined\n"


_SHELL = r"""
tool search --query 'a "b" é' --limit 2
tool search x --limit=1 --mode any
tool move --point:='{"x": 1}' --by:='{"x": 2, "y": 3}'
tool count 2
sh -c 'tool search y --limit 1' | cat
for wrong in 'fails value' 'fails own' nothing 'search --limit many q' search; do
    tool $wrong; echo "$?"
done
tool move --point:='{"x": 1' --by x; echo "$?"
"""


@pytest.mark.parametrize("language", ["shell", "bash"])
async def test_shells_have_a_command(engine: ExecutionEngine, language: str) -> None:
    """Its output is JSON, one value in a line; failures are words in stderr and a status; all programs can use it."""
    result = await engine.run(language, _SHELL, tools=TOOLS, args=["given"])
    assert result.stdout.splitlines() == [
        '["all a \\"b\\" é 0","all a \\"b\\" é 1"]',
        '["any x 0"]',
        '{"x":3,"y":3}',
        '{"n":0}',
        '{"n":1}',
        '["all y 0"]',
        *(["1"] * 5),
        "2",
    ]
    told = result.stderr.splitlines()
    assert told[:3] == [
        "tool: ValueError: the words",
        "tool: _OwnError: the words",
        "tool: PermissionError: there is no tool 'nothing'",
    ]
    assert told[3].startswith("tool: TypeError: limit: ")
    assert told[4] == "tool: TypeError: missing a required argument: 'query'"
    assert told[5] == 'tool: this is not JSON: {"x": 1'
    assert [call.name for call in result.tool_calls[:2]] == ["search", "search"]


async def test_command_lists_the_tools(engine: ExecutionEngine) -> None:
    """With signatures and descriptions; without tools there is no command, and an exit status is the program's own."""
    result = await engine.run("shell", 'tool; echo "$0 $*"; exit 3', tools=TOOLS, args=["a b"])
    listed = msgspec.json.decode(result.stdout.splitlines()[0])
    assert [each["name"] for each in listed] == ["search", "move", "double", "fails", "count"]
    assert listed[0]["description"] == "Search for words."
    assert (result.stdout.splitlines()[1], result.exit_code) == ("/workspace/main.sh a b", 3)
    assert (await engine.run("shell", "tool")).exit_code == 127


async def test_large_values_of_the_command(engine: ExecutionEngine) -> None:
    """In several pieces, both ways; bytes that are no text arrive as the sign for that."""

    def repeat(text: str, times: int) -> str:
        return text * times

    code = "tool repeat \"$(head -c 100000 /dev/zero | tr '\\0' a)\" 20 | wc -c; tool repeat \"$(printf 'a\\377b')\" 1"
    assert (await engine.run("shell", code, tools=[repeat])).stdout.split() == ["2000003", '"a�b"']


async def test_calls_of_a_shell_end_with_their_program(engine: ExecutionEngine) -> None:
    """The function is cancelled."""
    ends: asyncio.Queue[str] = asyncio.Queue()

    async def hang() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ends.put_nowait("ended")

    result = await engine.run("shell", "timeout 0.3 tool hang; echo $?", tools=[hang])
    assert result.stdout == "124\n"
    assert await asyncio.wait_for(ends.get(), 10) == "ended"


async def test_cells_of_other_languages_have_tools(engine: ExecutionEngine) -> None:
    """The global `tools` of JavaScript, and the command of shells; each cell has its own."""
    async with engine.context("javascript", tools=TOOLS) as context:
        result = await context.run("let a = await tools.search({ query: 'x', limit: 2 }); a")
        assert (result.text, [call.outcome for call in result.tool_calls]) == ("[ 'all x 0', 'all x 1' ]", ["ok"])
        code = "const many = await Promise.all([1, 2, 3].map((n) => tools.search({ query: 'x', limit: n })))"
        await context.run(code)
        assert (await context.run("many.map((each) => each.length)")).text == "[ 1, 2, 3 ]"
        await context.run("const t = []; for await (const { n } of tools.count({ to: 3 })) t.push(n)")
        assert (await context.run("t")).text == "[ 0, 1, 2 ]"
        error = (await context.run("await tools.fails({ kind: 'value' })")).error
        assert error is not None
        assert (error.name, error.value) == ("ValueError", "the words")
        refused = (await context.run("await tools.search({ query: 'x' })", tools=[count])).error
        assert refused is not None
        assert refused.value == "there is no tool 'search'"
        assert (await context.run("let tools = 5; [tools, a.length]")).text == "[ 5, 2 ]"
    async with engine.context("shell", tools=TOOLS) as context:
        result = await context.run('x=$(tool search y --limit 1); echo "$x"')
        assert (result.stdout, [call.name for call in result.tool_calls]) == ('["all y 0"]\n', ["search"])
        result = await context.run("tool count 1; tool search y", tools=[count])
        assert (result.stdout, result.stderr) == ('{"n":0}\n', "tool: PermissionError: there is no tool 'search'\n")


async def test_call_of_a_cell_is_interrupted(engine: ExecutionEngine) -> None:
    """With the cell, and the variables stay."""

    async def hang() -> None:
        await asyncio.sleep(600)

    async with engine.context("javascript", tools=[hang]) as context:
        await context.run("let kept = 1")
        result = await context.run("await tools.hang()", timeout=0.5)
        assert (result.outcome, result.tool_calls[0].outcome) == ("timeout", "cancelled")
        assert (await context.run("kept")).text == "1"
