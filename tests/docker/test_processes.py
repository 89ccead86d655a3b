"""Processes of a session: programs with which callers talk while they run, beside its runs and cells."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import signal
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ConfigurationError, ContainerConfig, ContainerStrategy, InterpreterMissing, SessionClosed
from interpreter_tools._exceptions import ContainerLost, ExecutionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from interpreter_tools import ExecutionEngine
    from interpreter_tools._commands.process import Process, ProcessOutput
    from interpreter_tools._commands.processes import Observation, Processes
    from interpreter_tools._docker import DockerClient
    from interpreter_tools._session.session import Session

pytestmark = pytest.mark.docker


@pytest.fixture
async def session(engine: ExecutionEngine) -> AsyncIterator[Session]:
    """A session of its own."""
    async with engine.session() as session:
        yield session


@pytest.fixture
async def processes(session: Session) -> Processes:
    """Those of a session."""
    return session.processes()


async def shell(processes: Processes, text: str) -> str:
    """What a text for the shell prints; it must go well."""
    code, output, error = await (await processes.start(("sh", "-c", text))).collect(1 << 20)
    assert code == 0, error
    return output.decode().strip()


async def until(output: ProcessOutput, wanted: bytes) -> bytes:
    """Read output until it holds a text."""
    seen = b""
    while wanted not in seen:
        seen += (await anext(output))[1]
    return seen


async def pieces(*data: bytes) -> AsyncGenerator[bytes]:
    """Yield bytes."""
    for piece in data:
        yield piece


async def test_output_and_end(processes: Processes) -> None:
    """Both outputs to the byte, the exit code, the signal that ended it, and the variables and directory."""
    text = "printf 'a\\377'; printf '\\303' >&2; exit 3"
    assert await (await processes.start(("sh", "-c", text))).collect(100) == (3, b"a\xff", b"\xc3")
    process = await processes.start(("sh", "-c", "pwd; echo $A; kill -9 $$"), cwd="/tmp", environment={"A": "b c"})
    assert await process.collect(100) == (137, b"/tmp\nb c\n", b"")
    assert (await process.wait()).signal == signal.SIGKILL
    process = await processes.start(("head", "-c", "3000000", "/dev/zero"))
    assert await process.collect(1 << 22) == (0, bytes(3_000_000), b"")


async def test_talk(processes: Processes) -> None:
    """Input reaches the program while it runs, until it is closed; later input is refused."""
    process = await processes.start(("cat",), stdin=True)
    output = process.output()
    await process.send_stdin(b"one")
    assert await anext(output) == ("stdout", b"one")
    await process.close_stdin()
    with pytest.raises(ExecutionClosed):
        await process.send_stdin(b"two")
    assert [piece async for piece in output] == []
    assert (await process.wait()).code == 0
    assert await (await processes.start(("cat",))).collect(100) == (0, b"", b"")


async def test_input_that_nobody_reads_waits_alone(processes: Processes) -> None:
    """A program that does not read stops its own sender, and no other one."""
    deaf = await processes.start(("sleep", "300"), stdin=True)
    sending = asyncio.create_task(deaf.send_stdin(bytes(2_000_000)))
    data = bytes(range(256)) * 8192
    process = await processes.start(("sha256sum",), stdin=True)
    await process.send_stdin(data)
    await process.close_stdin()
    code, output, _ = await process.collect(100)
    assert (code, output.split()[0].decode()) == (0, hashlib.sha256(data).hexdigest())
    assert not sending.done()
    await deaf.kill()
    with pytest.raises(ExecutionClosed):
        await sending


async def test_reader_that_is_slow_stops_its_own_program(processes: Processes) -> None:
    """And no other one; what was written is not lost."""
    process = await processes.start(("sh", "-c", "head -c 5000000 /dev/zero; echo done > done"))
    output = process.output()
    await asyncio.sleep(0.3)
    assert await shell(processes, "cat done 2>/dev/null; echo other") == "other"
    assert sum([len(data) async for _, data in output]) == 5_000_000
    assert (await process.wait()).code == 0


async def test_several_readers(processes: Processes) -> None:
    """Who comes later has what comes from then on; a process without a reader goes on."""
    process = await processes.start(("cat",), stdin=True)
    first = process.output()
    await process.send_stdin(b"1")
    assert await anext(first) == ("stdout", b"1")
    second = process.output()
    await process.send_stdin(b"2")
    assert [await anext(first), await anext(second)] == [("stdout", b"2")] * 2
    await first.aclose()
    await second.aclose()
    await process.send_stdin(bytes(3_000_000))
    await process.close_stdin()
    assert (await process.wait()).code == 0


async def test_terminal(processes: Processes) -> None:
    """It has a size that can change, is the program's own, and Ctrl-C interrupts what runs in it."""
    process = await processes.start(("bash", "-i"), terminal=(24, 80), environment={"PS1": "$ "})
    output = process.output()
    await process.send_stdin(b"stty size; tty\n")
    assert b"24 80\r\n/dev/pts/" in await until(output, b"/dev/pts/")
    await process.resize(30, 100)
    await process.send_stdin(b"stty size; sleep 300\n")
    await until(output, b"30 100\r\n")
    await asyncio.sleep(0.2)
    await process.send_stdin(b"\x03exit 4\n")
    async for _ in output:
        pass
    assert (await process.wait()).code == 4
    with pytest.raises(ConfigurationError, match="terminal"):
        await (await processes.start(("true",))).resize(1, 1)


