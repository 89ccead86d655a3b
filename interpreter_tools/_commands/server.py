# pyright: basic
"""The command server: it runs commands side by side in a sandbox, for ``link.py`` and ``process_link.py``.

The server is one long run of a session, or a program beside its runs, in the image's own Python (3.8 or newer), as the
session's user. Frames come on standard input and leave on standard output: kind (one byte), the command's number and
the payload's length (32 bits each, big endian), payload; those that leave end with a newline, so that no byte waits to
become a character.

In: ``i`` a piece of a command's standard input, ``r`` start it (JSON), ``k`` kill it, ``l`` leave once no command runs
any more. Out: ``o`` and ``e`` its output, ``x`` its end (JSON).

A command that is started with ``live`` is talked with while it runs. In: ``i`` more of its input, ``c`` the end of its
input, ``t`` how many bytes of its output were taken (32 bits), ``g`` a signal (32 bits), ``z`` the rows and columns of
its terminal (16 bits each). Out: ``s`` its process id (JSON), ``a`` how many bytes of its input it was given (32 bits).
At most ``WINDOW`` bytes of its output are on their way: a reader that is slow stops this command only.

A command leads a session of its own. Killing it ends that session's processes. A process that made a session of its own
is detached and goes on, as it does when the command ends. A command ends with its own exit, even while another process
holds its output.
"""

import sys

if __name__ == "__main__" and not sys.flags.isolated:
    del sys.path[0]  # the workspace, where commands may have put a json.py

import errno
import fcntl
import json
import os
import re
import select
import signal
import stat
import struct
import termios

HEAD = struct.Struct(">cII")
COUNT = struct.Struct(">I")
SIZE = struct.Struct(">HH")
WINDOW = 1 << 20  # bytes of a live command's output on their way
PIECE = 1 << 16
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
MOST_ARGUMENT = 1 << 17  # bytes of one argument with its end: MAX_ARG_STRLEN of Linux
SHELL_SCRIPT = re.compile(r"(?:\S*/)?(?:ba|da|a|z|k)?sh -[a-zA-Z]*c")
MOST_DESCRIPTORS = 4096
LEFT = 1 << 20  # bytes taken at most from a pipe whose command has ended: as much as a pipe can hold


class Command:
    """A command that runs, or that left pipes open."""

    def __init__(self, number, pid, pipes, live=False):
        self.number = number
        self.pid = pid
        self.pipes = pipes  # kinds by descriptor
        self.running = True
        self.live = live
        self.on_way = 0  # bytes of output that nobody has taken yet
        self.input = -1  # the descriptor of a live command's standard input
        self.waiting = bytearray()  # input that its program has not read yet
        self.input_ends = False
        self.terminal = -1


