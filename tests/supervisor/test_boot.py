"""Set-up, the greeting, and the end."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._protocol import Hello, Output, Refused
from interpreter_tools._protocol.constants import VERSION, BootMode, Why
from tests.supervisor.harness import WORKSPACE, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

# -- set-up


def test_greeting_names_version_machine_and_pid(supervisor: Supervisor) -> None:
    """The client checks all three."""
    machine = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    assert supervisor.wait(Hello) == Hello(VERSION, machine, 1)


def test_anything_but_pid_1_is_refused(binary: Path) -> None:
    """Its end would not be the end of what it started."""
    with Supervisor(binary, namespaces=["--mount", "--net"]) as supervisor:
        assert "PID 1" in supervisor.fatal()


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ((), "needs the writable mounts"),
        (("/nowhere",), "cannot open the workspace /nowhere: No such file or directory"),
        ((WORKSPACE, "/nowhere"), "cannot open the writable mount /nowhere: No such file or directory"),
        ((WORKSPACE, "/proc"), "/proc must be a tmpfs"),  # nothing of the host's, whatever becomes of it
        ((WORKSPACE,) * 17, "more than 16 writable mounts"),
    ],
)
def test_mounts_that_could_not_be_wiped_are_refused(binary: Path, mounts: tuple[str, ...], words: str) -> None:
    """A reset works on memory file systems that exist, and on nothing else."""
    with Supervisor(binary, mounts=mounts) as supervisor:
        assert words in supervisor.fatal()


def test_end_of_the_stream_ends_it_before_the_boot(supervisor: Supervisor) -> None:
    """A client that dies early leaves nothing behind."""
    supervisor.wait(Hello)
    assert supervisor.leave() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_only_sigkill_ends_it(idle: Supervisor, number: signal.Signals) -> None:
    """A signal that it would obey is one that a program could try to send; `docker stop` sends SIGKILL."""
    os.kill(idle.host_pid, number)
    idle.alive()


def test_programs_end_with_it(idle: Supervisor) -> None:
    """The kernel kills a PID namespace together with its PID 1."""
    idle.start(["sh", "-c", "echo; exec sleep 1000"])
    idle.wait(Output)
    (program,) = idle.children()
    assert idle.leave() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)


# -- boots that fail


@pytest.mark.parametrize("mode", [BootMode.FORK, BootMode.SINGLE])
def test_missing_interpreter_is_refused(supervisor: Supervisor, mode: BootMode) -> None:
    """With the name that was looked for."""
    assert supervisor.boot(mode, ["no-such-program"]) == Refused(Why.PROGRAM, errno.ENOENT, b"no-such-program")


@pytest.mark.parametrize("mode", [BootMode.FORK, BootMode.SINGLE])
def test_last_words_of_an_interpreter_that_fails_are_passed_on(supervisor: Supervisor, mode: BootMode) -> None:
    """They say more than any message of ours."""
    answer = supervisor.boot(mode, ["sh", "-c", "echo not today >&2; exit 3"])
    assert isinstance(answer, Refused)
    assert (answer.why, answer.subject) == (Why.PROGRAM, b"not today\n")
