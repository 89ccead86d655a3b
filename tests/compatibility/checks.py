"""Thirty-four basic checks of one engine and runtime, run by hand: ``docs/compatibility.md`` has what they found.

    DOCKER_HOST=unix:///run/podman/podman.sock python -m tests.compatibility.checks
    python -m tests.compatibility.checks --runtime runsc --index http://172.17.0.1:8000/simple six

The engine needs the images of ``interpreter-tools setup python node shell``. Each check has an engine of its own and a
deadline, so that one that fails says nothing of the next. The exit status is 1 when one has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools import ContainerConfig, ContainerStrategy, EngineConfig, ExecutionEngine, Mount, PoolConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Check = Callable[[ExecutionEngine, "Options"], Awaitable[None]]

_DEADLINE = 90.0
_POOL = ContainerStrategy.POOL
_SESSION = ContainerStrategy.PER_SESSION
_CHECKS: dict[str, Check] = {}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says.

    Attributes:
        runtime: the runtime to check; None means the engine's own.
        index: an index of Python packages that containers reach; None means the public one.
        package: what is installed from it.
    """

    runtime: str | None = None
    index: str | None = None
    package: str = "six"


class Failed(Exception):
    """A check found something else than it should."""


def expect(found: object, wanted: object) -> None:
    """Fail unless what was found is what is wanted."""
    if found != wanted:
        raise Failed(f"{found!r} instead of {wanted!r}")


def check(name: str) -> Callable[[Check], Check]:
    """Add a check under a name, as the table has it."""

    def add(function: Check) -> Check:
        _CHECKS[name] = function
        return function

    return add


def prints(name: str, language: str, code: str, stdout: str) -> None:
    """Add a check of what a program prints."""

    async def run(engine: ExecutionEngine, options: Options) -> None:
        del options
        result = await engine.run(language, code, timeout=40)
        expect((result.outcome, result.stdout, result.stderr), ("ok", stdout, ""))

    _CHECKS[name] = run


def ends(name: str, code: str, outcome: str, *, timeout: float = 40, output_limit: int = 1 << 24) -> None:
    """Add a check of how a program ends."""

    async def run(engine: ExecutionEngine, options: Options) -> None:
        del options
        result = await engine.run("python", code, timeout=timeout, memory_limit="128m", output_limit=output_limit)
        expect(result.outcome, outcome)

    _CHECKS[name] = run


prints("shell", "shell", "echo hi | tr h H", "Hi\n")
prints("Python", "python", "print(6 * 7)", "42\n")
prints("JavaScript", "javascript", "console.log(6 * 7)", "42\n")
prints("TypeScript", "typescript", "const n: number = 42; console.log(n)", "42\n")
ends("exit code", "raise SystemExit(3)", "error")
ends("death by a signal", "import os; os.kill(os.getpid(), 11)", "error")
ends("time limit", "while True: pass", "timeout", timeout=1)
ends("output limit", "while True: print('x' * 1000)", "output_limit", output_limit=10_000)
ends("memory limit", "held = []\nwhile True: held.append(bytearray(b'x') * 1_000_000)", "oom")
prints(
    "size of the workspace",
    "python",
    """
try:
    with open("big", "wb") as file:
        for _ in range(2000): file.write(bytes(1 << 20))
except OSError as error: print(error.errno)
""",
    "28\n",
)
prints(
    "number of files",
    "python",
    """
try:
    for number in range(300_000): open(str(number), "w").close()
except OSError as error: print(error.errno)
""",
    "28\n",
)
prints(
    "number of processes",
    "python",
    """
import os, time
try:
    for count in range(1000): os.fork() or time.sleep(60)
except OSError: print(count < 300)
os.kill(0, 9) if count > 300 else None
""",
    "True\n",
)
prints(
    "read-only root",
    "python",
    """
for path in ("/x", "/etc/x", "/usr/x", "/.interpreter-tools/x"):
    try: open(path, "w"); print(path)
    except OSError: pass
""",
    "",
)
prints(
    "no network",
    "python",
    """
import socket
for address in ("1.1.1.1", "169.254.169.254", "172.17.0.1"):
    try: socket.create_connection((address, 80), 2); print(address)
    except OSError: pass
""",
    "",
)
prints(
    "loopback and localhost",
    "python",
    """
import socket
with socket.create_server(("localhost", 8000)) as server, socket.create_connection(("localhost", 8000)):
    print(server.accept()[1][0])
""",
    "127.0.0.1\n",
)
prints(
    "names of interfaces",
    "javascript",
    "console.log(Object.keys(require('os').networkInterfaces()).join())",
    "lo\n",
)
prints(
    "no capability, no new privileges",
    "python",
    """
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(int(status["CapEff"], 16), status.get("NoNewPrivs", "?"))
""",
    "0 1\n",
)
prints(
    "dangerous system calls are refused",
    "python",
    """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print([libc.unshare(0x10000000), libc.mount(b"x", b"/tmp", b"tmpfs", 0, 0), libc.ptrace(16, 1, 0, 0)])
""",
    "[-1, -1, -1]\n",
)
prints(
    "everyday Python: processes, threads, locks, databases",
    "python",
    """
import concurrent.futures, multiprocessing, sqlite3, subprocess
with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1]))
with concurrent.futures.ThreadPoolExecutor() as executor: print(list(executor.map(abs, [-2])))
database = sqlite3.connect("x.db"); database.execute("create table t (x)"); database.commit()
print(subprocess.run("echo sub", shell=True, capture_output=True, text=True).stdout)
""",
    "[1]\n[2]\nsub\n\n",
)