class Server:
    """The loop that serves all commands."""

    def __init__(self):
        self.poll = select.poll()
        self.buffer = bytearray()
        self.inputs = {}
        self.commands = {}
        self.by_pipe = {}
        self.by_input = {}
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
            for descriptor, events in self.poll.poll():
                if descriptor == 0:
                    data = os.read(0, PIECE)
                    if not data:
                        return
                    self.buffer += data
                    self.take_frames()
                elif descriptor == self.wakeup:
                    os.read(self.wakeup, PIECE)
                    self.reap()
                else:
                    if descriptor in self.by_pipe and events & ~select.POLLOUT:
                        self.copy(descriptor)
                    if descriptor in self.by_input and events & ~select.POLLIN:
                        self.feed(self.by_input[descriptor])

    def take_frames(self):
        start = 0
        while len(self.buffer) - start >= HEAD.size:
            kind, number, length = HEAD.unpack_from(self.buffer, start)
            end = start + HEAD.size + length
            if len(self.buffer) < end:
                break
            payload = bytes(self.buffer[start + HEAD.size : end])
            start = end
            command = self.commands.get(number)
            if command is not None and command.live:
                self.talk(command, kind, payload)
            elif kind == b"i":
                if number not in self.inputs:
                    self.inputs[number] = os.memfd_create("stdin")
                write_all(self.inputs[number], payload)
            elif kind == b"r":
                self.start(number, json.loads(payload))
            elif kind == b"k":
                self.kill(number)
            elif kind == b"l":
                self.leaving = True
        del self.buffer[:start]

    def talk(self, command, kind, payload):
        """Do what is asked of a live command."""
        if kind == b"i":
            command.waiting += payload
            self.feed(command)
        elif kind == b"c":
            command.input_ends = True
            self.feed(command)
        elif kind == b"t":
            command.on_way -= COUNT.unpack(payload)[0]
            self.watch(command)
        elif kind == b"g":
            if not send_signal(-command.pid, COUNT.unpack(payload)[0]):
                send_signal(command.pid, COUNT.unpack(payload)[0])  # its group is not there yet
        elif kind == b"z" and command.terminal >= 0:
            set_size(command.terminal, *SIZE.unpack(payload))
        elif kind == b"k":
            self.kill(command.number)

    def feed(self, command):
        """Write as much of a live command's input as it reads now; say how much that was."""
        given = 0
        try:
            while command.waiting and command.input >= 0:
                count = os.write(command.input, command.waiting[:PIECE])
                del command.waiting[:count]
                given += count
        except BlockingIOError:
            pass
        except OSError:  # the program reads no more
            self.end_input(command)
        if command.input < 0:
            given += len(command.waiting)
            command.waiting.clear()
        elif command.input_ends and not command.waiting:
            self.end_input(command)
        self.watch(command)
        if given:
            send(b"a", command.number, COUNT.pack(given))

    def end_input(self, command):
        """Close the input of a live command; that of a terminal stays, as its output comes from there, too."""
        if command.input >= 0 and command.terminal < 0:
            self.ignore(command.input)
            del self.by_input[command.input]
            os.close(command.input)
            command.input = -1

    def watch(self, command):
        """Wait for what can be done for a live command: read its output, write its input."""
        reads = select.POLLIN if command.on_way < WINDOW or not command.running else 0
        for descriptor in {*command.pipes, command.input}:
            is_output = self.by_pipe.get(descriptor) is command
            if not is_output and (descriptor < 0 or descriptor != command.input):
                continue  # it is closed, and its number perhaps another's
            wanted = reads if is_output else 0
            if descriptor == command.input and command.waiting:
                wanted |= select.POLLOUT
            if wanted:
                self.poll.register(descriptor, wanted)
            else:
                self.ignore(descriptor)  # and not "no event", which a closed pipe reports for ever

    def ignore(self, descriptor):
        try:
            self.poll.unregister(descriptor)
        except KeyError:
            pass

    def start_live(self, number, request):
        """Start a command that is talked with while it runs."""
        size, has_input = request.pop("terminal", None), request.pop("stdin", False)
        del request["live"]
        kept, given = [], []
        try:
            if size:
                kept, given = map(list, zip(os.openpty()))
                set_size(kept[0], *size)
                pid = spawn(request, (), terminal=os.ttyname(given[0]))
            else:
                open_pipes(kept, given, has_input)
                pid = (spawn if "command" in request else fork)(request, tuple(given))
        except (OSError, ValueError) as error:
            close_all(kept)
            tell_end(number, 127, 0, getattr(error, "errno", errno.EINVAL), getattr(error, "filename", None) or "")
        else:
            self.follow(number, pid, kept, is_terminal=bool(size))
        close_all(given)

    def follow(self, number, pid, kept, is_terminal):
        """Talk with a command that has started."""
        outputs = {kept[0]: b"o"} if is_terminal else {kept[1]: b"o", kept[2]: b"e"}
        command = self.commands[number] = Command(number, pid, outputs, live=True)
        command.terminal = kept[0] if is_terminal else -1
        for descriptor in outputs:
            self.by_pipe[descriptor] = command
        if kept[0] >= 0:
            command.input = kept[0]
            self.by_input[command.input] = command
        for descriptor in kept:
            if descriptor >= 0:
                os.set_blocking(descriptor, False)
        send(b"s", number, json.dumps({"pid": pid}).encode())
        self.watch(command)

    def start(self, number, request):
        if request.get("live"):
            self.start_live(number, request)
            return
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
        except OSError:  # a terminal that no process has open any more
            data = b""
        if not data:
            self.close_output(command, descriptor)
        elif command.running:
            send(command.pipes[descriptor], command.number, data)
            if command.live:
                command.on_way += len(data)
                if command.on_way >= WINDOW:
                    self.watch(command)
        return len(data)

    def close_output(self, command, descriptor):
        self.ignore(descriptor)
        del self.by_pipe[descriptor]
        if descriptor == command.terminal:
            del self.by_input[descriptor]
            command.input = command.terminal = -1
        os.close(descriptor)

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
        if command.live:
            if command.terminal >= 0:
                self.close_output(command, command.terminal)  # who still has it open is told by a hangup
            self.end_input(command)
            self.watch(command)
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


