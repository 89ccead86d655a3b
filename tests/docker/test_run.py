"""One run: what it is given, what it gives back, and the errors of a call that cannot work."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    ExecutionEngine,
    ExecutionFailed,
    FileRefused,
    ImageMissing,
    InterpreterMissing,
    InvalidPath,
    LanguageConfig,
    LanguageRegistry,
    PoolConfig,
    UnknownLanguage,
)
from tests.watch import ONE_SHOT

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
SHELL_IMAGE = "interpreter-tools/shell:1"

# Those that stop a program, or that do nothing to one that did not ask for them.
_STOPS = [signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU]
_HARMLESS = [signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH]
FATAL = sorted(number for number in signal.valid_signals() if number < 32 and number not in {*_STOPS, *_HARMLESS})


# -- results


async def test_result_tells_how_the_run_went(engine: ExecutionEngine) -> None:
    """Both streams, the exit code, the times, the memory."""
    code = "import sys, time; print('héllo'); print('wörld', file=sys.stderr); time.sleep(0.1); bytearray(50 << 20)"
    result = await engine.run("python", code)
    assert (result.stdout, result.stderr) == ("héllo\n", "wörld\n")
    assert (result.exit_code, result.signal, result.outcome, result.truncated) == (0, None, "ok", False)
    assert 0.1 <= result.execution_time < 10
    assert 0 < result.cpu_time < result.execution_time
    assert 50 << 20 < result.peak_memory < 512 << 20
    assert result.workspace_dir == "/workspace"
    assert result.check() is result


async def test_check_raises_for_those_who_want_it(engine: ExecutionEngine) -> None:
    """What user code does is a result; the exception holds it."""
    result = await engine.run("python", "raise ValueError('no good')", strategy=POOL)
    assert (result.outcome, result.exit_code) == ("error", 1)
    with pytest.raises(ExecutionFailed, match=r"exit code 1.*ValueError: no good") as caught:
        result.check()
    assert caught.value.result is result


async def test_uncaptured_output_is_only_streamed(engine: ExecutionEngine) -> None:
    """The result holds no text then, and says so."""
    async with engine.stream("python", "print('x' * 1000)", capture=False, strategy=POOL) as execution:
        data = b"".join([chunk.data async for chunk in execution])
        result = await execution.result()
    assert data == b"x" * 1000 + b"\n"
    assert (result.stdout, result.truncated, result.outcome) == ("", True, "ok")


@pytest.mark.parametrize(("language", "code"), [("python", "import sys; sys.exit({})"), ("shell", "exit {}")])
async def test_every_exit_code_arrives(engine: ExecutionEngine, language: str, code: str) -> None:
    """From 0 to 255."""
    runs = [engine.run(language, code.format(status), strategy=POOL) for status in range(256)]
    results = await asyncio.gather(*runs)
    assert [result.exit_code for result in results] == list(range(256))
    assert {result.signal for result in results} == {None}
    assert [result.outcome for result in results] == ["ok"] + ["error"] * 255


async def test_every_signal_arrives(engine: ExecutionEngine) -> None:
    """A program that dies of one has the exit code that a shell would report."""
    code = """
