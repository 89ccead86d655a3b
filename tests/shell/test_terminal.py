"""The shell on a real terminal."""

from __future__ import annotations

import signal
import stat
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import COMMAND
from tests.watch import containers_of_process, eventually

from .terminal import terminal

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

BEATS = """import time
while True:
    open('beat', 'w').write(str(time.time())); print('on', flush=True); time.sleep(0.05)"""
SAME = "a = open('beat').read(); import time; time.sleep(0.3); print(a == open('beat').read())"
ACTIONS = (b"\x1b]", b"\x07", b"\x1b[6n", b"\x1b[2J", "\x9b".encode(), "\u202e".encode())


async def test_code_and_commands_share_a_workspace(tmp_path: Path):
    """In whichever language; what is made is told."""
    async with terminal(state=tmp_path) as screen:
        assert await screen.do("print(6 * 7)") == ["42"]
        assert await screen.do("!echo 3 1 2 > numbers.txt") == ["files: numbers.txt"]
        assert await screen.do("print(*sorted(open('numbers.txt').read().split()))") == ["1 2 3"]
        assert await screen.do("js: console.log(require('fs').readFileSync('numbers.txt', 'utf8').trim())") == ["3 1 2"]
        assert await screen.do("ls -1 *.txt") == ["numbers.txt"]
        screen.type("\x04")
        assert await screen.ended() == 0


async def test_block_is_typed_line_by_line(tmp_path: Path):
    """Until it ends, indented by itself; a fence, a prefix and Alt-Enter take several lines, too."""
    async with terminal(state=tmp_path) as screen:
        assert await screen.do("for n in range(3):\rprint(n)\r") == ["0", "1", "2"]
        assert await screen.do("```sh\recho one\recho two\r```") == ["one", "two"]
        assert await screen.do("py:\ra = 1\x1b\rprint(a + 1)") == ["2"]
        assert await screen.do("js: console.log([1,\r2].length)") == ["2"]
        assert await screen.do("\x1b[200~a = 'pasted'\nif a:\n    print(a)\n\x1b[201~", rows=3) == ["pasted"]


async def test_ctrl_c_ends_the_run_and_not_the_shell(tmp_path: Path):
    """The run ends; files and variables stay; at the prompt it gives up what is typed."""
    async with terminal(state=tmp_path) as screen:
        assert await screen.do("kept = 41") == []
        screen.type(f"\x1b[200~{BEATS}\x1b[201~\r\r")
        await screen.see("\non")
        screen.type("\x03")
        await screen.see("\ncancelled")
        await screen.prompt()
        assert await screen.do(
            "a = open('beat').read(); import time; time.sleep(0.3); print(a == open('beat').read())"
        ) == ["True"]
        assert await screen.do("kept + 1") == ["42"]
        screen.type("some words")
        screen.type("\x03")
        await screen.see("Ctrl-D leaves")
        assert await screen.do("print('still here')") == ["still here"]
        assert screen.process.poll() is None


async def test_each_language_keeps_its_variables(tmp_path: Path):
    """What cannot be pickled, too; a language without contexts has files only; /reset forgets all of it."""
    async with terminal(state=tmp_path) as screen:
        assert await screen.do("import threading; lock = threading.Lock(); numbers = (n for n in 'ab')") == []
        assert await screen.do("next(numbers), lock.locked()") == ["('a', False)"]
        assert await screen.do("next(numbers)") == ["'b'"]
        assert await screen.do("js: const double = (n) => 2 * n; double(2)") == ["4"]
        assert await screen.do("js: double(await 4)") == ["8"]
        assert await screen.do("ts: enum Colour { Red = 7 }") == []
        assert await screen.do("ts: Colour.Red") == ["7"]
        assert await screen.do("!word=hello; cd /tmp") == []
        assert await screen.do("!echo $word; pwd") == ["hello", "/tmp"]
        assert "NameError: name 'nothing' is not defined" in await screen.do("nothing")
        assert await screen.do("import os; os._exit(3)", rows=0) != []
        told = await screen.do("'numbers' in globals()")
        assert told[0] == "False"
        assert "was restarted, without its variables" in " ".join(told)
        await screen.do("/reset")
        assert await screen.do("!echo -$word") == ["-"]


