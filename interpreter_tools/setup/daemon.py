"""Starts ``dockerd`` on a machine that has no service manager to do it, whatever an earlier one left lying about."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import anyio

from interpreter_tools.setup.errors import SetupFailed

LOG = Path("/var/log/interpreter-tools-dockerd.log")
"""The log of a ``dockerd`` that was started here; earlier lines are in a file beside it, with ``.1`` at its end."""

_LOG_LIMIT = 16 << 20
_LOG_SECONDS = 2.0
_LOG_LINES = 8
_TERMINATION_SECONDS = 20.0
_INTERVAL = 0.1
_PROBE_SECONDS = 1.0
_DYING_SECONDS = 0.5
_SETTLE_SECONDS = 5.0
_PID_FILES = {
    Path("/run/docker.pid"): "dockerd",
    Path("/var/run/docker.pid"): "dockerd",
    Path("/run/docker/containerd/containerd.pid"): "containerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
}
_CONTAINERD_SOCKETS = (Path("/run/containerd/containerd.sock"), Path("/run/containerd/containerd.sock.ttrpc"))
_REMEDIES = (
    ("iptables", 'the kernel refuses iptables: put {"iptables": false, "bridge": "none"} into /etc/docker/daemon.json'),
    ("cgroup", "control groups are not mounted: `apt-get install cgroupfs-mount && cgroupfs-mount`"),
    ("no space left", "the disk is full"),
    ("permission denied", "this root user may not do what dockerd needs: it lacks capabilities, as in a container"),
    (
        "operation not permitted",
        "this root user may not do what dockerd needs: it lacks capabilities, as in a container",
    ),
)


class Dockerd:
    """A ``dockerd`` that was started here, and outlives us.

    Args:
        pid: its process.
        log_start: where its own words begin in the log.
        log_pid: the process that writes the log.
    """

    def __init__(self, pid: int, log_start: int, log_pid: int) -> None:
        self.pid = pid
        self._log_start = log_start
        self._log_pid = log_pid
        self._status: int | None = None

    def __repr__(self) -> str:
        return f"<Dockerd {self.pid} [{'running' if self.runs() else 'dead'}]>"

    def runs(self) -> bool:
        """Return True when it is alive."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                return find_process("dockerd") == self.pid
            if pid:
                self._status = status
        return self._status is None

    async def failure(self, what: str) -> SetupFailed:
        """Return an error with its last words, and what to do about them."""
        if not self.runs():
            with anyio.move_on_after(_LOG_SECONDS):  # its last words are on their way to the log
                while _command(self._log_pid):  # noqa: ASYNC110 - another process's end is no event of ours
                    await anyio.sleep(_INTERVAL)
        data = await anyio.Path(LOG).read_bytes()
        text = data[self._log_start if self._log_start <= len(data) else 0 :].decode("utf-8", "replace")
        lines = text.strip().splitlines()
        last = "\n".join(lines[-_LOG_LINES:])
        ended = lines[-1].lower() if lines else ""
        remedy = next((remedy for words, remedy in _REMEDIES if words in ended), "")
        return SetupFailed(f"dockerd {what}:\n{last}", hint=remedy or f"its log is {LOG}")


def find_process(name: str) -> int | None:
    """Return the oldest process of that name in our PID namespace: those of containers do not count."""
    ours = Path("/proc/self/ns/pid").readlink()
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        if _command(pid) != name:
            continue
        try:
            if Path(f"/proc/{pid}/ns/pid").readlink() == ours:
                return pid
        except OSError:  # it went away, or is somebody else's and we are not root
            continue
    return None


