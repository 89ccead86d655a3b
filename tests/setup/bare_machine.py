"""A machine whose engine is not running, made of this one: run as a program, it takes a scenario's name.

It lives in mount, PID and network namespaces of its own with an empty ``/run`` and no images, so that ``dockerd`` can
be started, killed and stopped at its usual places while this machine's own goes on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio

from interpreter_tools import DockerUnavailable
from interpreter_tools.setup import Consent, Progress, SetupFailed
from interpreter_tools.setup import engine as engine_module
from interpreter_tools.setup.daemon import find_process
from interpreter_tools.setup.engine import open_engine

PID_FILE = Path("/run/docker.pid")
CONTAINERD_PID_FILE = Path("/run/docker/containerd/containerd.pid")
EMPTY = ("/run", "/var/log", "/var/lib/docker", "/etc/docker")

questions: list[str] = []
texts: list[str] = []


async def agree(question: str) -> bool:
    """A consent that is always given, and remembered."""
    questions.append(question)
    return True


async def refuse(question: str) -> bool:
    """A consent that is never given, but remembered."""
    questions.append(question)
    return False


def report(event: Progress) -> None:
    """Collect what is told."""
    texts.append(event.text)


def start(consent: Consent = agree) -> None:
    """Have the engine found or started, and let go of it."""

    async def find() -> None:
        async with await open_engine(None, consent=consent, report=report) as client:
            await client.info()

    anyio.run(find)


def kill(name: str, number: int = signal.SIGKILL) -> None:
    """End a process by name in this namespace, and wait until it is gone."""
    pid = find_process(name)
    if pid is not None:
        os.kill(pid, number)
    while pid is not None and find_process(name) == pid:
        time.sleep(0.02)


def fresh() -> None:
    """Nothing was ever started; afterwards it is found, and nothing is asked."""
    start()
    start()


def denied() -> None:
    """Nobody agrees."""
    start(consent=refuse)


def killed() -> None:
    """The engine was killed, and its process number is another program's now."""
    start()
    kill("dockerd")
    kill("containerd")
    with subprocess.Popen(["sleep", "1000"]) as other:
        PID_FILE.write_text(str(other.pid))
        CONTAINERD_PID_FILE.write_text(str(other.pid))
        start()
        other.kill()


def dead_containerd() -> None:
    """A containerd of the system has left a socket where nothing listens."""
    Path("/run/containerd").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("/run/containerd/containerd.sock")
    start()


def starting() -> None:
    """An engine is on its way, though it does not answer yet."""
    with subprocess.Popen(["dockerd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        while find_process("dockerd") is None:
            time.sleep(0.001)
        start()
        kill("dockerd", signal.SIGTERM)


def hung() -> None:
    """An engine accepts connections and never answers."""
    engine_module._START_SECONDS = 3.0  # pyright: ignore[reportPrivateUsage]
    start()
    pid = find_process("dockerd")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    start()
    assert find_process("dockerd") != pid


def broken() -> None:
    """The engine's configuration is wrong."""
    Path("/etc/docker/daemon.json").write_text('{"nonsense": 1}')
    start()


def elsewhere() -> None:
    """An engine runs, but not where we look."""
    engine_module._START_SECONDS = 3.0  # pyright: ignore[reportPrivateUsage]
    command = ["dockerd", "-H", "unix:///run/other.sock"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        while not Path("/run/other.sock").exists():
            time.sleep(0.02)
        try:
            start()
        finally:
            assert find_process("dockerd") is not None
            kill("dockerd", signal.SIGTERM)


def remote() -> None:
    """An engine elsewhere was asked for: starting one here would be no answer."""
    os.environ["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    start()


def main() -> None:
    """Play the scenario and print how it went as JSON."""
    for directory in EMPTY:
        Path(directory).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
    os.environ.pop("DOCKER_HOST", None)
    outcome = "ok"
    try:
        globals()[sys.argv[1]]()
    except (SetupFailed, DockerUnavailable) as error:
        outcome = f"{type(error).__name__}: {error}"
    print(json.dumps({"outcome": outcome, "questions": questions, "texts": texts}))  # noqa: T201


if __name__ == "__main__":
    main()