async def test_signal_and_kill(processes: Processes) -> None:
    """A signal reaches the program's group, a kill all that it has started but what is detached."""
    process = await processes.start(("sh", "-c", "trap 'echo caught; exit 7' TERM; echo ready; sleep 300 & wait"))
    output = process.output()
    assert await anext(output) == ("stdout", b"ready\n")
    await process.signal(signal.SIGTERM)
    assert b"".join([data async for _, data in output]) == b"caught\n"
    assert (await process.wait()).code == 7
    process = await processes.start(("sh", "-c", "sleep 301 & sleep 302"))
    assert processes.find(process.pid) is process
    assert process in processes.running
    await process.kill()
    assert (await process.wait()).signal == signal.SIGKILL
    assert processes.find(process.pid) is None
    assert await shell(processes, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 30[12]' || true") == "0"
    await process.kill()
    await process.signal(signal.SIGTERM)


async def test_program_that_cannot_start(processes: Processes) -> None:
    """An error that names the program or the directory; a wrong argument is refused before."""
    with pytest.raises(FileNotFoundError, match="nope"):
        await processes.start(("nope",))
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        await processes.start(("true",), cwd="/nowhere")
    for words in ((), ("a\0b",)):
        with pytest.raises(ConfigurationError, match="command"):
            await processes.start(words)
    with pytest.raises(ConfigurationError, match="terminal"):
        await processes.start(("true",), terminal=(0, 80))


async def test_files(processes: Processes) -> None:
    """By any path, with the errors that the kernel gives."""
    made = await processes.make_directory("/tmp/a/b")
    assert (made.type, made.name, made.permissions) == ("directory", "b", "drwxr-xr-x")
    with pytest.raises(FileExistsError):
        await processes.make_directory("/tmp/a/b")
    data = bytes(range(256)) * 20_000
    written = await processes.write("/tmp/a/c/file", pieces(data, data))
    assert (written.size, written.mode, written.owner) == (2 * len(data), 0o644, "sandbox")
    assert b"".join([piece async for piece in processes.read("/tmp/a/c/file")]) == data * 2
    await shell(processes, "ln -s file /tmp/a/c/link; ln -s gone /tmp/a/c/broken")
    found = await processes.entries("/tmp/a", depth=2)
    assert [(entry.path, entry.type, entry.target) for entry in found] == [
        ("/tmp/a/b", "directory", None),
        ("/tmp/a/c", "directory", None),
        ("/tmp/a/c/broken", "other", "/tmp/a/c/gone"),
        ("/tmp/a/c/file", "file", None),
        ("/tmp/a/c/link", "file", "/tmp/a/c/file"),
    ]
    assert len(await processes.entries("/tmp/a")) == 2
    moved = await processes.move("/tmp/a/c/file", "/workspace/x/y")
    assert (moved.path, moved.size) == ("/workspace/x/y", 2 * len(data))
    moved = await processes.move("/workspace/x/y", "/workspace/z")
    assert (await processes.entry("/workspace/z")).identity == moved.identity
    await processes.remove("/tmp/a", keep="/workspace")
    for failing in (
        processes.entry("/tmp/a"),
        processes.entries("/tmp/a"),
        processes.move("/tmp/a", "/tmp/b"),
        anext(processes.read("/tmp/a")),
    ):
        with pytest.raises(FileNotFoundError):
            await failing
    with pytest.raises(NotADirectoryError):
        await processes.entries("/workspace/z")
    with pytest.raises(OSError, match="Read-only") as refused:
        await processes.write("/etc/x", pieces(b""))
    assert refused.value.errno == errno.EROFS


async def test_upload_that_is_cut_leaves_nothing(processes: Processes) -> None:
    """No part of the new file, also when there is no room for it."""
    await processes.write("/workspace/file", pieces(b"old"))

    async def cut() -> AsyncGenerator[bytes]:
        yield b"new"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await processes.write("/workspace/file", cut())
    assert await shell(processes, "cat file 2>/dev/null || true") in {"", "old"}  # the old one, if nothing had begun

    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield bytes(1 << 18)

    with pytest.raises(OSError, match="No space") as refused:
        await processes.write("/tmp/file", endless())
    assert refused.value.errno == errno.ENOSPC
    assert await shell(processes, "test -e /tmp/file || echo gone") == "gone"


async def test_observation(processes: Processes) -> None:
    """Events of a directory, of those below it where that is asked for, also of what appears at once with a new one."""
    await shell(processes, "mkdir -p seen/old")
    flat = await processes.observe("/workspace/seen")
    deep = await processes.observe("/workspace/seen", recursive=True)
    await shell(processes, "cd seen; echo 1 > a; mv a b; chmod 600 b; rm b; echo 1 > old/c; mkdir -p d/e; echo > d/e/f")

    async def events(observation: Observation, last: tuple[str, str]) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        async for event in observation:
            found.add((event.name, event.kind))
            if (event.name, event.kind) == last:
                break
        await observation.aclose()
        return found

    kinds = {("a", "create"), ("a", "write"), ("a", "rename"), ("b", "create"), ("b", "chmod"), ("b", "remove")}
    assert await events(flat, ("d", "create")) == {*kinds, ("d", "create")}
    assert {*kinds, ("old/c", "create"), ("old/c", "write"), ("d/e", "create")} <= await events(
        deep, ("d/e/f", "create")
    )
    with pytest.raises(FileNotFoundError):
        await processes.observe("/workspace/nowhere")
    assert not processes.running


async def test_runs_cells_and_processes_go_on_side_by_side(engine: ExecutionEngine, session: Session) -> None:
    """Over the same files; none waits for another."""
    processes = session.processes()
    assert session.processes() is processes
    waiting = await processes.start(("sh", "-c", "until test -e go; do sleep 0.02; done; cat go"))
    assert (await session.run("python", "print(open('/dev/null').read() + 'run')")).stdout == "run\n"
    context = session.context("python")
    result = await context.run("open('go', 'w').write('now')")
    assert result.text == "3"
    assert await waiting.collect(100) == (0, b"now", b"")
    await session.write_file("late", b"late")
    assert await shell(processes, "cat late") == "late"


async def test_languages_of_one_image_share_a_container(engine: ExecutionEngine) -> None:
    """A context of another language whose program the image has starts where the files are."""
    container = ContainerConfig(image="interpreter-tools/python:1")
    async with engine.session(container=container) as session:
        await session.context("python").run("open('a', 'w').write('from python')")
        bash = session.context("bash")
        assert (await bash.run("cat a")).stdout == "from python"
        assert len(session.info().container_history) == 1


async def test_killing_everything_kills_the_processes_only(processes: Processes) -> None:
    """Those that run are told, and the next one runs."""
    other = await processes.start(("sleep", "300"))
    await shell(processes, "echo kept > kept")
    process = await processes.start(("sh", "-c", "kill -9 -1; sleep 300"))
    assert ((await process.wait()).code, (await other.wait()).code) == (137, 137)
    assert await shell(processes, "cat kept") == "kept"


async def test_processes_end_with_their_session(engine: ExecutionEngine) -> None:
    """With an error that says so; and with their container."""
    session = engine.session()
    processes = session.processes()
    process = await processes.start(("sleep", "300"))
    await session.aclose()
    with pytest.raises((SessionClosed, ContainerLost)):
        await process.wait()
    with pytest.raises(SessionClosed):
        await processes.start(("true",))
    with pytest.raises(SessionClosed):
        session.processes()


async def test_container_that_is_lost(engine: ExecutionEngine, docker_client: DockerClient, session: Session) -> None:
    """Everybody who waits is told."""
    processes = session.processes()
    process: Process = await processes.start(("sleep", "300"))
    reading = asyncio.create_task(anext(process.output()))
    (container,) = session.info().container_history
    await docker_client.remove_container(container.container_id)
    with pytest.raises(ContainerLost):
        await reading
    with pytest.raises(ContainerLost):
        await processes.start(("true",))


async def test_what_cannot_have_processes(engine: ExecutionEngine) -> None:
    """Another strategy, and an image without Python."""
    async with engine.session(strategy=ContainerStrategy.PER_EXECUTION) as session:
        with pytest.raises(ConfigurationError, match="PER_SESSION"):
            session.processes()
    container = ContainerConfig(image="interpreter-tools/shell:1")
    async with engine.session(container=container) as session:
        with pytest.raises(InterpreterMissing, match="python3"):
            await session.processes().start(("true",))