def _command(pid: int) -> str:
    """Return the name of a process that is not a zombie; empty when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    name, _, rest = text.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] in "ZX" else name


def remove_leftovers() -> list[str]:
    """Remove what a dead engine left that keeps a new one from starting; call it when no ``dockerd`` runs.

    dockerd refuses to start when its PID file names any living process, also one that got the number later; and it
    waits in vain for a containerd whose socket, or PID file, is there although nothing listens (Docker 20.10).

    Returns:
        What was removed.
    """
    removed: list[str] = []
    for path, name in _PID_FILES.items():
        try:
            text = path.read_text()
        except OSError:
            continue
        if not text.strip().isdigit() or _command(int(text)) != name:
            path.unlink(missing_ok=True)
            removed.append(str(path))
    for path in _CONTAINERD_SOCKETS:
        if _probe(path) == errno.ECONNREFUSED:
            path.unlink(missing_ok=True)
            removed.append(str(path))
    return removed


def is_listening() -> bool:
    """Return True when a process accepts connections at the engine's usual socket, even if it never answers."""
    return _probe(Path("/var/run/docker.sock")) == 0


def _probe(path: Path) -> int:
    """Return the error number of connecting to a socket; 0 when it is accepted."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)  # a full backlog would block
        try:
            probe.connect(str(path))
        except TimeoutError:
            return 0
        except OSError as error:
            return error.errno or errno.EIO
    return 0


def start_dockerd() -> Dockerd:
    """Start ``dockerd`` in a session of its own, its words going to :data:`LOG`, which is kept within bounds.

    Raises:
        SetupFailed: it is not installed, or the log cannot be written.
    """
    program, env = shutil.which("dockerd"), shutil.which("env")
    if program is None or env is None:
        raise SetupFailed(
            "dockerd is not installed", hint="install the package docker.io, or run `interpreter-tools setup`"
        )
    try:
        with LOG.open("ab") as log:
            start = log.tell()
    except OSError as error:
        raise SetupFailed(
            f"{LOG} cannot be written: {error.strerror}", hint="run this as root, or start dockerd by hand"
        ) from error
    keeper = Path(__file__).with_name("log.py")
    words, into = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        log_pid = _spawn([sys.executable, "-I", "-S", str(keeper), str(LOG), str(_LOG_LIMIT)], stdin=words, output=null)
        pid = _spawn([env, "--chdir=/", program], stdin=null, output=into)  # env(1) is there to leave our directory
    finally:
        for descriptor in (words, into, null):
            os.close(descriptor)
    return Dockerd(pid, start, log_pid)


def _spawn(command: list[str], *, stdin: int, output: int) -> int:
    """Start a program that outlives us and return its process id.

    Not by subprocess: its objects want to be waited for.
    """
    return os.posix_spawn(
        command[0],
        command,
        dict(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM),
    )


async def settle() -> None:
    """Wait, a little, for a containerd that is dying with the ``dockerd`` it belonged to.

    A new ``dockerd`` would take it for one that it can use, and wait for it in vain. One that lives on is used.
    """
    if find_process("containerd") is None:
        return
    with anyio.move_on_after(_SETTLE_SECONDS):
        await anyio.sleep(_DYING_SECONDS)  # until then it may still accept connections
        while find_process("containerd") is not None and not _is_answering_containerd():  # noqa: ASYNC110 - as below
            await anyio.sleep(_INTERVAL)


def _is_answering_containerd() -> bool:
    sockets = (_CONTAINERD_SOCKETS[0], Path("/run/docker/containerd/containerd.sock"))
    return any(_probe(path) == 0 for path in sockets)


async def stop_dockerd(pid: int) -> None:
    """End a ``dockerd`` that does not answer: politely, then not.

    Raises:
        SetupFailed: it cannot be ended, or is in the kernel's hands.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # one that is stopped would not hear the first
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise SetupFailed(f"dockerd (process {pid}) cannot be ended: {error.strerror}") from error
        with anyio.move_on_after(_TERMINATION_SECONDS):
            while _command(pid) == "dockerd":  # noqa: ASYNC110 - another process's end is no event of ours
                await anyio.sleep(_INTERVAL)
            return
    raise SetupFailed(f"dockerd (process {pid}) does not end, not even when killed", hint="restart this machine")