import os, signal
number = {}
if number not in (signal.SIGKILL, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
os.kill(os.getpid(), number)
signal.pause()
"""
    results = await asyncio.gather(*(engine.run("python", code.format(int(n)), strategy=POOL) for n in FATAL))
    assert [result.signal for result in results] == [int(number) for number in FATAL]
    assert [result.exit_code for result in results] == [128 + number for number in FATAL]
    assert {result.outcome for result in results} == {"error"}


async def test_crash_leaves_no_core_file(engine: ExecutionEngine) -> None:
    """SIGSEGV ends the program, and that is all: a limit of 1 byte also holds where the host pipes core dumps."""
    code = "import ctypes, resource; print(resource.getrlimit(resource.RLIMIT_CORE), flush=True); ctypes.string_at(0)"
    result = await engine.run("python", code)
    assert result.stdout == "(1, 1)\n"
    assert (result.signal, result.exit_code, result.outcome) == (signal.SIGSEGV, 139, "error")
    assert result.generated_files == ()


async def test_killing_everything_it_may_ends_only_the_program(engine: ExecutionEngine) -> None:
    """``kill(-1)`` reaches its own processes; what keeps the container is out of reach."""
    code = "import os, signal; os.fork(); os.kill(-1, signal.SIGKILL); os.kill(os.getpid(), signal.SIGKILL)"
    result = await engine.run("python", code, strategy=POOL)
    assert (result.signal, result.outcome) == (signal.SIGKILL, "error")
    assert (await engine.run("python", "print(1)", strategy=POOL)).stdout == "1\n"


# -- what a run is given


async def test_files_are_there_before_the_code_starts(engine: ExecutionEngine) -> None:
    """Directories are made for them, contents are bytes, sizes and names are any."""
    files = {
        "a.bin": bytes(range(256)) * 20_000,
        "deep/er/data.txt": "grüße".encode(),
        "empty": b"",
        "..cache": b"1",
        "back\\slash": b"2",
        "-dash": b"3",
        "файл 文件 \u202e.txt": b"4",
        os.fsdecode(b"\xff\xfe"): b"5",
        "pkg/__init__.py": b"value = 42",
    }
    code = """
import hashlib, json, os, pkg
found = {}
for directory, _, names in os.walk("."):
    for name in names:
        path = os.path.join(directory, name)
        found[os.path.relpath(path)] = hashlib.sha256(open(path, "rb").read()).hexdigest()
assert pkg.value == 42
print(json.dumps(found))
"""
    result = await engine.run("python", code, files=files)
    assert result.outcome == "ok", result.stderr
    found = json.loads(result.stdout)
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    compiled = [name for name in found if "__pycache__" in name]
    assert {name: found[name] for name in found if name != "main.py" and name not in compiled} == expected
    assert result.generated_files == tuple(compiled)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "", ".", "a/", "nul\0", "new\nline", "x" * 256, "x/" * 2048 + "x", "\ud800"]
)
async def test_paths_that_lead_elsewhere_are_refused_at_once(engine: ExecutionEngine, path: str) -> None:
    """The call itself raises."""
    with pytest.raises(InvalidPath) as caught:
        engine.stream("python", "", files={path: b""})
    assert caught.value.path == path


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_file_of_the_name_of_the_code(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """It stays what it is, and the program can read it; the code is run from beside it."""
    code = "import os; print(open('main.py').read(), os.getcwd()); import main"
    result = await engine.run("python", code, files={"main.py": "print(2)"}, strategy=strategy)
    assert (result.stdout, result.stderr) == ("print(2) /workspace\n2\n", "")
    assert result.generated_files == ()


async def test_file_that_cannot_be_written_is_told(engine: ExecutionEngine) -> None:
    """The kernel's reason, and the path; the next run is right."""
    with pytest.raises(FileRefused) as caught:
        await engine.run("python", "print(1)", files={"a": b"", "a/b": b""}, strategy=POOL)
    assert (caught.value.path, caught.value.strerror) == ("a/b", "Not a directory")
    with pytest.raises(FileRefused, match="No space left"):
        await engine.run("python", "print(1)", files={"big": bytes(40 << 20)}, memory_limit="64m")
    result = await engine.run("python", "import os; print(os.listdir())", strategy=POOL)
    assert result.stdout == "['main.py']\n"


@pytest.mark.parametrize(
    "code", [b"print('\xc3\xa9')", "print('é')\r\n", "\ufeffprint('é')", "", "x = '" + "x" * 10_000_000 + "'"]
)
async def test_code_arrives_as_it_is(engine: ExecutionEngine, code: str | bytes) -> None:
    """Bytes, line ends, a byte order mark, nothing at all, a line of 10 MB."""
    raw = code if isinstance(code, bytes) else code.encode()
    assert (await engine.run("python", code, strategy=POOL)).check().stdout == ("é\n" if "é".encode() in raw else "")
    result = await engine.run("shell", b": <<'end' && cat main.sh\n" + raw + b"\nend\n", strategy=POOL)
    assert result.stdout.encode() == b": <<'end' && cat main.sh\n" + raw + b"\nend\n"


async def test_code_that_no_file_can_hold_is_refused(engine: ExecutionEngine) -> None:
    """A lone surrogate has no encoding."""
    with pytest.raises(ConfigurationError, match="character 7 is a lone surrogate"):
        await engine.run("python", "print('\ud800')")


async def test_environment_is_the_image_s_the_engine_s_and_the_run_s() -> None:
    """The latter wins; nothing of the host's is there."""
    container = ContainerConfig(environment={"A": "engine", "B": "engine"})
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    async with ExecutionEngine(EngineConfig(container=container, prewarm=(), pool=PoolConfig(max_size=1))) as engine:
        given = {"B": "rün", "EMPTY": "", "LINE": "a\nb=c", "HOME": "/workspace"}
        result = await engine.run("python", code, environment=given, strategy=POOL)
        plain = await engine.run("python", code, strategy=POOL)
    variables = json.loads(result.stdout)
    assert variables["A"] == "engine"
    assert given.items() <= variables.items()
    assert json.loads(plain.stdout)["B"] == "engine"
    assert "EMPTY" not in json.loads(plain.stdout)
    image = {"PATH", "LANG", "HOME", "TMPDIR", "USER", "LOGNAME", "PYTHONDONTWRITEBYTECODE", "MATPLOTLIBRC"}
    offline = {name for name in variables if name.startswith(("PIP_", "UV_", "npm_config_"))}
    certificates = {name for name in variables if name.endswith(("_CERT", "_CERTS", "_CERT_FILE", "_BUNDLE"))}
    assert set(variables) - certificates - offline == image | {"A"} | set(given)


@pytest.mark.parametrize("environment", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "x\0"}])
async def test_impossible_variables_are_refused(engine: ExecutionEngine, environment: dict[str, str]) -> None:
    """Before anything is touched."""
    with pytest.raises(ConfigurationError, match="environment"):
        engine.stream("python", "", environment=environment)