async def test_files_come_and_go(tmp_path: Path):
    """`/put`, `/files`, `/get`, and `/reset`, after which nothing is there; what cannot be is told."""
    (tmp_path / "in.txt").write_text("hello")
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "leaf").write_text("leaf")
    async with terminal(state=tmp_path) as screen:
        assert await screen.do("/put in.txt") == ["in.txt is /workspace/in.txt"]
        assert await screen.do("/put tree 'a b'") == ["1 files are in /workspace/a b"]
        assert await screen.do("print(open('in.txt').read().upper(), file=open('out.txt', 'w'))") == ["files: out.txt"]
        assert await screen.do("/files") == ["a b/deep/leaf", "in.txt", "out.txt"]
        assert await screen.do("/files *.txt") == ["in.txt", "out.txt"]
        assert await screen.do("/get out.txt") == ["out.txt is in out.txt"]
        assert (tmp_path / "out.txt").read_text() == "HELLO\n"
        assert await screen.do("/get 'a b' copied") == ["1 files are in copied"]
        assert (tmp_path / "copied" / "deep" / "leaf").read_text() == "leaf"
        for wrong in ("/get nowhere", "/put nowhere", "/get 'nowhere"):
            assert "nowhere" in (await screen.do(wrong))[0]
        await screen.do("/reset")
        assert await screen.do("/files") == ["no files"]
        assert await screen.do("!ls") == []


async def test_shell_tells_about_itself(tmp_path: Path):
    """`/help`, `/info`, `/lang`; what is not known is told with what is near."""
    async with terminal(state=tmp_path) as screen:
        told = "\n".join(await screen.do("/help"))
        assert "/put LOCAL [PATH]" in told
        assert "py: print(6 * 7)" in told
        assert "Ctrl-R" in told
        await screen.do("print(1)")
        told = "\n".join(await screen.do("/info"))
        assert "model       none" in told
        assert "interpreter-tools/python" in told
        assert await screen.do("/flies") == ["there is no /flies; did you mean /files?"]
        assert await screen.do("/lang js", after="javascript") == []
        assert await screen.do("console.log(1 + 1)", label="javascript") == ["2"]
        told = await screen.do("/lang cobol", label="javascript")
        assert told[0].startswith("unknown language 'cobol'")
        screen.type("/quit\r")
        assert await screen.ended() == 0


async def test_history_is_kept_and_searched(tmp_path: Path):
    """In a file that only its owner can read, for the next shell: by keys, by Ctrl-R, by `/history`."""
    async with terminal(state=tmp_path) as screen:
        assert await screen.do("print('first')") == ["first"]
        assert await screen.do("print('second')") == ["second"]
    path = tmp_path / "interpreter-tools" / "shell_history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    async with terminal(state=tmp_path) as screen:
        await screen.prompt()
        screen.type("\x12first")
        await screen.see("print('first')")
        screen.type("\r\r")  # takes it, and runs it
        await screen.see("\nfirst")
        await screen.prompt()
        assert await screen.do("/history SECOND") == ["print('second')", "/history SECOND"]


async def test_tab_completes(tmp_path: Path):
    """Commands, and files of the workspace."""
    async with terminal(state=tmp_path) as screen:
        await screen.do("!echo text > notable.txt")
        await screen.prompt()
        screen.type("/hel\t")
        await screen.see("> /help")
        screen.type("\x03")
        await screen.prompt()
        screen.type("!cat nota\t")
        await screen.see("!cat notable.txt")
        screen.type("\r")
        await screen.see("\ntext")


async def test_output_cannot_act_on_the_terminal(tmp_path: Path):
    """Titles, clipboard, cursor and questions are left out, names of files included; colours stay."""
    hostile = (
        r"import os; print('\x1b]0;owned\x07a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\x1b[6nd\x1b[31mred\x1b[0m\x9b5n\u202e'); "
        r"open('\x1b[2Jx\n', 'w'); print('\x1b]0;never ended', end='')"
    )
    async with terminal(state=tmp_path) as screen:
        await screen.prompt()
        begin = len(screen.raw)
        shown = await screen.do(hostile)
        listed = await screen.do("/files")
        raw = screen.raw[begin:].replace(b"\x1b[6n", b"", 2)  # the prompt's own, after each input
        assert shown[-2].startswith("abcdred\\x9b5n\\u202e")
        assert "never ended" in shown[-1]
        assert listed == ["\\x1b[2Jx\\n"]
        assert b"\x1b[31mred\x1b[0m" in raw
        assert not any(
            bad in raw for bad in (b"\x1b]", b"\x07", b"\x1b[6n", b"\x1b[2J", "\x9b".encode(), "\u202e".encode())
        )


