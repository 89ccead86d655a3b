# pyright: basic
"""The command server: it runs commands side by side in a sandbox, for ``link.py``.

The server is one long run of a session, in the image's own Python (3.8 or newer), as the session's user. Frames come on
standard input and leave on standard output: kind (one byte), the command's number and the payload's length (32 bits
each, big endian), payload; those that leave end with a newline, so that no byte waits to become a character.

In: ``i`` a piece of a command's standard input, ``r`` start it (JSON), ``k`` kill it, ``l`` leave once no command runs
any more. Out: ``o`` and ``e`` its output, ``x`` its end (JSON).

A command leads a session of its own. Killing it ends that session's processes. A process that made a session of its own
is detached and goes on, as it does when the command ends. A command ends with its own exit, even while another process
holds its output.
"""

import sys

if __name__ == "__main__":
    del sys.path[0]  # the workspace, where commands may have put a json.py

import errno
import json
import os
import re
import select
import signal
import stat
import struct

HEAD = struct.Struct(">cII")
PIECE = 1 << 16
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
MOST_ARGUMENT = 1 << 17  # bytes of one argument with its end: MAX_ARG_STRLEN of Linux
SHELL_SCRIPT = re.compile(r"(?:\S*/)?(?:ba|da|a|z|k)?sh -[a-zA-Z]*c")
LEFT = 1 << 20  # bytes taken at most from a pipe whose command has ended: as much as a pipe can hold


class Command:
    """A command that runs, or that left pipes open."""

    def __init__(self, number, pid, pipes):
        self.number = number
        self.pid = pid
        self.pipes = pipes  # kinds by descriptor
        self.running = True