@check("output while it runs, input while it runs")
async def _interactive(engine: ExecutionEngine, options: Options) -> None:
    del options
    code = "print('name?', flush=True); print('hello', input())"
    async with engine.stream("python", code, timeout=40) as execution:
        expect((await anext(execution)).text, "name?\n")
        await execution.send_stdin(b"you\n")
        expect((await anext(execution)).text, "hello you\n")


@check("kill")
async def _kill(engine: ExecutionEngine, options: Options) -> None:
    del options
    async with engine.stream("python", "print(1, flush=True)\nwhile True: pass", timeout=40) as execution:
        await anext(execution)
        await execution.kill()
        expect((await execution.result()).outcome, "killed")


@check("another user in each run of a pool")
async def _users(engine: ExecutionEngine, options: Options) -> None:
    del options
    users = {(await engine.run("shell", "id -u", strategy=_POOL)).stdout for _ in range(3)}
    expect(len(users), 3)


@check("verified reset")
async def _reset(engine: ExecutionEngine, options: Options) -> None:
    del options
    for _ in range(3):
        result = await engine.run("shell", "ls /workspace /tmp; echo x > /tmp/x; sleep 100 &", strategy=_POOL)
        expect([name for name in result.stdout.split() if name == "x"], [])
    expect(engine.stats().discards, {})


@check("limits of one run")
async def _run_limits(engine: ExecutionEngine, options: Options) -> None:
    del options
    result = await engine.run("python", "bytearray(b'x') * 300_000_000; print(1)", memory_limit="1g", cpu_limit="1")
    expect(result.stdout, "1\n")


@check("a session keeps files")
async def _session(engine: ExecutionEngine, options: Options) -> None:
    del options
    async with engine.session(strategy=_SESSION) as session:
        await session.run("python", "open('a', 'w').write('x')")
        expect((await session.run("python", "print(open('a').read())")).stdout, "x\n")


@check("limits changed in a session")
async def _session_limits(engine: ExecutionEngine, options: Options) -> None:
    del options
    async with engine.session(strategy=_SESSION) as session:
        await session.run("python", "1")
        code = "held = bytearray(b'x') * 200_000_000; print(1)"
        expect((await session.run("python", code, memory_limit="160m")).outcome, "oom")
        expect((await session.run("python", code)).outcome, "ok")


@check("files in and out")
async def _files(engine: ExecutionEngine, options: Options) -> None:
    del options
    async with engine.session(strategy=_SESSION) as session:
        await session.write_file("in/a", b"x" * 3_000_000)
        result = await session.run("shell", "mkdir out; cat in/a in/a > out/b")
        expect(list(result.generated_files), ["out/b"])
        expect(len(await engine.read_file_binary(session.id, "out/b")), 6_000_000)


