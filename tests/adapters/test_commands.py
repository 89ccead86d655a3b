"""Commands and files side by side in one session: what all sandbox backends rest on."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import time
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerLost,
    ContainerStrategy,
    InterpreterMissing,
    SessionClosed,
    UnknownSession,
)
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools import ExecutionEngine
    from interpreter_tools._commands.commands import Commands
    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

FORGED = b"x\x00\x00\x00\x01\x00\x00\x00\x1a" + b'{"code": 0, "signal": 0}\n\n'


@pytest.fixture
async def commands(engine: ExecutionEngine) -> AsyncIterator[Commands]:
    """Those of a new session."""
    commands = engine.session().commands()
    yield commands
    await commands.aclose()


async def shell(commands: Commands, text: str, *, timeout: float | None = 60) -> str:
    """What a text for the shell prints; it must go well."""
    ended = await commands.run(("sh", "-c", text), timeout=timeout)
    assert (ended.exit_code, ended.outcome) == (0, "ended"), ended
    return ended.stdout.decode().strip()


async def test_outputs_are_apart_and_whole(commands: Commands) -> None:
    """To the byte, as far as they are wanted, or merged in the order in which they came."""
    text = "printf 'a\\377\\303'; printf '\\303' >&2; exit 3"
    ended = await commands.run(("sh", "-c", text))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, b"a\xff\xc3", b"\xc3")
    ended = await commands.run(("sh", "-c", "echo 1; echo 2 >&2; echo 3"), merge=True)
    assert (ended.stdout, ended.stderr) == (b"1\n2\n3\n", b"")
    ended = await commands.run(("sh", "-c", "printf 12345; printf 123456789 >&2; sleep 60"), output_limit=8)
    assert (ended.outcome, ended.stdout, ended.stderr) == ("output_limit", b"12345", b"12345678")
    ended = await commands.run(("head", "-c", "3000000", "/dev/zero"))
    assert ended.stdout == bytes(3_000_000)


async def test_commands_run_side_by_side(commands: Commands) -> None:
    """One waits for another."""
    waiting = asyncio.create_task(shell(commands, "until test -e go; do sleep 0.02; done; cat go"))
    await shell(commands, "true")
    await commands.write_file("/workspace/go", b"now")
    assert await waiting == "now"


async def test_input_and_environment(commands: Commands) -> None:
    """Reach the program as they are; without input it is at its end."""
    data = bytes(range(256)) * 8192
    ended = await commands.run(("sha256sum",), stdin=data)
    assert ended.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert (await commands.run(("cat",))).stdout == b""
    environment = {"A": "1 $x\n'\"", "PATH": "/workspace/bin:/usr/bin:/bin"}
    await commands.write_file("/workspace/bin/mine", b'#!/bin/sh\nprintf %s "$A"')
    await shell(commands, "chmod +x bin/mine")
    assert (await commands.run(("mine",), environment=environment)).stdout == environment["A"].encode()
    assert (await commands.run(("mine",))).exit_code == 127


async def test_session_settings_hold(engine: ExecutionEngine) -> None:
    """Variables and the working directory."""
    container = ContainerConfig(environment={"COLOUR": "blue"}, working_dir="/tmp")
    commands = engine.session(container=container).commands()
    try:
        assert await shell(commands, "echo $COLOUR $PWD") == "blue /tmp"
        assert (await commands.run(("pwd",), cwd="..")).stdout == b"/\n"
    finally:
        await commands.aclose()


async def test_program_or_directory_that_is_not_there(commands: Commands) -> None:
    """The first is a result, as in a shell, the second an error that names it."""
    for program, code, failure in (("nope", 127, errno.ENOENT), ("/etc/passwd", 126, errno.EACCES)):
        ended = await commands.run((program,))
        assert (ended.exit_code, ended.failure) == (code, failure)
        assert program in ended.stderr.decode()
    with pytest.raises(FileNotFoundError, match="/workspace/nowhere"):
        await commands.run(("true",), cwd="nowhere")
    with pytest.raises(NotADirectoryError):
        await commands.run(("true",), cwd="/etc/passwd")


@pytest.mark.parametrize("words", [(), ("a\0b",), ("echo", "\ud800")])
async def test_words_that_cannot_work_are_refused(commands: Commands, words: tuple[str, ...]) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigurationError, match="command"):
        await commands.run(words)


@pytest.mark.parametrize("size", [131_071, 200_000, 3_000_000])
@pytest.mark.parametrize("shell", [("sh", "-c"), ("/bin/bash", "-lc"), ("bash", "-euc")])
async def test_long_script_runs(commands: Commands, shell: tuple[str, str], size: int) -> None:
    """Here-documents make scripts longer than an argument can be: arguments, input and exit code are as ever."""
    script = f"cat > long.txt <<'END'\n{'x' * size}\nEND\nwc -c < long.txt; echo $0 $2; cat; exit 3\n"
    ended = await commands.run((*shell, script, "name", "a", "b"), stdin=b"input")
    assert (ended.stdout.decode(), ended.stderr, ended.exit_code) == (f"{size + 1}\nname b\ninput", b"", 3)


async def test_argument_that_is_too_long_is_said(commands: Commands) -> None:
    """Linux starts no program with it."""
    ended = await commands.run(("echo", "x" * 200_000))
    assert (ended.exit_code, ended.failure) == (126, errno.E2BIG)
    assert ended.stderr.endswith(b": Argument list too long\n")


async def test_time_limit_kills_children_and_spares_the_detached(commands: Commands) -> None:
    """And says so, with what was written until then."""
    text = "sleep 300 & setsid sleep 301 & echo begun; trap '' TERM; sleep 302"
    ended = await commands.run(("sh", "-c", text), timeout=3)
    assert (ended.outcome, ended.stdout, ended.exit_code) == ("timeout", b"begun\n", 137)
    assert await shell(commands, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 30[0-9]'") == "sleep 301"


async def test_cancelling_kills(commands: Commands) -> None:
    """Also in the middle of its input."""
    task = asyncio.create_task(commands.run(("sh", "-c", "echo $$ > pid; sleep 300")))
    await eventually(lambda: shell(commands, "cat pid 2>&1 || true"), str.isdigit)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await shell(commands, "kill -0 $(cat pid) 2>/dev/null || echo gone")).endswith("gone")
    task = asyncio.create_task(commands.run(("cat",), stdin=bytes(50_000_000)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await shell(commands, "echo fine") == "fine"


async def test_background_goes_on_until_the_session_ends(engine: ExecutionEngine, commands: Commands) -> None:
    """A command ends with its program, not with what that leaves behind. The session's own runs wait for that."""
    started = time.monotonic()
    await shell(commands, "setsid sh -c 'until test -e stop; do sleep 0.05; done; echo late > late' & echo left")
    listing = asyncio.create_task(engine.list_workspace_files(commands.session_id))
    await asyncio.sleep(1)
    assert not listing.done()
    await commands.write_file("/workspace/stop", b"")
    assert await listing == ["late", "stop"]
    assert time.monotonic() - started < 60
    result = await engine.execute_code(commands.session_id, language="python", code="print(open('late').read())")
    assert result.stdout == "late\n\n"
    assert await shell(commands, "cat late") == "late"