def send(kind, number, payload):
    write_all(1, HEAD.pack(kind, number, len(payload)) + payload + b"\n")


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def tell_end(number, code, signalled, failure=0, subject=""):
    end = {"code": code, "signal": signalled, "errno": failure, "file": subject}
    send(b"x", number, json.dumps(end).encode())


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


def receive(path):
    """Write a file from standard input, in place; leave no part of it when that fails or is ended by SIGTERM."""
    ours = not os.path.lexists(path)  # it is to be removed again, as soon as it is there

    def give_up(*_):
        if ours:
            try:
                os.unlink(path)
            except OSError:  # it has not been made yet
                pass
        os._exit(1)

    signal.signal(signal.SIGTERM, give_up)
    try:
        descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT)
    try:
        ours = True
        os.ftruncate(descriptor, 0)
        while True:
            data = os.read(0, 1 << 20)
            if not data:
                break
            write_all(descriptor, data)
    except OSError:
        os.unlink(path)
        raise
    answer(to_entry(path))


def entry(path):
    answer(to_entry(path))


def entries(path, depth):
    """Tell the entries below a directory, as deep as that; links are told and not followed."""
    with os.scandir(path):  # a path that cannot be listed is an error, one below it is left out
        pass
    found = []

    def add(directory, left):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            return
        for name in names:
            inner = os.path.join(directory, name)
            try:
                found.append(to_entry(inner))
            except OSError:  # gone meanwhile
                continue
            if left > 1 and found[-1]["type"] == "directory" and found[-1]["target"] is None:
                add(inner, left - 1)

    add(path, depth)
    answer(found)


def to_entry(path):
    """Return what is known of a file: of a link its own facts, with the type of what it leads to."""
    found = os.lstat(path)
    mode, target = found.st_mode, None
    if stat.S_ISLNK(mode):
        target = os.path.realpath(path)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = 0
    return {
        "path": path,
        "type": "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other",
        "size": found.st_size,
        "mode": stat.S_IMODE(found.st_mode) & 0o777,
        "permissions": stat.filemode(found.st_mode),
        "owner": name_of("/etc/passwd", found.st_uid),
        "group": name_of("/etc/group", found.st_gid),
        "modified_ns": found.st_mtime_ns,
        "target": target,
        "identity": [found.st_dev, found.st_ino],
    }


NAMES = {}


def name_of(file, number):
    """Return the name of a user or a group; its number where it has none."""
    names = NAMES.get(file)
    if names is None:
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                parts = [line.rstrip().split(":") for line in lines]
        except OSError:
            parts = []
        names = NAMES[file] = {part[2]: part[0] for part in reversed(parts) if len(part) > 2}
    return names.get(str(number), str(number))


def make(path):
    """Make a directory and its parents; one that is there is refused."""
    if os.path.isdir(path):
        raise OSError(errno.EEXIST, "")
    os.makedirs(path, exist_ok=True)
    answer(to_entry(path))