@check("one workspace for several images")
async def _shared(engine: ExecutionEngine, options: Options) -> None:
    del options
    async with engine.session(strategy=_SESSION, workspace_sharing="shared") as session:
        await session.run("python", "open('a', 'w').write('x')")
        expect((await session.run("javascript", "console.log(require('fs').readFileSync('a', 'utf8'))")).stdout, "x\n")


async def _mounted(options: Options, code: str, *, writable: bool) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as directory:
        await asyncio.to_thread(Path(directory).chmod, 0o777)
        await asyncio.to_thread(Path(directory, "a").write_text, "x", "utf-8")
        mount = Mount(source=directory, target="/data", read_only=not writable)
        container = ContainerConfig(runtime=options.runtime, mounts=(mount,))
        async with ExecutionEngine(EngineConfig(prewarm=(), container=container)) as engine:
            return (await engine.run("shell", code)).stdout, sorted(os.listdir(directory))  # noqa: PTH208 - names


@check("a mount to read")
async def _mount(engine: ExecutionEngine, options: Options) -> None:
    del engine
    expect(await _mounted(options, "cat /data/a; echo y 2>&- > /data/b", writable=False), ("x", ["a"]))


@check("a mount to write")
async def _mount_writable(engine: ExecutionEngine, options: Options) -> None:
    del engine
    expect(await _mounted(options, "cat /data/a; echo y > /data/b", writable=True), ("x", ["a", "b"]))


@check("a network")
async def _network(engine: ExecutionEngine, options: Options) -> None:
    del options
    result = await engine.run("python", "import os; print(len(os.listdir('/sys/class/net')))", network="bridge")
    expect(result.stdout, "2\n")


@check("packages")
async def _packages(engine: ExecutionEngine, options: Options) -> None:
    code = f"import {options.package} as package; print(package.__name__)"
    result = await engine.run("python", code, dependencies=[options.package])
    expect((result.outcome, result.stdout), ("ok", f"{options.package}\n"))


@check("counts of time and memory")
async def _usage(engine: ExecutionEngine, options: Options) -> None:
    del options
    result = await engine.run("python", "held = bytearray(b'x') * 50_000_000\nfor _ in range(3_000_000): pass")
    expect((result.cpu_time > 0.01, result.peak_memory > 50_000_000), (True, True))


@check("nothing is left behind")
async def _left(engine: ExecutionEngine, options: Options) -> None:
    await engine.run("shell", "sleep 100 &")
    await engine.aclose()
    async with ExecutionEngine(_config(options)) as other:
        expect((await other.run("shell", "echo 1")).stdout, "1\n")


def _config(options: Options) -> EngineConfig:
    return EngineConfig(
        prewarm=(),
        container=ContainerConfig(runtime=options.runtime),
        index_url=options.index,
        pool=PoolConfig(min_size=0, max_size=1, wait_timeout=60),
    )


async def _attempt(function: Check, options: Options) -> str:
    """The reason why a check fails; empty when it does not."""
    try:
        async with asyncio.timeout(_DEADLINE), ExecutionEngine(_config(options)) as engine:
            await function(engine, options)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's result
        return f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return ""


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _main(options: Options) -> int:
    failures = 0
    for number, (name, function) in enumerate(_CHECKS.items(), start=1):
        started = time.perf_counter()
        reason = await _attempt(function, options)
        failures += bool(reason)
        took = time.perf_counter() - started
        _tell(f"{number:2} {'FAILS' if reason else 'works'} {took:5.1f} s  {name}  {reason}".rstrip())
    _tell(f"{len(_CHECKS) - failures} of {len(_CHECKS)}")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", help="as ContainerConfig.runtime has it")
    parser.add_argument("--index", help="an index of Python packages that containers reach")
    parser.add_argument("package", nargs="?", default="six", help="a package to install from there")
    given = parser.parse_args()
    sys.exit(asyncio.run(_main(Options(runtime=given.runtime, index=given.index, package=given.package))))
