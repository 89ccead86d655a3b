"""What tests do in contexts of the languages that have checkpoints, as each language says it."""

from __future__ import annotations

LANGUAGES = ("python", "shell")
"""Those languages."""

_KILLS_ALL = """\
import os
from interpreter_tools_cells.parking import others
for pid, name in others([]): os.kill(pid, 9)
"""
_KILLS_ALL_IN_SHELL = """\
for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    ((pid == $$ || pid == PPID)) || kill -9 $pid
done 2>/dev/null
:
"""
_NEVER_ENDS = """\
while True:
    try:
        while True: pass
    except KeyboardInterrupt: pass
"""


class Codes:
    """Code of one language.

    Args:
        language: the language.

    Attributes:
        child: starts a process, which goes on.
        child_ends: ends that process.
        child_name: what a refusal calls that process.
        kills_all: kills the other processes of the context.
        ends: ways in which a process dies, and what the result says of each.
        busy: cells that end by an interrupt only; the last one waits for the tool ``hang``.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._is_python = language == "python"
        if self._is_python:
            self.child = (
                "import subprocess; child = subprocess.Popen(['sleep', '60'])\n"
                "while open(f'/proc/{child.pid}/comm').read() != 'sleep\\n': pass"  # it comes after Popen
            )
            self.child_ends = "child.kill(); _ = child.wait()"
            self.child_name = "'sleep'"
            self.kills_all = _KILLS_ALL
            self.ends = {
                "import os; os._exit(5)": "exit code 5",
                "import os; os.kill(os.getpid(), 11)": "SIGSEGV",
                _NEVER_ENDS: "interrupt",
            }
            self.busy = (
                "while True: pass",
                "import time; time.sleep(50)",
                "import asyncio; await asyncio.sleep(50)",
                "!sleep 50",
                "import tools; tools.hang()",
            )
        else:
            self.child = "sleep 60 & child=$!"
            self.child_ends = "kill $child; wait"
            self.child_name = "background job 'sleep 60'"
            self.kills_all = _KILLS_ALL_IN_SHELL
            self.ends = {
                "exec sh -c 'exit 5'": "exit code 5",
                "kill -9 $$": "SIGKILL",
                "trap '' INT; while :; do :; done": "interrupt",
            }
            self.busy = ("while :; do :; done", "sleep 50", "x=$(sleep 50)", "sleep 50; sleep 50", "tool hang")

    def write(self, name: str, text: str) -> str:
        """Return code that writes a file."""
        return f"_ = open('{name}', 'w').write('{text}')" if self._is_python else f"printf %s '{text}' > '{name}'"

    def append(self, name: str, text: str) -> str:
        """Return code that writes more to a file."""
        return f"_ = open('{name}', 'a').write('{text}')" if self._is_python else f"printf %s '{text}' >> '{name}'"

    def remove(self, name: str) -> str:
        """Return code that removes a file; it may fail."""
        return f"import os; os.remove('{name}')" if self._is_python else f"rm '{name}'"

    def die(self, status: int) -> str:
        """Return code that ends the process."""
        return f"import os; os._exit({status})" if self._is_python else f"exec bash -c 'exit {status}'"

    def fail(self) -> str:
        """Return code that fails, and is the last of its cell."""
        return "1 / 0" if self._is_python else "false"

    def call(self, name: str, tool: str, value: int) -> str:
        """Return code that sets a variable to what a tool returns."""
        return f"import tools; {name} = tools.{tool}({value})" if self._is_python else f"{name}=$(tool {tool} {value})"

    def look(self, names: str) -> str:
        """Return code that prints the variables and files that there are: each a letter."""
        if self._is_python:
            return (
                f"import os\nfor n in {names!r}: print(n, globals().get(n, '-'), "
                "open(n).read() if os.path.exists(n) else '-')"
            )
        return f"for n in {' '.join(names)}; do echo $n ${{!n--}} $(cat $n 2>/dev/null || echo -); done"

    def show(self, *values: str) -> str:
        """Return code that prints variables, and for each ``@name`` the content of that file, or ``-``."""
        if self._is_python:
            read = "open('{0}').read() if __import__('os').path.exists('{0}') else '-'"
            return f"print({', '.join(read.format(each[1:]) if each[0] == '@' else each for each in values)})"
        return "echo " + " ".join(f"$(cat {each[1:]} || echo -)" if each[0] == "@" else f"${each}" for each in values)