def move(path, target):
    """Rename a file or a directory; missing directories of the new path are made."""
    os.lstat(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import shutil

        shutil.move(path, target)
    answer(to_entry(target))


EVENTS = (
    (0x100, "create"),  # IN_CREATE
    (0x80, "create"),  # IN_MOVED_TO
    (0x2, "write"),  # IN_MODIFY
    (0x200, "remove"),  # IN_DELETE
    (0x400, "remove"),  # IN_DELETE_SELF
    (0x40, "rename"),  # IN_MOVED_FROM
    (0x800, "rename"),  # IN_MOVE_SELF
    (0x4, "chmod"),  # IN_ATTRIB
)
IN_IGNORED, IN_ISDIR, IN_ONLYDIR = 0x8000, 0x40000000, 0x1000000
NEW = 0x180  # IN_CREATE, IN_MOVED_TO


class Observer:
    """The events of a directory, by inotify; and of those below it, where that is asked for."""

    def __init__(self, recursive):
        import ctypes

        self.recursive = recursive
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.errno = ctypes.get_errno
        self.descriptor = self.libc.inotify_init1(os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(self.errno(), "")
        self.watched = {}  # directories by number, and their paths relative to the first one

    def add(self, directory, prefix):
        mask = IN_ONLYDIR | sum(bit for bit, _ in EVENTS)
        number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(directory), mask)
        if number < 0:
            raise OSError(self.errno(), "")
        self.watched[number] = (directory, prefix)
        inner = []
        if self.recursive:
            with os.scandir(directory) as found:
                inner = [one.name for one in found if one.is_dir(follow_symlinks=False)]
        for name in inner:
            try:
                self.add(os.path.join(directory, name), os.path.join(prefix, name))
            except OSError:  # gone meanwhile
                continue

    def catch_up(self, directory, prefix):
        """Tell what was made in a new directory before it was watched."""
        for name in sorted(os.listdir(directory)):
            place, shown = os.path.join(directory, name), os.path.join(prefix, name)
            tell("create", shown, place)
            if os.path.isdir(place) and not os.path.islink(place):
                self.catch_up(place, shown)

    def take(self, number, bits, name):
        """Tell one event."""
        if bits & IN_IGNORED:
            self.watched.pop(number, None)
            return
        directory, prefix = self.watched.get(number, ("", ""))
        if not directory or (not name and prefix):
            return  # the directory above tells it
        place, shown = (os.path.join(directory, name), os.path.join(prefix, name)) if name else (directory, "")
        for bit, kind in EVENTS:
            if bits & bit:
                tell(kind, shown, place)
        if self.recursive and bits & IN_ISDIR and bits & NEW:
            try:
                self.add(place, shown)
                self.catch_up(place, shown)
            except OSError:  # gone meanwhile
                return


def observe(path, recursive):
    """Tell what happens in a directory, one line of JSON for each event, until somebody ends it."""
    observer = Observer(recursive)
    observer.add(path, "")
    answer({"name": "", "kind": "watching", "entry": None})
    while True:
        data, start = os.read(observer.descriptor, PIECE), 0
        while start < len(data):
            number, bits, _, length = struct.unpack_from("iIII", data, start)
            name = os.fsdecode(data[start + 16 : start + 16 + length].rstrip(b"\0"))
            start += 16 + length
            observer.take(number, bits, name)


def tell(kind, name, place):
    try:
        found = None if kind in {"remove", "rename"} else to_entry(place)
    except OSError:
        found = None
    answer({"name": name, "kind": kind, "entry": found})


def answer(value):
    write_all(1, json.dumps(value).encode() + b"\n")


FILE_ACTIONS = {
    "read": read,
    "write": write,
    "describe": describe,
    "list": list_directory,
    "make_directory": make_directory,
    "remove": remove,
    "real_path": real_path,
    "receive": receive,
    "entry": entry,
    "entries": entries,
    "make": make,
    "move": move,
    "observe": observe,
}


def stand_apart():
    """Keep commands of the same user away from this process's descriptors and memory; adopt their orphans."""
    import ctypes

    libc = ctypes.CDLL(None)
    if libc.prctl(4, 0, 0, 0, 0) or libc.prctl(36, 1, 0, 0, 0):  # PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER
        sys.exit("prctl failed")


if __name__ == "__main__":
    if not sys.flags.isolated:
        os.unlink(__file__)
    stand_apart()
    Server().serve()
