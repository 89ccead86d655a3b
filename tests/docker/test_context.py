"""Contexts of Python: state that lives from cell to cell, results, interrupts, limits and ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ClearChunk,
    ConfigurationError,
    ContainerStrategy,
    ContextClosed,
    ContextDied,
    DisplayChunk,
    InputChunk,
    SessionClosed,
    SessionConfig,
    UnknownContext,
)
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context, ExecutionEngine
    from tests.docker.workplace import Workplace

pytestmark = pytest.mark.docker

_GAP = """
import ctypes, functools, signal
libc = ctypes.CDLL(None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
unblock = functools.partial(libc.sigprocmask, signal.SIG_UNBLOCK, bytes([2]) + bytes(127), None)
while not signal.sigpending(): pass
list(map(functools.partial.__call__, [unblock, functools.partial(libc.sleep, 100)]))
"""

_HELD_BACK = _GAP.replace("pending(): pass", "pending(): pass\nimport time; time.sleep(0.2)")

_INTERRUPTED = {
    "a loop": "while True: pass",
    "a sleep": "import time; time.sleep(100)",
    "an await": "import asyncio; await asyncio.sleep(100)",
    "a loop of its own": "import asyncio; asyncio.run(asyncio.sleep(100))",
    "a child": "import subprocess; subprocess.run(['sleep', '100'])",
    "a command": "!sleep 100",
    "a script": "%%bash\nsleep 100",
    "a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a regular expression": "import re; [re.match('(a+)+b', 'a' * 18) for _ in range(10**9)]",
    "a representation": "class Endless:\n    def __repr__(self):\n        while True: pass\nEndless()",
    "input": "input()",
    "a sleep that Python enters without a look at the signal": _GAP,
    "a signal that the cell held back for some time": _HELD_BACK,
}

_FORGERY = """
import json, socket
connection = socket.socket(socket.AF_UNIX)
connection.connect("\\0interpreter-tools")
for words in ({"event": "ready"}, {"event": "done", "cell": 1}, {"event": "done", "cell": 2}):
    piece = b"c\\0" + json.dumps(words).encode()
    connection.sendall(len(piece).to_bytes(4, "little") + piece)
    connection.recv(4)
"""

_COMPARES = r'''
import random
from IPython.core.interactiveshell import InteractiveShell
ip, chosen = get_ipython(), random.Random(1)
parts = ["x", " ", "    ", "\n", "\n\n", "\t", "%time ", "!", "?", "ls", "ls ", "cd", "pwd", "exit", "x = ", "x="]
parts += ["= %", ">>> ", "... ", "...", "In [1]: ", "   ...: ", "1", "+ 1", "(", ")", '"""', "'", "# c", ";", ",f "]
parts += ["/f ", "f.g ", "if x:", "await y", "\\\n", "\r\n", "\x0c", "\u2028", "%%time\n", "macro", "who", "\u00e9"]
parts += ["for ", "@", "a, b", "def f():\n    return 1\n", "-", ".", "time"]
ip.define_macro("macro", "1")
def differs(cell):
    try:
        plain = InteractiveShell.transform_cell(ip, cell)
    except Exception:
        return False  # no Python, as the compiler tells as well
    return ip.transform_cell(cell) != plain
cells = ["".join(chosen.choices(parts, k=chosen.randrange(7))) for _ in range(4000)]
[*filter(differs, cells)]
'''

_ORDERS: list[tuple[str, list[str]]] = [
    ("print('a'); 1", ["a", "1"]),
    ("[get_ipython().displayhook(1), print('a')] and 2", ["1", "a", "2"]),
    ("_ = get_ipython().run_cell('1'); print('a')", ["1", "a"]),
    ("exec(compile('1', '', 'single')); print('a')", ["1", "a"]),
    ("import asyncio\nprint('a')\nawait asyncio.sleep(0, 1)", ["a", "1"]),
    ("1;", []),
    ("1 # ;", ["1"]),
    ("get_ipython().ast_node_interactivity = 'all'; None", []),
    ("1\nprint('a')\n2", ["1", "a", "2"]),
    ("get_ipython().ast_node_interactivity = 'last_expr_or_assign'; None", []),
    ("print('a')\nx = 1", ["a", "1"]),
    ("get_ipython().events.register('post_run_cell', lambda it: print('end of', it.result)); None", ["end of None"]),
    ("1", ["1", "end of 1"]),
]


@pytest.fixture
async def context(workplace: Workplace) -> AsyncGenerator[Context]:
    """A context of Python."""
    async with workplace.context("python", timeout=30) as context:
        yield context


async def test_variables_stay(context: Context) -> None:
    """So do imports, functions and the last values."""
    assert (await context.run("import math\nx = 41\ndef add(n): return x + n")).results == ()
    result = await context.run("add(1)")
    assert (result.text, result.outcome, result.execution_count) == ("42", "ok", 2)
    assert (await context.run("_ + Out[2] + math.floor(0.5)")).text == "84"


async def test_results_are_rich(context: Context) -> None:
    """What is displayed, updated, and the last expression, in order with the output."""
    code = """
from IPython.display import HTML, display
handle = display(HTML("<b>1</b>"), display_id="it")
print("between")
handle.update(HTML("<b>2</b>"))
class Picture:
    def _repr_png_(self): return b"\\x89PNG"
Picture()
"""
    async with context.stream(code) as cell:
        order = [chunk.result.html if isinstance(chunk, DisplayChunk) else chunk.text async for chunk in cell]
        result = await cell.result()
    assert order == ["<b>1</b>", "between\n", "<b>2</b>", None]
    first, second, main = result.results
    assert (first.display_id, second.display_id, second.update) == ("it", "it", True)
    assert main.is_main_result
    assert main.png == b"\x89PNG"
    assert (await context.run("3;")).results == ()


async def test_errors_are_text_and_structure(context: Context) -> None:
    """The context goes on after each."""
    result = await context.run("print('before')\n1 / 0")
    assert (result.outcome, result.exit_code, result.stdout) == ("error", 1, "before\n")
    assert result.error is not None
    assert (result.error.name, result.error.value) == ("ZeroDivisionError", "division by zero")
    assert "----> 2 1 / 0" in result.error.traceback
    assert result.error.traceback in result.stderr
    for code, name in [
        ("for", "SyntaxError"),
        ("%nothing", "UsageError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ]:
        error = (await context.run(code)).error
        assert error is not None
        assert error.name == name
    assert (await context.run("1")).text == "1"


@pytest.mark.parametrize(
    ("code", "exit_code"), [("exit()", 0), ("import sys; sys.exit(3)", 3), ("raise SystemExit('no')", 1)]
)
async def test_exit_ends_the_cell_alone(context: Context, code: str, exit_code: int) -> None:
    """With its exit code."""
    await context.run("x = 1")
    result = await context.run(code)
    assert (result.exit_code, result.ok, result.error) == (exit_code, exit_code == 0, None)
    assert (await context.run("x")).text == "1"


async def test_cells_are_what_ipython_makes_of_them(context: Context) -> None:
    """Those that need none of its transformations are told apart before these are tried."""
    result = await context.run(_COMPARES)
    assert result.error is None
    assert result.text == "[]"
    await context.run("ip.input_transformers_post.append(lambda lines: ['99' for _ in lines])")
    assert (await context.run("x + 1")).text == "99"


async def test_values_keep_their_place(context: Context) -> None:
    """Among what the cell prints before them, and what is printed after them."""
    for code, order in _ORDERS:
        async with context.stream(code) as cell:
            seen = [chunk.text.strip() async for chunk in cell]
        assert [text for text in seen if text] == order, code


async def test_one_loop_lives_as_long_as_the_context(context: Context) -> None:
    """Background tasks go on between cells; ``asyncio.run`` and ``run_until_complete`` work as in a script."""
    await context.run(
        "import asyncio\nseen = []\nasync def work():\n    for i in range(3):\n        await asyncio.sleep(0.01)\n"
        "        seen.append(i)\n    return 'done'\ntask = asyncio.create_task(work())"
    )
    assert (await context.run("await task")).text == "'done'"
    assert (await context.run("seen")).text == "[0, 1, 2]"
    for loop in ("asyncio", "asyncio.get_event_loop()", "asyncio.new_event_loop()", "asyncio.Runner()"):
        method = "run_until_complete" if "loop" in loop else "run"
        assert (await context.run(f"{loop}.{method}(work())")).text == "'done'"
    refused = await context.run("asyncio.get_event_loop().run_until_complete(asyncio.create_task(work()))")
    assert refused.error is not None
    assert refused.error.value == "This event loop is already running"
    for code in ("asyncio.get_running_loop().stop()", "for each in asyncio.all_tasks(): each.cancel()"):
        await context.run(code)
        assert (await context.run("await asyncio.sleep(0.01); 1 + 1")).text == "2"
    assert (await context.run("async def bad(): raise ValueError('behind')\nother = asyncio.create_task(bad())")).ok
    error = (await context.run("await other")).error
    assert error is not None
    assert error.value == "behind"


async def test_threads_and_pools_work(context: Context) -> None:
    """What is imported ahead has not been through an end of the interpreter."""
    code = """
import asyncio, gc, threading
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    made = pool.submit(int, "40").result()
made + await asyncio.to_thread(int, "2")
"""
    assert (await context.run(code)).text == "42"
    code = "import multiprocessing\nwith multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, 2]))"
    assert (await context.run(code)).stdout == "[1, 2]\n"


async def test_magics_and_commands(context: Context) -> None:
    """``!``, ``%%bash``, ``%timeit``, ``%cd`` and the rest are IPython's."""
    assert (await context.run("print('a')\n!echo b\nprint('c')")).stdout == "a\nb\nc\n"
    assert (await context.run("lines = !printf '1\\n2'\nlines")).text == "['1', '2']"
    assert (await context.run("%%bash\necho $((6 * 7))")).stdout == "42\n"
    assert "per loop" in (await context.run("%timeit -n 1 -r 1 1 + 1")).stdout
    assert (await context.run("%cd -q /tmp\n!pwd")).stdout == "/tmp\n"


async def test_pip_says_how_packages_come(context: Context) -> None:
    """A sandbox without a network has no use for an installer: what a cell names is there before the cell begins."""
    error = (await context.run("name = 'humanize'\n%pip install -q {name}")).error
    assert error is not None
    assert "The sandbox has no network" in error.value
    assert (await context.run("%pip install ipython>=9")).stdout == "installed already: ipython>=9\n"
    assert "ipython" in (await context.run("%pip list")).stdout


async def test_a_child_of_a_cell_ends_with_its_own_status(context: Context) -> None:
    """One that is forked, and comes to the end of the cell: as a script that is forked."""
    code = "import os, sys\npid = os.fork()\nif pid == 0: {end}\nos.WEXITSTATUS(os.waitpid(pid, 0)[1])"
    ends = {"sys.exit(3)": "3", "raise ValueError": "1", "1 / 0": "1", "raise SystemExit": "0"}
    for end, status in ends.items():
        assert (await context.run(code.format(end=end))).text == status


@pytest.mark.parametrize(
    ("language", "first", "second", "third"),
    [
        ("python", "x = 7", "open(b'a\\xff', 'w').close(); raise Exception('half \\ud800')", "print(x)"),
        ("javascript", "let x = 7", "throw new Error('half \\ud800')", "console.log(x)"),
        ("shell", "x=7", "touch $'a\\xff'; false", "echo $x"),
    ],
)
async def test_half_a_character_ends_no_context(
    engine: ExecutionEngine, language: str, first: str, second: str, third: str
) -> None:
    """In an exception, or the name of a file: the cell ends, and the variables stay."""
    async with engine.context(language, timeout=30) as context:
        await context.run(first)
        result = await context.run(second)
        assert (result.outcome, result.exit_code) == ("error", 1), result
        assert result.generated_files == (() if language == "javascript" else ("a\udcff",))
        if result.error is not None:
            assert result.error.value == "half ?"
        assert (await context.run(third)).stdout == "7\n"


async def test_tracebacks_end_in_the_cell(context: Context) -> None:
    """Not in the functions behind ``input``, which are ours."""
    error = (await context.run("input()")).error
    assert error is not None
    assert "interpreter_tools" not in error.traceback
    assert error.traceback.rstrip().endswith("EOFError: EOF when reading a line")


async def test_failure_of_a_background_task_leaves_the_state(context: Context) -> None:
    """It ends the task and no cell."""
    await context.run(
        "import asyncio; x = 41\n"
        "async def late():\n    await asyncio.sleep(0.01)\n    raise ValueError('late')\n"
        "task = asyncio.create_task(late())"
    )
    assert (await context.run("await asyncio.sleep(0.1); x + 1")).text == "42"
    assert (await context.run("task.exception()")).text == "ValueError('late')"


async def test_idle_time_of_the_session_ends_its_contexts(engine: ExecutionEngine) -> None:
    """A cell that runs for longer is not idle."""
    session = engine.session(idle_timeout=1)
    context = session.context("python", timeout=60)
    assert (await context.run("import time; time.sleep(2.5); x = 1; x")).text == "1"

    async def state() -> str:
        return context.state

    await eventually(state, lambda found: found == "closed", within=60)
    with pytest.raises((ContextClosed, SessionClosed)):
        await context.run("x")


async def test_input_is_asked_of_the_caller(context: Context) -> None:
    """Also the standard input as a file; it ends where the caller's does."""
    result = await context.run("a, b = input('one? '), input('two? ')\n(a, b)", stdin="1\n2")
    assert (result.stdout, result.text) == ("one? two? ", "('1', '2')")
    assert (await context.run("import sys; sys.stdin.read()", stdin="x\ny\n")).text == "'x\\ny\\n'"
    error = (await context.run("input()")).error
    assert error is not None
    assert error.name == "EOFError"
    async with context.stream("input()") as cell:
        await cell.send_stdin(b"la")
        await cell.send_stdin(b"ter\n")
        assert (await cell.result()).text == "'later'"


async def test_notebook_gets_questions_clears_and_errors_apart(context: Context) -> None:
    """A prompt, a traceback and ``clear_output`` are no output."""
    code = (
        "from getpass import getpass\n"
        "from IPython.display import clear_output\n"
        "print('one'); clear_output(wait=True); print('two')\n"
        "print(input('Name? ') + getpass('Word? '))\n"
        "1 / 0"
    )
    seen: list[tuple[str, str]] = []
    async with context.stream(code, notebook=True) as cell:
        async for chunk in cell:
            seen.append((chunk.stream, chunk.text))
            if isinstance(chunk, ClearChunk):
                assert chunk.wait
            if isinstance(chunk, InputChunk):
                await cell.send_stdin(b"secret\n" if chunk.password else b"me\n")
        result = await cell.result()
    assert [pair for pair in seen if pair[1] != "\n"] == [
        ("stdout", "one\n"), ("clear", ""), ("stdout", "two\n"), ("input", "Name? "), ("input", "Word? "),
        ("stdout", "mesecret\n"),
    ]  # fmt: skip
    assert result.stderr == ""
    assert result.error is not None
    assert result.error.name == "ZeroDivisionError"
    assert "1 / 0" in result.error.traceback
    result = await context.run("clear_output(); print(1); 1 / 0")
    assert (result.stdout, "ZeroDivisionError" in result.stderr) == ("1\n", True)


async def test_silent_cells_show_and_count_nothing(context: Context) -> None:
    """They run all the same; a cell without history shows its value."""
    await context.run("x = 1")
    silent = await context.run("x += 1; x", silent=True)
    assert (silent.results, silent.execution_count) == ((), None)
    uncounted = await context.run("x", history=False)
    assert (uncounted.text, uncounted.execution_count) == ("2", None)
    last = await context.run("In[-1], len(In)")
    assert (last.text, last.execution_count) == ("('In[-1], len(In)', 3)", 2)


async def test_completeness(context: Context) -> None:
    """As IPython sees it."""
    assert (await context.is_complete("if True:")).indent == "    "
    states = [(await context.is_complete(code)).status for code in ("x = (", "x = 1", "x = )", "%time x")]
    assert states == ["incomplete", "complete", "invalid", "complete"]


@pytest.mark.parametrize("what", _INTERRUPTED)
async def test_interrupt_keeps_the_variables(context: Context, what: str) -> None:
    """Whatever the cell is at."""
    await context.run("x = 41")
    async with context.stream(_INTERRUPTED[what]) as cell:
        await asyncio.sleep(0.05)
        await context.interrupt()
        result = await cell.result()
    assert result.error is not None
    assert (result.outcome, result.error.name) == ("error", "KeyboardInterrupt")
    assert (await context.run("x + 1")).text == "42"


async def test_a_program_keeps_sigurg_to_itself(context: Context) -> None:
    """SIGURG, which follows an interrupt of other cells, does not come to a program that handles it."""
    await context.run("import signal, time; got = []; signal.signal(signal.SIGURG, lambda *_: got.append('SIGURG'))")
    code = "signal.signal(signal.SIGINT, lambda *_: got.append('SIGINT')); print('now', flush=True)\n"
    code += "while not got: time.sleep(0.001)\ntime.sleep(0.2); got"
    async with context.stream(code) as cell:
        await anext(cell)
        await context.interrupt()
        assert (await cell.result()).text == "['SIGINT']"


async def test_interrupts_at_any_moment_hit_their_own_cell(context: Context) -> None:
    """One that comes between two cells does nothing, and one in the event loop's own code loses no step of a task."""
    awaiting = "import asyncio\nasync def wait():\n    while True: await asyncio.sleep(0)\n"
    codes = ["while True: pass", f"{awaiting}await wait()", f"{awaiting}asyncio.run(wait())"]
    await context.run("x = 41")
    for index in range(100):
        async with context.stream(codes[index % len(codes)]) as cell:
            if index % 2:
                await asyncio.sleep(index / 50_000)
            await context.interrupt()
            result = await cell.result()
        assert result.error is not None, index
        assert result.error.name == "KeyboardInterrupt"
        await context.interrupt()
        assert (await context.run("x")).text == "41"


async def test_interrupted_displays_leave_the_next_one_whole(context: Context) -> None:
    """Wherever in a message the interrupt comes."""
    loop = "from IPython.display import display\nwhile True: display({'text/plain': 'x' * 100_000}, raw=True)"
    for index in range(20):
        async with context.stream(loop) as cell:
            await asyncio.sleep(index / 500)
            await context.interrupt()
            result = await cell.result()
        assert result.exit_code == 130
        assert (await context.run(f"'{index}' * 3")).text == repr(f"{index}" * 3)


async def test_figures_left_open_are_results(engine: ExecutionEngine) -> None:
    """As in a notebook; a figure is shown once."""
    async with engine.context("python", dependencies=["matplotlib"], timeout=120) as context:
        await context.run("import matplotlib.pyplot as plt")
        (result,) = (await context.run("plt.bar(['a', 'b'], [1, 2])\nplt.title('T');")).results
        assert result.png is not None
        assert result.chart is not None
        assert (result.chart["type"], result.chart["title"]) == ("bar", "T")
        assert (await context.run("1;")).results == ()


async def test_timeout_keeps_the_state(context: Context) -> None:
    """It interrupts first, and says so."""
    await context.run("x = 41")
    result = await context.run("print('begun', flush=True)\nwhile True: pass", timeout=2)
    assert (result.outcome, result.stdout, result.ok) == ("timeout", "begun\n", False)
    assert "variables of the context are kept" in result.notes[0]
    assert (await context.run("x")).text == "41"


async def test_timeout_kills_what_does_not_listen(context: Context) -> None:
    """Then it says that, the next cell is refused, and ``restart`` begins anew over the same files."""
    await context.run("open('kept.txt', 'w').write('x')")
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    result = await context.run(code, timeout=2)
    assert (result.outcome, result.signal) == ("timeout", 9)
    assert "killed" in result.notes[0]
    with pytest.raises(ContextDied):
        await context.run("1")
    await context.restart()
    assert (await context.run("open('kept.txt').read()")).text == "'x'"


async def test_ignored_interrupts_last_for_one_cell(context: Context) -> None:
    """A cell that changes the handler of the signal does not take it from the next cell."""
    await context.run("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert (await context.run("while True: pass", timeout=0.3)).outcome == "timeout"
    assert (await context.run("1")).text == "1"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("import os; os.closerange(3, 1000)", "ended"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ],
)
async def test_death_says_its_cause(engine: ExecutionEngine, code: str, cause: str) -> None:
    """Once, in the result of the cell; the next one starts anew where that was asked for."""
    async with engine.context("python", on_death="restart", timeout=30) as context:
        await context.run("x = 1")
        result = await context.run(code)
        again = await context.run("'x' in globals()")
        notes = " ".join((*result.notes, *again.notes))
        assert again.text == "False"
        assert "restarted" in again.notes[0]
        assert cause in notes
        assert (await context.run("1")).notes == ()


async def test_oom_of_a_child_leaves_the_context(engine: ExecutionEngine) -> None:
    """The cell sees how the child ended."""
    from interpreter_tools import ContainerConfig

    config = SessionConfig(container=ContainerConfig(memory_limit="192m"))
    async with engine.context("python", config=config, timeout=60) as context:
        await context.run("x = 41")
        code = (
            "import subprocess, sys\n"
            "subprocess.run([sys.executable, '-c', 'b = bytearray(); [b.extend(bytes(1 << 20)) for _ in range(500)]'],"
            " stderr=subprocess.DEVNULL).returncode"
        )
        result = await context.run(code)
        assert result.text in {"-9", "1"}
        assert (await context.run("x")).text == "41"


async def test_output_limit_stops_the_cell_alone(context: Context) -> None:
    """A cell that prints 100 MB has what fits; nothing of it comes under the next cell."""
    await context.run("x = 41")
    result = await context.run("for _ in range(100): print('y' * 1_000_000)", output_limit="1m")
    assert (result.outcome, len(result.stdout), result.truncated) == ("output_limit", 1 << 20, True)
    result = await context.run("print(x)")
    assert (result.stdout, result.outcome) == ("41\n", "ok")


async def test_100_megabytes_reach_a_caller_who_takes_them(context: Context) -> None:
    """In order, without holding them."""
    size = 0
    async with context.stream("for _ in range(100): print('y' * 999_999)", output_limit=None, capture=False) as cell:
        async for chunk in cell:
            size += len(chunk.data)
        assert (await cell.result()).ok
    assert size == 100_000_000


async def test_display_of_20_megabytes(context: Context) -> None:
    """Arrives whole."""
    result = await context.run(
        "from IPython.display import display\ndisplay({'text/plain': 'z' * 20_000_000}, raw=True)\nprint('after')"
    )
    assert result.stdout == "after\n"
    assert result.results[0].text == "z" * 20_000_000


async def test_late_output_is_under_no_wrong_cell(context: Context) -> None:
    """What a thread prints between two cells is dropped."""
    await context.run(
        "import threading, time\ndef late():\n    time.sleep(0.2)\n    print('late', flush=True)\n"
        "thread = threading.Thread(target=late)\nthread.start()"
    )
    await asyncio.sleep(0.6)
    result = await context.run("thread.join()\nprint('mine')")
    assert result.stdout == "mine\n"


_HOSTILE = {
    "python": [
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; sys.stdout.close()",
        "import os\nfor fd in range(3, 50):\n    try: os.write(fd, b'\\xff' * 8)\n    except OSError: pass",
        "def deep(): return deep()\ndeep()",
        "import os\nif os.fork() == 0:\n    print('child')",
        "import IPython.core.interactiveshell as shell\nshell.InteractiveShell.showtraceback = None\n1 / 0",
        "get_ipython().run_cell_async = None",
        "import builtins\nfor name in ('print', 'len', 'isinstance', 'open'): delattr(builtins, name)",
        _FORGERY,
        "import asyncio\nfor task in asyncio.all_tasks(): task.cancel()",
        "import asyncio; asyncio.get_running_loop().stop()",
        "import sys; sys.modules.clear()",
        "import gc, asyncio\nfor thing in gc.get_objects():\n    if isinstance(thing, asyncio.Task): thing.cancel()",
        "import os; os.closerange(0, 200)",
        "class Loops:\n    def __repr__(self):\n        while True: pass\nLoops()",
        "class Loops(Exception):\n    def __str__(self):\n        while True: pass\nraise Loops",
        "class Large:\n    def __repr__(self): return 'x' * (50 << 20)\nLarge()",
        "import json; json.dumps = json.loads = None",
    ],
    "javascript": [
        "for (let i = 0; i < 60; i++) { try { require('fs').closeSync(i) } catch {} }",
        "for (let i = 3; i < 60; i++) { try { require('fs').writeSync(i, 'garbage') } catch {} }",
        "Object.prototype.then = (resolve) => resolve(1)",
        "({[Symbol.for('nodejs.util.inspect.custom')]() { while (true); }})",
    ],
    "shell": [
        'for i in {0..255}; do eval "exec $i>&-"; done 2>/dev/null',
        "for file in /proc/$PPID/fd/*; do echo garbage >$file; done 2>/dev/null",
        "kill -STOP $PPID",
        "builtin() { :; }",
    ],
}


@pytest.mark.parametrize(
    ("language", "code"), [(language, code) for language in _HOSTILE for code in _HOSTILE[language]]
)
async def test_hostile_cell_harms_its_own_context_alone(engine: ExecutionEngine, language: str, code: str) -> None:
    """It ends; the context goes on or says that it died, and the other context of the session is untouched."""
    value = {"python": "print({})", "javascript": "console.log({})", "shell": "echo $(({}))"}[language]
    async with engine.session() as session:
        victim = session.context(language, on_death="restart", timeout=20)
        other = session.context(language, timeout=20)
        await other.run("x=41")
        async with asyncio.timeout(60):
            await victim.run(code, timeout=3)
            await victim.run(value.format(1), timeout=3)
            assert (await victim.run(value.format("1 + 1"), timeout=3)).outcome in {"ok", "error", "timeout"}
            await victim.restart()
            assert (await victim.run(value.format(2))).stdout == "2\n"
        assert (await other.run(value.format("x"))).stdout == "41\n"
        assert (await session.run(language, value.format("6 * 7"))).stdout == "42\n"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "open('made.txt', 'w').close()"),
        ("javascript", "require('fs').writeFileSync('made.txt', '')"),
        ("shell", "touch made.txt"),
    ],
)
async def test_files_that_were_just_put_there_are_no_cells(engine: ExecutionEngine, language: str, code: str) -> None:
    """Neither of the first cell, before which they are delivered, nor of a later one."""
    async with engine.session() as session:
        context = session.context(language)
        await session.write_file("first.txt", "x")
        assert (await context.run("1" if language != "shell" else "true")).generated_files == ()
        await session.write_file("second.txt", "x")
        assert (await context.run(code)).generated_files == ("made.txt",)


async def test_contexts_share_files_and_nothing_else(engine: ExecutionEngine) -> None:
    """Nor the directory they are in."""
    async with engine.session() as session:
        one, two = session.context("python", "one"), session.context("python", "two")
        result = await one.run(
            "x = 1\nopen('shared.txt', 'w').write('from one')\nimport os; os.makedirs('d'); os.chdir('d')"
        )
        assert result.generated_files == ("shared.txt",)
        assert (await two.run("open('shared.txt').read()")).text == "'from one'"
        assert (await two.run("'x' in globals(), __import__('os').getcwd()")).text == "(False, '/workspace')"
        assert (await session.run("python", "print(open('shared.txt').read())")).stdout == "from one\n"
        await session.write_file("host.txt", "from the host")
        assert (await one.run("open('/workspace/host.txt').read()")).text == "'from the host'"
        assert [about.name for about in session.info().contexts] == ["one", "two"]
        assert session.context("python", "one") is one


async def test_cells_of_contexts_run_side_by_side(engine: ExecutionEngine) -> None:
    """Each meets the other through a file; a run goes on beside them."""
    meet = (
        "import os, time\nopen('{me}', 'w').close()\nend = time.monotonic() + 20\n"
        "while not os.path.exists('{other}') and time.monotonic() < end: time.sleep(0.005)\n"
        "os.path.exists('{other}')"
    )
    async with engine.session() as session:
        contexts = [session.context("python") for _ in range(3)]
        results = await asyncio.gather(
            *(context.run(meet.format(me=index, other=(index + 1) % 3)) for index, context in enumerate(contexts)),
            session.run("python", "print('beside')"),
        )
        assert [result.text or result.stdout for result in results] == ["True", "True", "True", "beside\n"]


async def test_contexts_by_id(engine: ExecutionEngine) -> None:
    """As sessions are; a closed one is unknown."""
    context = engine.context("python")
    assert (await engine.run_cell(context.id, "6 * 7")).text == "42"
    assert engine.get_context(context.id) is context
    info = await engine.get_session_info(context.session_id)
    assert [(about.context_id, about.state, about.cells) for about in info.contexts] == [(context.id, "idle", 1)]
    await context.aclose()
    with pytest.raises(UnknownContext):
        await engine.run_cell(context.id, "1")
    with pytest.raises(ContextClosed):
        await context.run("1")


async def test_context_ends_with_its_session(engine: ExecutionEngine) -> None:
    """A cell that runs is told so."""
    async with engine.session() as session:
        context = session.context("python")
        await context.run("1")
        cell = asyncio.create_task(context.run("while True: pass"))
        await asyncio.sleep(0.1)
    with pytest.raises(SessionClosed):
        await cell
    with pytest.raises((SessionClosed, ContextClosed)):
        await context.run("1")


async def test_packages_and_modules_ahead(engine: ExecutionEngine) -> None:
    """Are there in the first cell."""
    async with engine.context("python", dependencies=["six"], preload=["fractions"], environment={"A": "b"}) as context:
        result = await context.run("import six, sys, os\n(six.__name__, 'fractions' in sys.modules, os.environ['A'])")
        assert result.text == "('six', True, 'b')"


async def test_cells_call_tools_of_their_context(engine: ExecutionEngine) -> None:
    """Or those that the cell is given instead; the result lists the calls."""

    async def double(value: int) -> int:
        return value * 2

    def shout(text: str) -> str:
        return text.upper()

    async with engine.context("python", tools=[double], timeout=30) as context:
        result = await context.run("import tools\ntools.double(21), await tools.double.call(1)")
        assert result.text == "(42, 2)"
        assert [(call.name, call.outcome) for call in result.tool_calls] == [("double", "ok")] * 2
        assert (await context.run("tools.shout('a')", tools=[shout])).text == "'A'"
        assert (await context.run("tools.shout('a')")).error is not None
        assert (await context.run("1")).tool_calls == ()


async def test_interrupt_cancels_a_tool(engine: ExecutionEngine) -> None:
    """And keeps the variables; the next call has its own answer."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        begun.set()
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    async def now() -> str:
        return "now"

    async with engine.context("python", tools=[wait, now], timeout=30) as context:
        async with context.stream("import tools\nx = 41\ntools.wait()") as cell:
            await begun.wait()
            await context.interrupt()
            assert (await cell.result()).exit_code == 130
        async with asyncio.timeout(10):
            await cancelled.wait()
        assert (await context.run("tools.now(), x")).text == "('now', 41)"


async def test_questions(context: Context) -> None:
    """Completion knows the variables; inspection knows signatures."""
    await context.run("variable = 1")
    completion = await context.complete("print(vari")
    assert completion.matches == ("variable",)
    assert (completion.start, completion.end) == (6, 10)
    assert "Signature" in (await context.inspect("len", 1)).text
    assert not (await context.inspect("nothing_of_that_name")).found


async def test_refusals_name_the_way_out(engine: ExecutionEngine) -> None:
    """Before anything is started."""
    async with engine.session(strategy=ContainerStrategy.POOL) as session:
        with pytest.raises(ConfigurationError, match="PER_SESSION"):
            session.context("python")
    async with engine.session() as session:
        with pytest.raises(ConfigurationError, match="CellRunner"):
            session.context("awk")
        with pytest.raises(ConfigurationError, match="on_death"):
            session.context("python", on_death="never")  # pyright: ignore[reportArgumentType]
        with pytest.raises(ConfigurationError, match="preload"):
            session.context("python", preload="numpy")


async def test_cell_left_by_its_caller_is_interrupted(context: Context) -> None:
    """The next cell begins when it has ended, with all variables."""
    await context.run("x = 41")
    async with context.stream("while True: pass"):
        await asyncio.sleep(0.05)
    assert (await context.run("x")).text == "41"
    cell = asyncio.create_task(context.run("while True: pass"))
    await asyncio.sleep(0.05)
    cell.cancel()
    assert (await context.run("x")).text == "41"


async def test_a_thousand_cells_leave_memory_flat(context: Context) -> None:
    """Within a few megabytes."""
    peak = "import resource; resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    for _ in range(100):
        await context.run("print('x' * 1000)\ny = [1] * 1000")
    before = int((await context.run(peak)).text or 0)
    for _ in range(900):
        await context.run("print('x' * 1000)\ny = [1] * 1000")
    after = int((await context.run(peak)).text or 0)
    assert after - before < 12_000
