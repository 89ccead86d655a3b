"""``interpreter-tools completion``: the script, in a shell that has read it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from .command import call

if TYPE_CHECKING:
    from pathlib import Path

_ASK = """
source "$1"
COMP_WORDS=(interpreter-tools run --mem)
COMP_CWORD=2
$(complete -p interpreter-tools | sed -E 's/.*-F (\\S+).*/\\1/')
echo "${COMPREPLY[@]}"
"""


def complete(script: Path) -> str:
    """What bash makes of ``interpreter-tools run --mem``."""
    command = ["bash", "-c", _ASK, "bash", str(script)]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout


def test_bash_completes_an_option(tmp_path: Path):
    """By the script that is printed."""
    script = tmp_path / "script"
    script.write_bytes(call("completion", "bash").stdout)
    assert complete(script) == "--memory\n"


def test_installed_script_is_where_the_shell_looks(tmp_path: Path):
    """And its start-up file reads it."""
    done = call("completion", "bash", "--install", environment={"HOME": str(tmp_path)})
    assert done.returncode == 0
    assert complete(tmp_path / ".bashrc") == "--memory\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts_of_their_own(shell: str):
    """Which name the command."""
    done = call("completion", shell)
    assert done.returncode == 0
    assert b"interpreter-tools" in done.stdout


def test_unknown_shell_is_refused():
    """With those that are known."""
    done = call("completion", "tcsh")
    assert done.returncode != 0
    assert b"bash" in done.stdout + done.stderr
