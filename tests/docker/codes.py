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
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._is_python = language == "python"
        if self._is_python:
            self.child = "import subprocess; child = subprocess.Popen(['sleep', '60'])"
            self.child_ends = "child.kill(); _ = child.wait()"
            self.child_name = "'sleep'"
            self.kills_all = _KILLS_ALL
            self.ends = {
                "import os; os._exit(5)": "exit code 5",
                "import os; os.kill(os.getpid(), 11)": "SIGSEGV",
                _NEVER_ENDS: "interrupt",
            }
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

    def write(self, name: str, text: str) -> str:
        """Return code that writes a file."""
        return f"_ = open('{name}', 'w').write('{text}')" if self._is_python else f"printf %s '{text}' > '{name}'"

    def append(self, name: str, text: str) -> str:
        """Return code that writes more to a file."""
        return f"_ = open('{name}', 'a').write('{text}')" if self._is_python else f"printf %s '{text}' >> '{name}'"

    def show(self, *values: str) -> str:
        """Return code that prints variables, and for each ``@name`` the content of that file, or ``-``."""
        if self._is_python:
            read = "open('{0}').read() if __import__('os').path.exists('{0}') else '-'"
            return f"print({', '.join(read.format(each[1:]) if each[0] == '@' else each for each in values)})"
        return "echo " + " ".join(f"$(cat {each[1:]} || echo -)" if each[0] == "@" else f"${each}" for each in values)