class Server:
    """The loop that serves all commands."""

    def __init__(self):
        self.poll = select.poll()
        self.buffer = bytearray()
        self.inputs = {}
        self.commands = {}
        self.by_pipe = {}
        self.leaving = False
        self.wakeup, waker = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(waker, False)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # a handler, and not "ignore", which programs would inherit
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.poll.register(0, select.POLLIN)
        self.poll.register(self.wakeup, select.POLLIN)

    def serve(self):
        while not (self.leaving and not self.commands and next(processes(), None) is None):
            for descriptor, _ in self.poll.poll():
                if descriptor == 0:
                    data = os.read(0, PIECE)
                    if not data:
                        return
                    self.buffer += data
                    self.take_frames()
                elif descriptor == self.wakeup:
                    os.read(self.wakeup, PIECE)
                    self.reap()
                elif descriptor in self.by_pipe:
                    self.copy(descriptor)

    def take_frames(self):
        start = 0
        while len(self.buffer) - start >= HEAD.size:
            kind, number, length = HEAD.unpack_from(self.buffer, start)
            end = start + HEAD.size + length
            if len(self.buffer) < end:
                break
            payload = bytes(self.buffer[start + HEAD.size : end])
            start = end
            if kind == b"i":
                if number not in self.inputs:
                    self.inputs[number] = os.memfd_create("stdin")
                write_all(self.inputs[number], payload)
            elif kind == b"r":
                self.start(number, json.loads(payload))
            elif kind == b"k":
                self.kill(number)
            else:
                self.leaving = True
        del self.buffer[:start]

    def start(self, number, request):
        given = self.inputs.pop(number, -1)
        ours, theirs = [], [given] if given >= 0 else []
        try:
            if given < 0:
                theirs.append(os.open("/dev/null", os.O_RDONLY))
            else:
                os.lseek(given, 0, os.SEEK_SET)
            for _ in range(1 if request.get("merge") else 2):
                reading, writing = os.pipe()
                ours.append(reading)
                theirs.append(writing)
            begin = spawn if "command" in request else fork
            pid = begin(request, (theirs[0], theirs[1], theirs[-1]))
        except (OSError, ValueError) as error:
            for descriptor in ours:
                os.close(descriptor)
            tell_end(number, 127, 0, getattr(error, "errno", errno.EINVAL), getattr(error, "filename", None) or "")
        else:
            command = self.commands[number] = Command(number, pid, dict(zip(ours, (b"o", b"e"))))
            for descriptor in ours:
                os.set_blocking(descriptor, False)
                self.by_pipe[descriptor] = command
                self.poll.register(descriptor, select.POLLIN)
        for descriptor in theirs:
            os.close(descriptor)

    def copy(self, descriptor):
        """Read a piece of output and return its size; drop the output of a command that has ended."""
        command = self.by_pipe[descriptor]
        try:
            data = os.read(descriptor, PIECE)
        except BlockingIOError:
            return 0
        if not data:
            self.poll.unregister(descriptor)
            del self.by_pipe[descriptor]
            os.close(descriptor)
        elif command.running:
            send(command.pipes[descriptor], command.number, data)
        return len(data)

    def reap(self):
        by_pid = {command.pid: command for command in self.commands.values()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in by_pid:
                self.end(by_pid[pid], status)

    def end(self, command, status):
        for descriptor in command.pipes:
            left = LEFT
            while left > 0 and self.by_pipe.get(descriptor) is command:
                taken = self.copy(descriptor)
                if not taken:
                    break
                left -= taken
        command.running = False
        del self.commands[command.number]
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        tell_end(command.number, 128 + signalled if signalled else os.WEXITSTATUS(status), signalled)

    def kill(self, number):
        given = self.inputs.pop(number, None)
        if given is not None:
            os.close(given)
        command = self.commands.get(number)
        if command is None:  # not started yet: a part of its input has not come
            tell_end(number, 128 + signal.SIGKILL, signal.SIGKILL)
            return
        send_signal(-command.pid)  # for a program that keeps forking: its whole group dies at once, the rest soon
        for _ in range(100):
            found = [pid for pid, session in processes() if session == command.pid]
            if not found:
                return
            for pid in found:
                send_signal(pid)


def send_signal(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # the process is gone, or belongs to another user now
        pass


def processes():
    """Yield the live processes of the session's user, with the session that each belongs to."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                if os.stat(f"/proc/{name}").st_uid not in (os.getuid(), 0):
                    continue
                with open(f"/proc/{name}/status", "rb") as file:
                    lines = dict(line.split(b":", 1) for line in file if b":" in line)
                if int(lines[b"Uid"].split()[0]) != os.getuid() or lines[b"State"].split()[0] in (b"Z", b"X"):
                    continue
                yield int(name), os.getsid(int(name))
            except OSError:
                continue


def send(kind, number, payload):
    write_all(1, HEAD.pack(kind, number, len(payload)) + payload + b"\n")


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def tell_end(number, code, signalled, failure=0, subject=""):
    end = {"code": code, "signal": signalled, "errno": failure, "file": subject}
    send(b"x", number, json.dumps(end).encode())


def spawn(request, descriptors):
    """Start a program without fork(2), which would copy the page tables of this interpreter for three milliseconds."""
    command, environment = request["command"], {**os.environ, **request["environment"]}
    os.chdir(request["cwd"])
    program = find(command[0], environment.get("PATH", os.defpath))
    script = take_script(command)
    try:
        given = (*descriptors, *script)
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(given)]
        return os.posix_spawn(program, command, environment, file_actions=actions, setsid=True, setsigdef=RESET)
    finally:
        for descriptor in script:
            os.close(descriptor)


def take_script(command):
    """Turn a script for ``sh -c`` that is longer than an argument can be into a file; return its descriptor, if any."""
    if len(command) < 3 or not SHELL_SCRIPT.fullmatch(" ".join(command[:2])):
        return []
    script = command[2].encode("utf-8", "surrogateescape")
    if len(script) < MOST_ARGUMENT:
        return []
    descriptor = os.memfd_create("script")
    write_all(descriptor, script)
    command[2] = ". /proc/self/fd/3"
    return [descriptor]


def find(program, path):
    """Return the file that a shell would start."""
    if "/" in program:
        return program
    failure = errno.ENOENT
    for directory in path.split(":"):
        file = os.path.join(directory or ".", program)
        if os.path.isfile(file):
            if os.access(file, os.X_OK):
                return file
            failure = errno.EACCES
    raise OSError(failure, "", program)


def fork(request, descriptors):
    """Start a file operation in a process of its own, which may wait, fail and be killed as any other."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in RESET:
            signal.signal(number, signal.SIG_DFL)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        FILE_ACTIONS[request.pop("do")](**request)
        os._exit(0)
    except OSError as error:
        os.write(2, b"%d" % error.errno)
        os._exit(127)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)


# -- what is done to files


def read(path, limit):
    descriptor = open_regular(path, os.O_RDONLY)
    if os.fstat(descriptor).st_size > limit:
        raise OSError(errno.EFBIG, "")
    while True:
        data = os.read(descriptor, PIECE)
        limit -= len(data)
        if limit < 0:
            raise OSError(errno.EFBIG, "")
        if not data:
            return
        write_all(1, data)


def write(path):
    try:
        descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(descriptor, 0)
    while True:
        data = os.read(0, 1 << 20)
        if not data:
            return
        write_all(descriptor, data)


def open_regular(path, flags):
    """Open a regular file; never a pipe or a terminal, which could block."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o644)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "")
    return descriptor


def describe(path):
    found = os.stat(path)
    answer([stat.S_ISDIR(found.st_mode), found.st_size if stat.S_ISREG(found.st_mode) else None])


def list_directory(path):
    entries = []
    with os.scandir(path) as found:
        for entry in found:
            try:
                size = entry.stat().st_size if entry.is_file() else None
                entries.append([entry.name, entry.is_dir(), size])
            except OSError:  # a loop of links, or gone meanwhile
                entries.append([entry.name, False, None])
    answer(sorted(entries))


def make_directory(path):
    os.makedirs(path, exist_ok=True)


def remove(path, keep):
    target = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if os.path.commonpath([target, keep]) == target:
        raise OSError(errno.EBUSY, "")
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    else:
        os.execvp("rm", ["rm", "-rf", "--", path])


def real_path(path):
    answer(os.path.realpath(path))


def answer(value):
    write_all(1, json.dumps(value).encode())


FILE_ACTIONS = {
    "read": read,
    "write": write,
    "describe": describe,
    "list": list_directory,
    "make_directory": make_directory,
    "remove": remove,
    "real_path": real_path,
}


def stand_apart():
    """Keep commands of the same user away from this process's descriptors and memory; adopt their orphans."""
    import ctypes

    libc = ctypes.CDLL(None)
    if libc.prctl(4, 0, 0, 0, 0) or libc.prctl(36, 1, 0, 0, 0):  # PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER
        sys.exit("prctl failed")


if __name__ == "__main__":
    os.unlink(__file__)
    stand_apart()
    Server().serve()
