# pyright: basic
"""Starts the processes of commands; finds and signals those that run."""

import errno
import fcntl
import os
import re
import signal
import struct
import termios

from interpreter_tools._commands.server_program.files import FILE_ACTIONS
from interpreter_tools._commands.server_program.output import write_all

RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
MOST_ARGUMENT = 1 << 17  # bytes of one argument with its end: MAX_ARG_STRLEN of Linux
SHELL_SCRIPT = re.compile(r"(?:\S*/)?(?:ba|da|a|z|k)?sh -[a-zA-Z]*c")
MOST_DESCRIPTORS = 4096


def send_signal(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # the process is gone, or belongs to another user now
        return False
    return True


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


def open_pipes(kept, given, has_input):
    """Open the pipes of a command: our ends and its own, for its input, output and errors."""
    reading, writing = os.pipe() if has_input else (os.open(os.devnull, os.O_RDONLY), -1)
    kept.append(writing)
    given.append(reading)
    for _ in range(2):
        reading, writing = os.pipe()
        kept.append(reading)
        given.append(writing)


def close_all(descriptors):
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def set_size(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def spawn(request, descriptors, terminal=None):
    """Start a program without fork(2), which would copy the page tables of this interpreter for three milliseconds.

    With a terminal, the program gets it as its own: it is the first one that the leader of a new session opens.
    """
    command, environment = request["command"], {**os.environ, **request["environment"]}
    os.chdir(request["cwd"])
    program = find(command[0], environment.get("PATH", os.defpath))
    script = take_script(command)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(descriptors)]
        if terminal is not None:
            actions = [(os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, 0, target) for target in (1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, descriptor, 3) for descriptor in script]
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
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # one that comes early must find its handler
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in RESET:
            signal.signal(number, signal.SIG_DFL)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.closerange(3, MOST_DESCRIPTORS)  # the ends of other commands' pipes, which are not its own to hold open
        FILE_ACTIONS[request.pop("do")](**request)
        os._exit(0)
    except OSError as error:
        os.write(2, b"%d" % error.errno)
        os._exit(127)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)