async def test_programs_start_in_the_working_directory() -> None:
    """One that is not there is a clear error, and the container serves on."""
    pool = PoolConfig(max_size=1)
    config = EngineConfig(container=ContainerConfig(working_dir="/tmp"), prewarm=(), pool=pool)
    async with ExecutionEngine(config) as engine:
        programs = (("python", "import os; print(os.getcwd())"), ("shell", "pwd"))
        results = [await engine.run(language, code, strategy=POOL) for language, code in programs]
        assert [result.stdout for result in results] == ["/tmp\n", "/tmp\n"]
    config = EngineConfig(container=ContainerConfig(working_dir="/nowhere"), prewarm=(), pool=pool)
    async with ExecutionEngine(config) as engine:
        for language in ("python", "shell"):
            with pytest.raises(ConfigurationError, match="working_dir: '/nowhere' cannot be entered: No such file"):
                await engine.run(language, "", strategy=POOL)


# -- calls that cannot work


async def test_unknown_language_lists_what_is_known(engine: ExecutionEngine) -> None:
    """And says how to add one."""
    with pytest.raises(UnknownLanguage) as caught:
        await engine.run("cobol", "")
    assert {"python", "javascript", "typescript", "shell", "bash"} <= set(caught.value.known)
    assert "python" in caught.value.message
    assert "LanguageRegistry.register" in caught.value.hint


async def test_unknown_option_lists_what_is_known(engine: ExecutionEngine) -> None:
    """A typing error is no silent default."""
    with pytest.raises(ConfigurationError, match="time_out") as caught:
        await engine.run("python", "", time_out=3)  # pyright: ignore[reportCallIssue]
    assert "timeout" in caught.value.hint


async def test_missing_image_says_what_to_do(engine: ExecutionEngine) -> None:
    """And runs are right as soon as it is there, until it is gone again."""
    for _ in range(2):
        with pytest.raises(ImageMissing, match="no image 'it-test/comes-and-goes:1'") as caught:
            await engine.run("shell", "", image="it-test/comes-and-goes:1")
        assert caught.value.image == "it-test/comes-and-goes:1"
        assert "interpreter-tools setup" in caught.value.hint
    await docker("tag", SHELL_IMAGE, "it-test/comes-and-goes:1")
    try:
        assert (await engine.run("shell", "echo 1", image="it-test/comes-and-goes:1")).stdout == "1\n"
    finally:
        await docker("rmi", "it-test/comes-and-goes:1")


async def docker(*arguments: str) -> None:
    """Docker's own command line."""
    process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0


@pytest.fixture
def language_of_nothing() -> str:
    """A language whose program is in no image."""
    command = ("no-such", "{file}")
    LanguageRegistry.register(
        LanguageConfig(language="nothing", default_image=SHELL_IMAGE, code_filename="x", run_command=command)
    )
    return "nothing"


async def test_missing_interpreter_is_named(engine: ExecutionEngine, language_of_nothing: str) -> None:
    """Whether it was to be booted ahead or started for the run."""
    for language, program in (("python", "python3"), ("javascript", "node"), (language_of_nothing, "no-such")):
        with pytest.raises(InterpreterMissing, match=f"{program}.*No such file") as caught:
            await engine.run(language, "", image=SHELL_IMAGE)
        assert (caught.value.program, caught.value.image) == (program, SHELL_IMAGE)
        assert caught.value.hint
