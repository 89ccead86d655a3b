"""Each language as its own interpreter would run it; and one that only this test knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerStrategy,
    InterpreterBoot,
    InterpreterMissing,
    LanguageConfig,
    LanguageRegistry,
    UnknownLanguage,
)
from interpreter_tools._languages.config import CompileStep

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker

POOL = ContainerStrategy.POOL
SHELL_IMAGE = "interpreter-tools/shell:1"

HELLO = {
    "python": "print('hello')",
    "py": "print('hello')",
    "python3": "print('hello')",
    "Python": "print('hello')",
    "javascript": "console.log('hello')",
    "js": "console.log('hello')",
    "node": "console.log('hello')",
    "typescript": "const text: string = 'hello'; console.log(text)",
    "ts": "console.log('hello' as string)",
    "shell": "echo hello",
    "sh": "echo hello",
    "bash": "[[ hello =~ h.*o ]] && echo ${BASH_REMATCH[0]}",
}


@pytest.mark.parametrize("language", HELLO)
async def test_every_name_means_a_language(engine: ExecutionEngine, language: str) -> None:
    """Its own, and its aliases."""
    result = await engine.run(language, HELLO[language], strategy=POOL)
    assert (result.outcome, result.stdout, result.stderr) == ("ok", "hello\n", "")


# -- shells


async def test_shells_run_what_shells_run(engine: ExecutionEngine) -> None:
    """Pipes, jobs, here documents, traps, arithmetic."""
    code = """
set -eu
trap 'echo trapped' EXIT
count=$(printf '%s\\n' a b c | wc -l)
cat <<end
$((count * 2)) $0
end
sleep 0.01 & wait $!
echo error >&2
exit 3
"""
    for language, name in (("shell", "main.sh"), ("bash", "main.bash")):
        result = await engine.run(language, code, strategy=POOL)
        assert (result.stdout, result.stderr) == (f"6 /workspace/{name}\ntrapped\n", "error\n")
        assert result.exit_code == 3


# -- languages from outside


@pytest.fixture
def awk() -> LanguageConfig:
    """A language of this test's own."""
    config = LanguageConfig(
        language="toyawk",
        default_image=SHELL_IMAGE,
        code_filename="main.awk",
        run_command=("awk", "-f", "{file}"),
        aliases=("toymawk", "toygawk"),
        environment={"AWKPATH": "/workspace"},
    )
    LanguageRegistry.register(config)
    return config


async def test_registered_language_runs_like_any_other(engine: ExecutionEngine, awk: LanguageConfig) -> None:
    """One object is all it takes: streams, exit codes, files, limits, pools."""
    assert LanguageRegistry.get("toygawk") is awk
    assert "toyawk" in LanguageRegistry.names()
    code = 'BEGIN { print ENVIRON["AWKPATH"] } { sum += $1 } END { print sum > "out.txt"; print "sum", sum; exit 4 }'
    result = await engine.run("toyawk", code, stdin=b"1\n2\n39\n", strategy=POOL)
    assert (result.stdout, result.exit_code, result.generated_files) == ("/workspace\nsum 42\n", 4, ("out.txt",))
    looping = await engine.run("toymawk", "BEGIN { while (1) {} }", timeout=0.3)
    assert looping.outcome == "timeout"
    async with engine.stream("toyawk", "{ print toupper($0); fflush() }", strategy=POOL) as execution:
        await execution.send_stdin(b"hi\n")
        assert (await anext(execution)).text == "HI\n"
    LanguageRegistry.unregister("toyawk")
    with pytest.raises(UnknownLanguage):
        await engine.run("toygawk", "")