async def test_killing_everything_kills_the_commands_only(commands: Commands) -> None:
    """Those that run are told; the files stay, and the next command runs."""
    other = asyncio.create_task(commands.run(("sleep", "300")))
    await commands.write_file("/workspace/kept", b"kept")
    ended = await commands.run(("sh", "-c", "kill -9 -1; sleep 300"))
    assert (ended.exit_code, (await other).exit_code) == (137, 137)
    assert await shell(commands, "cat kept") == "kept"


async def test_host_that_stands_still_is_given_up(commands: Commands) -> None:
    """A command stops it, which must not outlast the time limit for long."""
    ended = await commands.run(("sh", "-c", "kill -STOP $PPID; sleep 300"), timeout=1)
    assert (ended.outcome, ended.exit_code) == ("timeout", 137)
    assert await shell(commands, "echo fine") == "fine"


async def test_fork_bomb_ends_with_its_time(commands: Commands) -> None:
    """And the next command runs."""
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    ended = await commands.run(("python3", "-c", bomb), timeout=1)
    assert ended.outcome == "timeout"
    assert await shell(commands, "echo fine") == "fine"


async def test_commands_cannot_reach_the_host(commands: Commands) -> None:
    """Neither its descriptors nor its memory; forged frames on a command's own output are output."""
    text = (
        "for file in /proc/$PPID/fd/1 /proc/$PPID/mem /proc/$PPID/environ; do test -r $file && echo $file; done; true"
    )
    assert await shell(commands, text) == ""
    ended = await commands.run(("cat",), stdin=FORGED * 3)
    assert ended.stdout == FORGED * 3
    assert await shell(commands, "ls /proc/self/fd | tr '\\n' ' '") == "0 1 2 3"  # 3 is the directory


async def test_files_of_the_workspace_are_left_alone(engine: ExecutionEngine) -> None:
    """The command server leaves no trace, and is not asked for what an app's list of packages says."""
    session_id = await engine.create_session(strategy=ContainerStrategy.PER_SESSION)
    await engine.write_file(session_id, "main.py", b"mine")
    await engine.write_file(session_id, "requirements.txt", b"no-such-package-of-tests")
    commands = engine.get_session(session_id).commands()
    assert await shell(commands, "ls -A; cat main.py") == "main.py\nrequirements.txt\nmine"
    assert engine.get_session(session_id).commands() is commands
    await commands.aclose()


async def test_modules_in_the_workspace_are_not_the_hosts(commands: Commands) -> None:
    """A new command server starts beside them."""
    for name in ("json", "select", "signal", "struct", "ctypes"):
        await commands.write_file(f"/workspace/{name}.py", b"raise SystemExit('planted')")
    assert (await commands.run(("sh", "-c", "kill -9 -1; sleep 300"))).exit_code == 137
    assert await shell(commands, "echo fine") == "fine"


