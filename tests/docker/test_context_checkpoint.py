"""Checkpoints of contexts: variables and files go back together, and what cannot be forked is refused by name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    Checkpoint,
    CheckpointGone,
    CheckpointRefused,
    ConfigurationError,
    ContextDied,
)
from tests.docker.conftest import BOTH_WAYS
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context, ExecutionEngine
    from tests.docker.codes import Codes
    from tests.docker.conftest import Isolated
    from tests.docker.workplace import Workplace

pytestmark = pytest.mark.docker

_DAEMON = """\
import subprocess, sys
code = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)"
subprocess.run([sys.executable, "-c", code])  # it returns once sleep runs
"""
_CHILD = """\
import subprocess
p = subprocess.Popen(['sleep', '60'])
while open(f'/proc/{p.pid}/comm').read() != 'sleep\\n': pass
"""
_REFUSED = {
    "a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='worker', daemon=True).start()",
        "thread 'worker'",
    ),
    "an executor": ("import asyncio; await asyncio.to_thread(int)", "thread 'asyncio_0'"),
    "a socket": ("import socket; s = socket.socket()", "socket (descriptor "),
    "a pipe": ("import os; ends = os.pipe()", "pipe (descriptor "),
    "a child": (_CHILD, "('sleep')"),
    "a daemon": (_DAEMON, "('sleep')"),
    "a mapping": ("import mmap; m = mmap.mmap(-1, 4096)", "shared mapping of '/dev/zero (deleted)'"),
    "a deleted file": (
        "f = open('gone', 'w'); import os; os.unlink('gone')",
        "deleted file '/workspace/gone (deleted)'",
    ),
    "another loop": ("import asyncio; loop = asyncio.new_event_loop()", "descriptor "),
    "no process more": (
        "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))",
        "lack of memory or processes (",
    ),
    "a socket file": (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('here'); s.close()",
        "'/workspace/here', which is neither a file nor a directory",
    ),
}


_REFUSED_IN_SHELL = {
    "a job": ("sleep 60 &", "background job 'sleep 60' (process "),
    "a loop": ("while :; do :; done &", "background job 'while :; do' (process "),
    "a disowned job": ("sleep 60 & disown; sleep 0.1", "process 'sleep 60' (process "),
    "a coprocess": ("coproc cat", "background job 'coproc cat' (process "),
    "a daemon": ("(sleep 60 &); sleep 0.1", "process 'sleep 60' (process "),
    "a pipe": ("mkfifo p; exec 5<>p", "pipe (descriptor 5)"),
    "a substitution": ("exec 5< <(echo x); read -u 5 x", "pipe (descriptor 5)"),
    "a deleted file": ("exec 5>gone; rm gone", "deleted file '/workspace/gone (deleted)' (descriptor 5)"),
    "a removed directory": ("mkdir d; cd d; rmdir ../d", "working directory, which was removed"),
}


@pytest.fixture(scope="module", params=BOTH_WAYS)
def isolation(request: pytest.FixtureRequest) -> Isolated:
    """In both ways: the processes of a checkpoint are known and ended in each."""
    return request.param


@pytest.fixture
async def context(workplace: Workplace) -> AsyncGenerator[Context]:
    """A context of Python."""
    async with workplace.context("python", timeout=60, checkpoint_limit=4) as context:
        yield context


@pytest.fixture
async def shell(workplace: Workplace) -> AsyncGenerator[Context]:
    """A context of the shell."""
    async with workplace.context("shell", timeout=60, checkpoint_limit=4) as context:
        yield context


async def _print(context: Context, code: str) -> str:
    return (await context.run(code)).check().stdout.strip()


async def _value(context: Context, code: str) -> str | None:
    result = await context.run(code)
    assert result.ok, result.stderr
    return result.text


async def test_variables_and_files_return_together(context: Context, isolation: Isolated) -> None:
    """Changed, new, removed and renamed files, directories, links and modes; again and again."""
    assert (await context.run("")).isolation == isolation
    await _value(
        context,
        "import os, pathlib\nx = [1]\nfor n in ('a', 'b', 'c'): pathlib.Path(n).write_text(n)\n"
        "os.mkdir('d'); os.chmod('c', 0o400); os.symlink('a', 'l'); pathlib.Path('d/e').write_text('e')\n"
        "os.link('a', 'h')",
    )
    look = (
        "[(str(p), oct(os.lstat(p).st_mode), p.is_file() and p.read_text()) "
        "for p in sorted(pathlib.Path().rglob('*'))], os.path.samefile('a', 'h'), x"
    )
    before = await _value(context, look)
    saved = await context.checkpoint()
    for _ in range(3):
        await _value(
            context,
            "x.append(2)\npathlib.Path('a').write_text('other'); os.unlink('b'); os.mkdir('b')\n"
            "pathlib.Path('b/n').touch()\n"
            "os.chmod('c', 0o600); pathlib.Path('c').write_text('x'); os.unlink('l'); os.mkdir('l')\n"
            "os.rename('d', 'z'); os.unlink('h'); pathlib.Path('new').write_text('new')",
        )
        await context.rewind(saved)
        assert await _value(context, look) == before


@pytest.mark.parametrize(
    ("language", "make", "changed"),
    [
        ("python", "import os, time\nopen('a', 'w').close(); time.sleep(0.02)", "print(os.stat('a').st_ctime_ns)"),
        ("shell", "> a; sleep 0.02", "stat -c %z a"),
    ],
)
async def test_files_that_did_not_change_are_left_alone(
    workplace: Workplace, language: str, make: str, changed: str
) -> None:
    """A checkpoint takes them as they are once the clock of change times has gone on by a tick: 10 ms at most."""
    async with workplace.context(language, timeout=60) as context:
        await context.run(make)
        before, saved = await _print(context, changed), await context.checkpoint()
        for _ in range(2):
            await context.rewind(saved)
            assert await _print(context, changed) == before


async def test_files_that_a_mapping_has_changed_come_back(context: Context) -> None:
    """A page that was read through a shared mapping is written to without a trace in the change time of the file."""
    change = (
        "import mmap, os\nwith open('m', 'r+b') as file, mmap.mmap(file.fileno(), 0) as view:\n"
        "    seen = view[:4]\n    view[:4] = {new!r}\nseen"
    )
    read = "open('m', 'rb').read(4)"
    await _value(context, "import time\n_ = open('m', 'wb').write(b'a' * 200_000); time.sleep(0.2)")
    first = await context.checkpoint()
    assert await _value(context, change.format(new=b"bbbb")) == "b'aaaa'"
    second = await context.checkpoint()
    assert await _value(context, change.format(new=b"cccc")) == "b'bbbb'"
    await context.rewind(second)
    assert await _value(context, read) == "b'bbbb'"
    await context.rewind(first)
    assert await _value(context, read) == "b'aaaa'"
    await context.run(f"{change.format(new=b'dddd')}\nos._exit(1)")
    await context.rewind(first)
    assert await _value(context, read) == "b'aaaa'"


async def test_open_files_go_on_at_their_place(context: Context) -> None:
    """A descriptor of the process is its own again, with the place that it had; so is the working directory."""
    await _value(
        context, "import os\nf = open('log', 'w+'); _ = f.write('one '); f.flush(); os.mkdir('in'); os.chdir('in')"
    )
    saved = await context.checkpoint()
    await _value(context, "_ = f.write('two '); f.flush(); os.chdir('..'); os.rmdir('in')")
    await context.rewind(saved)
    assert await _value(context, "_ = f.write('three'); f.flush(); (open('../log').read(), os.getcwd())") == (
        "('one three', '/workspace/in')"
    )
    await context.rewind(saved)
    assert await _value(context, "open('../log').read(), f.tell()") == "('one ', 4)"


async def test_a_rewind_ends_what_came_after(context: Context) -> None:
    """Processes, threads and tasks that began later are gone; tasks go on, and no wait meets what is parked."""
    await _value(
        context,
        "import asyncio\nticks = 0\nasync def tick():\n    global ticks\n"
        "    while True:\n        ticks += 1; await asyncio.sleep(0.001)\ntask = asyncio.create_task(tick())",
    )
    saved = await context.checkpoint()
    with_no_child = "import os\ntry: os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError: print('none')"
    assert await _print(context, with_no_child) == "none"
    await _value(context, "import subprocess, threading; p = subprocess.Popen(['sleep', '60']); task.cancel()")
    await context.rewind(saved)
    assert await _value(context, "before = ticks; await asyncio.sleep(0.05); ticks > before, task.cancelled()") == (
        "(True, False)"
    )
    assert isinstance(await context.checkpoint(), Checkpoint)  # the child is gone


async def test_interrupts_displays_and_questions_after_a_rewind(context: Context) -> None:
    """The process that goes on is a runner like the one before."""
    await _value(context, "import time\nvalue = 7")
    saved = await context.checkpoint()
    await context.rewind(saved)
    async with context.stream("time.sleep(60)") as cell:
        await asyncio.sleep(0.3)
        await context.interrupt()
        assert (await cell.result()).exit_code == 130
    result = await context.run("from IPython.display import HTML, display\ndisplay(HTML('<b>')); value")
    assert [each.html for each in result.results][:1] == ["<b>"]
    assert result.text == "7"
    assert "value" in (await context.complete("val")).matches
    assert (await context.run("input()", stdin=b"line\n")).text == "'line'"


async def test_a_context_is_rewound_after_its_process_has_died(any_context: Context, codes: Codes) -> None:
    """A bad step may be the last of a process: its end, a crash, a cell that no interrupt ends."""
    context = any_context
    await _print(context, f"x=1\n{codes.write('f', 'kept')}")
    saved = await context.checkpoint()
    for code, ending in codes.ends.items():
        result = await context.run(
            f"x=2; {codes.write('f', 'spoilt')}\n{code}", timeout=0.3 if "while" in code else None
        )
        assert not result.ok
        assert any(ending in note for note in result.notes), result.notes
        assert context.state == "dead"
        with pytest.raises(ContextDied):
            await context.run("1")
        await context.rewind(saved)
        assert await _print(context, codes.show("x", "@f")) == "1 kept"
    assert not (await context.run(next(iter(codes.ends)))).ok
    await context.restart()
    assert context.checkpoints() == ()
    with pytest.raises(CheckpointGone, match="has ended"):
        await context.rewind(saved)


async def test_last_words_are_told(context: Context) -> None:
    """What a process prints before its end is in the result, although another one can take its place."""
    await context.checkpoint()
    result = await context.run("import os; print('last words', flush=True); os._exit(5)")
    assert (result.stdout, result.exit_code) == ("last words\n", 5)


@pytest.mark.parametrize("kind", _REFUSED)
async def test_what_cannot_be_forked_is_refused_by_name(context: Context, kind: str) -> None:
    """Before anything has changed: the context goes on."""
    code, name = _REFUSED[kind]
    await _value(context, "import os\nx = 1; number = os.getpid()")
    assert (await context.run(code)).ok
    with pytest.raises(CheckpointRefused) as caught:
        await context.checkpoint()
    assert name in caught.value.what
    assert await _value(context, "(x, os.getpid() == number)") == "(1, True)"


@pytest.mark.parametrize("kind", _REFUSED_IN_SHELL)
async def test_what_a_shell_cannot_hold_is_refused_by_name(shell: Context, kind: str) -> None:
    """Before anything has changed: the shell goes on, and can be held once that is gone."""
    code, name = _REFUSED_IN_SHELL[kind]
    assert (await shell.run(code)).ok
    with pytest.raises(CheckpointRefused) as caught:
        await shell.checkpoint()
    assert name in caught.value.what
    if kind == "a job":
        assert "Running" in (await shell.run("jobs")).stdout
        await shell.run("kill %1; wait")
        assert isinstance(await shell.checkpoint(), Checkpoint)


async def test_a_shell_is_what_it_was(shell: Context) -> None:
    """Variables of each kind, functions, options, traps, arguments, descriptors, limits and the directory come back."""
    await _print(
        shell,
        "x=$(printf 'a\\x01\\n\\t\\47\\42é'); declare -A map=(['k 1']=v); declare -a list=([5]=five); declare -i n=5\n"
        "export e=1; declare -n ref=n; f() { echo \"f $1\"; }; export -f f; alias said='echo said'; set -- p 'q r'\n"
        "shopt -s extglob nullglob; set -u -o pipefail; trap 'echo got' USR1; trap 'echo left' EXIT; umask 027\n"
        "mkdir d; cd d; pushd /tmp; pushd /workspace/d; ulimit -n 300; exec 5>log 6>&5 7>&1; echo one >&5; unset HOME",
    )
    look = (
        "printf %s \"$x\" | od -An -tx1; declare -p map list n e ref; f 1; bash -c 'f 2'; said; echo $# $2\n"
        "shopt extglob; echo $-; set -o | grep pipefail; kill -USR1 $$; trap -p; umask; dirs; pwd; ulimit -n\n"
        "echo ${HOME-unset}; echo two >&5; echo three >&6; echo seven >&7; cat log"
    )
    saved = await shell.checkpoint()
    before = await shell.run(look)
    assert before.stdout.endswith("seven\none\ntwo\nthree\n"), before
    for code in (
        "x=1; unset map list; unset -f f; set +u; cd /; popd; umask 0; ulimit -n 200; exec 5>&-",
        "exit 3",
        "kill -9 $$",
    ):
        await shell.run(code)
        await shell.rewind(saved)
        again = await shell.run(look)
        assert (again.stdout, again.stderr) == (before.stdout, before.stderr)


async def test_the_oldest_checkpoints_go_first(any_context: Context) -> None:
    """The ring holds as many as it may; the one that took the place says which have gone."""
    context = any_context
    saved = [await context.checkpoint() for _ in range(6)]
    assert [each.dropped for each in saved[4:]] == [(saved[0].checkpoint_id,), (saved[1].checkpoint_id,)]
    assert context.checkpoints() == tuple(saved[2:])
    with pytest.raises(CheckpointGone, match="4 checkpoints at most"):
        await context.rewind(saved[0])
    await context.rewind(saved[2])
    assert context.checkpoints() == tuple(saved[2:])


async def test_memory_bounds_the_ring(shared_engine: ExecutionEngine) -> None:
    """Checkpoints that hold more than they may go, the oldest first, and are told; files that never fit are refused."""
    notes: list[str] = []

    async def told() -> int:
        notes.extend((await context.run("1")).notes)
        return len(notes)

    async with shared_engine.context("python", timeout=60, checkpoint_memory="32m") as context:
        saved = [await context.checkpoint()]
        for number in range(4):
            result = await context.run(f"x = bytearray(b'x') * (24 << 20); x[0] = {number}")
            notes.extend(result.notes)
            saved.append(await context.checkpoint())
        await eventually(told, lambda count: count == 5 - len(context.checkpoints()) >= 3)
        gone = [each.checkpoint_id for each in saved[: len(notes)]]
        assert context.checkpoints() == tuple(saved[len(notes) :])
        assert [note.split("'")[1] for note in notes] == gone
        assert {name for each in saved for name in each.dropped} <= set(gone)
        with pytest.raises(CheckpointGone, match="more than 33554432 bytes of memory"):
            await context.rewind(saved[0])
        await _value(context, "open('large', 'wb').write(bytes(40 << 20))")
        with pytest.raises(CheckpointRefused, match="checkpoint_memory"):
            await context.checkpoint()


async def test_history_is_a_tree(any_context: Context, codes: Codes) -> None:
    """A rewind lets it grow a new branch."""
    context = any_context
    await context.run("x=1")
    saved = await context.checkpoint()
    await context.run("x=2")
    await context.rewind(saved)
    await context.run("nothing_such")
    history = context.history()
    assert [(entry.kind, entry.parent, entry.outcome, entry.is_on_line) for entry in history.entries] == [
        ("start", None, None, True),
        ("cell", 1, "ok", True),
        ("checkpoint", 2, None, True),
        ("cell", 3, "ok", False),
        ("cell", 3, "error", True),
    ]
    assert history.entries[2].checkpoint_id == saved.checkpoint_id
    assert history.entries[2].is_held
    assert str(history).splitlines()[-1] == "*   5 nothing_such"
    async with await context.replay() as again:
        assert again.id != context.id
        assert await _print(again, codes.show("x")) == "1"


async def test_a_second_context_in_the_workspace_is_asked_about(shared_engine: ExecutionEngine, codes: Codes) -> None:
    """Its files would change under it. It keeps its variables."""
    async with shared_engine.session() as session, session.context(codes.language, "one") as one:
        await _print(one, codes.write("f", "old"))
        saved = await one.checkpoint()
        async with session.context(codes.language, "two") as two:
            await _print(two, f"y=5; {codes.write('f', 'new')}")
            with pytest.raises(CheckpointRefused, match="'two'"):
                await one.rewind(saved)
            await one.rewind(saved, allow_others=True)
            assert await _print(two, codes.show("y", "@f")) == "5 old"
        await one.rewind(saved)


async def test_a_hostile_cell_cannot_change_what_was_held(context: Context) -> None:
    """Copies of files are sealed; a cell that closes every descriptor only makes the next checkpoint copy again."""
    await _value(context, "import os\nopen('f', 'w').write('kept')")
    saved = await context.checkpoint()
    await _value(
        context,
        "found = []\nfor name in os.listdir('/proc/self/fd'):\n    try:\n"
        "        if 'memfd' in os.readlink(f'/proc/self/fd/{name}'): found.append(int(name))\n"
        "    except OSError: pass\n"
        "for fd in found:\n    for change in (lambda: os.pwrite(fd, b'bad!', 0), lambda: os.ftruncate(fd, 0)):\n"
        "        try: change()\n        except PermissionError: pass\n    os.close(fd)\nassert found",
    )
    second = await context.checkpoint()
    await _value(context, "open('f', 'w').write('changed')")
    await context.rewind(saved)
    assert await _value(context, "open('f').read()") == "'kept'"
    await context.rewind(second)
    assert await _value(context, "open('f').read()") == "'kept'"


async def test_a_killed_checkpoint_is_told(any_context: Context, codes: Codes) -> None:
    """A later result says that one is gone, as it does when the kernel has ended it for lack of memory."""
    context = any_context
    saved = await context.checkpoint()
    await _print(context, codes.kills_all)

    async def notes() -> tuple[str, ...]:
        return (await context.run("x=1")).notes

    await eventually(notes, lambda said: any(saved.checkpoint_id in note for note in said))
    assert (await context.checkpoint()).dropped == (saved.checkpoint_id,)
    with pytest.raises(CheckpointGone, match="lack of memory"):
        await context.rewind(saved)


async def test_a_cancelled_caller_leaves_a_context_that_works(any_context: Context, codes: Codes) -> None:
    """Neither a checkpoint nor a rewind is left halfway."""
    context = any_context
    await _print(context, "x=1")
    saved = await context.checkpoint()
    await _print(context, "x=2")
    for call in (context.checkpoint, lambda: context.rewind(saved)):
        for delay in (0, 0.002, 0.01):
            task = asyncio.ensure_future(call())
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.wait([task])
            assert await _print(context, codes.show("x")) in {"1", "2"}


async def test_numpy_with_its_threads_is_held(shared_engine: ExecutionEngine) -> None:
    """A pool of threads that ends before a fork and comes back is no obstacle."""
    async with shared_engine.context("python", timeout=60, dependencies=["numpy"]) as context:
        await _value(context, "import numpy as np\na = np.ones((400, 400)); b = (a @ a).sum()")
        saved = await context.checkpoint()
        await _value(context, "a[:] = 0")
        await context.rewind(saved)
        assert await _value(context, "(a @ a).sum() == b") == "np.True_"


async def test_other_languages_are_refused_with_a_way_out(shared_engine: ExecutionEngine) -> None:
    """Node has threads, and its cells can be run anew."""
    async with shared_engine.context("javascript", timeout=60) as context:
        await context.run("let x = 40")
        with pytest.raises(CheckpointRefused, match="threads of Node") as caught:
            await context.checkpoint()
        assert "replay" in str(caught.value.hint)
        async with await context.replay() as again:
            assert (await again.run("x + 2")).text == "42"


async def test_limits_are_checked(shared_engine: ExecutionEngine) -> None:
    """Before anything starts."""
    for options in ({"checkpoint_limit": 0}, {"checkpoint_limit": 33}, {"checkpoint_memory": "much"}):
        with pytest.raises(ConfigurationError, match="checkpoint_"):
            shared_engine.context("python", **options)  # pyright: ignore[reportArgumentType]