async def test_registered_language_may_boot_ahead(engine: ExecutionEngine) -> None:
    """A shell script that speaks the hand-over, for the sake of the argument."""
    boot = r"""
import os, sys
os.write(3, b"r")
def read(count):
    data = b""
    while len(data) < count: data += os.read(3, count - len(data)) or sys.exit(0)
    return data
message = read(int.from_bytes(read(4), "little"))
directory, count, *words = message[8:].split(b"\0")[:-1]
os.close(3)
os.chdir(directory)
environment = dict(word.split(b"=", 1) for word in words[int(count):])
print(open(words[0].decode()).read().upper(), environment[b"GREETING"].decode(), os.getpid())
"""
    config = LanguageConfig(
        language="loud",
        default_image="interpreter-tools/python:1",
        code_filename="main.txt",
        run_command=("cat", "{file}"),
        boot=InterpreterBoot(mode="single", command=("python3", "-c", boot)),
    )
    LanguageRegistry.register(config)
    for text in ("one", "two"):
        result = await engine.run("loud", text, environment={"GREETING": "hello"}, strategy=POOL)
        assert result.check().stdout.startswith(f"{text.upper()} hello ")


@pytest.mark.parametrize(
    "change",
    [
        {"language": "Not A Name"},
        {"language": "python3"},
        {"aliases": ("js",)},
        {"default_image": " "},
        {"code_filename": "a/b"},
        {"code_filename": ".."},
        {"run_command": ()},
        {"run_command": "awk -f {file}"},
        {"run_command": ("awk", "-f")},
        {"environment": {"A=B": "1"}},
    ],
)
def test_impossible_languages_are_refused(change: dict[str, object]) -> None:
    """When they are made, or registered; what was known stays known."""
    fields = {"language": "new", "default_image": SHELL_IMAGE, "code_filename": "x", "run_command": ("awk", "{file}")}
    with pytest.raises(ConfigurationError):
        LanguageRegistry.register(LanguageConfig(**{**fields, **change}))  # pyright: ignore[reportArgumentType]
    assert LanguageRegistry.get("js").language == "javascript"
    with pytest.raises(UnknownLanguage):
        LanguageRegistry.get("new")


# -- what a compiler leaves


NO_PROGRAMS = {
    "gone": ("true", "No such file or directory"),
    "a library": ("printf x > $2/program", "Permission denied"),
    "without an interpreter": ("echo '#!/none' > $2/program; chmod +x $2/program", "No such file or directory"),
    "a directory": ("mkdir $2/program", "Permission denied"),
}


def _compiled(command: str) -> LanguageConfig:
    """A language whose compiler is a shell's command."""
    return LanguageConfig(
        language="compiled-by-test",
        default_image=SHELL_IMAGE,
        code_filename="main.txt",
        compile=CompileStep(command=("sh", "-c", command, "sh", "{file}", "{directory}")),
        run_command=("{directory}/program",),
    )


@pytest.mark.parametrize(("command", "why"), NO_PROGRAMS.values(), ids=NO_PROGRAMS)
async def test_compiler_that_makes_no_program(own_engine: ExecutionEngine, command: str, why: str) -> None:
    """It is the code's fault, and a result; its container has been used, and no other run gets it."""
    LanguageRegistry.register(_compiled(command))
    strategy = ContainerStrategy.PER_EXECUTION
    result = await own_engine.run("compiled-by-test", "", strategy=strategy)
    assert (result.outcome, result.exit_code) == ("compile_error", 1)
    assert f"no program that can be started: {why}" in result.compile_stderr
    assert own_engine.stats().discards == {"used": 1}
    async with own_engine.session() as session:
        for _ in range(2):
            assert (await session.run("compiled-by-test", "")).outcome == "compile_error"
        assert (await session.run("shell", "echo on")).stdout == "on\n"


async def test_program_that_another_run_has_removed_is_compiled_again(engine: ExecutionEngine) -> None:
    """The run that finds it gone is refused; the next one compiles it."""
    LanguageRegistry.register(_compiled("printf '#!/bin/sh\necho right\n' > $2/program; chmod +x $2/program"))
    async with engine.session() as session:
        assert (await session.run("compiled-by-test", "")).stdout == "right\n"
        await session.run("shell", "rm -r /tmp/.compiled/*")
        with pytest.raises(InterpreterMissing):
            await session.run("compiled-by-test", "")
        assert (await session.run("compiled-by-test", "")).stdout == "right\n"