async def test_each_stream_is_looked_at_for_itself(tmp_path: Path):
    """What goes into a file is untouched, what goes to the terminal is not."""
    (tmp_path / "in").write_text("import sys; print('\\x1b[2Jout'); print('\\x1b[2Jerr', file=sys.stderr)\n")
    shell = f"{' '.join(COMMAND)} shell < in"
    for redirected, shown in (("> kept", "err"), ("2> kept", "out")):
        async with terminal(state=tmp_path, command=("sh", "-c", f"{shell} {redirected}")) as screen:
            assert await screen.ended() == 0
            await screen.see(shown)
            assert b"\x1b[2J" not in screen.raw
            assert b"\x1b[2J" in (tmp_path / "kept").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_signal_leaves_nothing_behind(number: signal.Signals, tmp_path: Path, docker_client: DockerClient):
    """While something runs."""
    async with terminal(state=tmp_path) as screen:
        await screen.prompt()
        screen.type("import time; print('on', flush=True); time.sleep(600)\r")
        await screen.see("\non")
        screen.process.send_signal(number)
        assert await screen.ended() == 128 + number
        assert "Traceback" not in "\n".join(screen.lines)

    async def left() -> list[str]:
        return await containers_of_process(docker_client, screen.process.pid)

    await eventually(left, lambda names: not names, within=30)


async def test_environment_of_the_host_stays_there(tmp_path: Path):
    """Keys of models are in it."""
    async with terminal(state=tmp_path, environment={"OPENAI_API_KEY": "sk-secret"}) as screen:
        assert await screen.do("import os; print('OPENAI_API_KEY' in os.environ)") == ["False"]
        assert await screen.do("!env | grep -c secret") == ["0", "exit code 1"]


async def test_program_that_asks_is_answered(tmp_path: Path):
    """By what is typed while it runs; to all others that is the next input."""
    async with terminal(state=tmp_path) as screen:
        await screen.prompt()
        screen.type("name = input('who? '); print('hello', name)\r")
        await screen.see("\nwho?")
        screen.type("Ada\r")
        await screen.see("\nhello Ada")
        await screen.prompt()
        screen.type("py: import sys; print('now', flush=True); print(len(sys.stdin.read()))\r")
        await screen.see("\nnow")
        screen.type("four\r\x04")
        await screen.see("\n5")
        await screen.prompt()
        screen.type("import time; print('on', flush=True); time.sleep(1)\r")
        await screen.see("\non")
        screen.type("print('typed', 'ahead')\r")
        await screen.see("\ntyped ahead")


async def test_what_people_may_not_know_is_told(tmp_path: Path):
    """How a package is installed, unless nobody knows one of that name; and that words need a model."""
    async with terminal(state=tmp_path) as screen:
        told = " ".join(await screen.do("import six_of_tests"))
        assert "exit code 1" in told
        assert "is not the name of a well-known package" in told
        assert "/deps" not in told
        assert "/deps" not in " ".join(await screen.do("!jq_of_tests"))
        assert (await screen.do("!pdftotext -v"))[-1] == "perhaps /deps bash: poppler-utils helps"
        assert (await screen.do("list the files please"))[-1] == "plain language needs a model: /model NAME"


async def test_hangup_ends_it(tmp_path: Path):
    """At the prompt, and while something runs."""
    for text in ("", "import time; print('on', flush=True); time.sleep(600)\r"):
        async with terminal(state=tmp_path) as screen:
            await screen.prompt()
            screen.type(text)
            if text:
                await screen.see("\non")
            screen.close()
            assert await screen.ended() == 128 + signal.SIGHUP


async def test_model_that_cannot_be_used_is_told(tmp_path: Path):
    """And the shell goes on without it."""
    async with terminal("--model", "nonsense:1", state=tmp_path) as screen:
        await screen.prompt()
        assert any("model: 'nonsense:1' cannot be used: Unknown model" in line for line in screen.lines)
        assert await screen.do("print(6 * 7)") == ["42"]
        told = await screen.do("/model openai:gpt-5")
        assert "OPENAI_API_KEY" in "".join(told)