async def test_command_without_memory_is_killed_alone(engine: ExecutionEngine, commands: Commands) -> None:
    """The command server and the session go on."""
    ended = await commands.run(
        ("python3", "-c", "data = bytearray(1 << 30)\nfor i in range(0, 1 << 30, 4096): data[i] = 1")
    )
    assert ended.exit_code == 137
    assert await engine.list_workspace_files(commands.session_id) == []
    assert await shell(commands, "echo fine") == "fine"


async def test_files_are_kept_on_the_host(engine: ExecutionEngine, commands: Commands, tmp_path: Path) -> None:
    """When the session is cleaned up, although its command server was still there."""
    await commands.write_file("/workspace/out/one", b"1")
    assert await engine.cleanup_session(commands.session_id, keep_generated=tmp_path) == tmp_path
    assert (tmp_path / "out" / "one").read_bytes() == b"1"


async def test_runs_of_the_session_come_in_between(engine: ExecutionEngine) -> None:
    """Whoever is first: each waits for the other only as long as something runs."""
    commands = engine.session().commands()
    run, name = engine.execute_code, commands.session_id
    results = await asyncio.gather(*(
        work
        for _ in range(5)
        for work in (shell(commands, "echo command"), run(name, language="python", code="print('run')"))
    ))  # fmt: skip
    assert [result if isinstance(result, str) else result.stdout for result in results] == ["command", "run\n"] * 5
    await commands.aclose()
    session_id = await engine.create_session(strategy=ContainerStrategy.PER_EXECUTION)
    with pytest.raises(ConfigurationError, match="PER_SESSION"):
        engine.get_session(session_id).commands()
    await engine.cleanup_session(session_id)


async def test_files_by_any_path(commands: Commands) -> None:
    """With the errors that the kernel gives, and names that are no text."""
    data = bytes(range(256)) * 20_000
    await commands.write_file("/tmp/a/b/data", data)
    assert await commands.read_file("/tmp/a/b/data", limit=len(data)) == data
    with pytest.raises(OSError, match="too large") as refused:
        await commands.read_file("/tmp/a/b/data", limit=len(data) - 1)
    assert refused.value.errno == errno.EFBIG
    await commands.write_file("/tmp/a/b/data", b"")
    assert await commands.describe("/tmp/a/b/data") == (False, 0)
    with pytest.raises(IsADirectoryError):
        await commands.write_file("/tmp/a", b"")
    with pytest.raises(OSError, match="Read-only"):
        await commands.write_file("/etc/new", b"")
    with pytest.raises(PermissionError):
        await commands.read_file("/etc/shadow", limit=100)
    with pytest.raises(OSError, match="Invalid argument"):
        await commands.read_file("/dev/zero", limit=100)
    with pytest.raises(ConfigurationError):
        await commands.read_file("/tmp/\0", limit=100)
    name = "\udcff\n-rf"
    await commands.write_file(f"/tmp/names/{name}", b"1")
    assert await commands.list_directory("/tmp/names") == [(name, False, 1)]
    await commands.remove("/tmp/names", keep="/workspace")
    assert await shell(commands, "ls /tmp") == "a\nhome"


async def test_container_that_is_lost_is_not_replaced(
    engine: ExecutionEngine, docker_client: DockerClient, commands: Commands
) -> None:
    """What runs is told, and so is everybody later."""
    await commands.write_file("/workspace/file", b"")
    running = asyncio.create_task(commands.run(("sleep", "300")))
    await shell(commands, "true")
    (container,) = (await engine.get_session_info(commands.session_id)).container_history
    await docker_client.remove_container(container.container_id)
    with pytest.raises(ContainerLost):
        await running
    for _ in range(2):
        with pytest.raises(ContainerLost, match="gone"):
            await commands.run(("true",))


async def test_session_that_is_cleaned_up_ends_its_commands(engine: ExecutionEngine, commands: Commands) -> None:
    """With an error that says so."""
    running = asyncio.create_task(commands.run(("sleep", "300")))
    await shell(commands, "true")
    await engine.cleanup_session(commands.session_id)
    with pytest.raises(SessionClosed):
        await running
    with pytest.raises(SessionClosed):
        await commands.run(("true",))
    with pytest.raises(UnknownSession):
        engine.get_session(commands.session_id)


async def test_session_ends_when_no_command_comes(engine: ExecutionEngine) -> None:
    """Although something runs in the background."""
    commands = engine.session(idle_timeout=1).commands()
    await shell(commands, "setsid sleep 300 & sleep 1.5")

    async def is_active() -> bool:
        try:
            return (await engine.get_session_info(commands.session_id)).is_active
        except UnknownSession:
            return False

    assert await is_active()
    await eventually(is_active, lambda active: not active)


async def test_image_without_python_is_said(engine: ExecutionEngine) -> None:
    """It is what the command server needs."""
    commands = engine.session(container=ContainerConfig(image="interpreter-tools/shell:1")).commands()
    try:
        with pytest.raises(InterpreterMissing, match="python3"):
            await commands.run(("true",))
    finally:
        await commands.aclose()
