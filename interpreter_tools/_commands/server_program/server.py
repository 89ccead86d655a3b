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

import errno
import json
import os
import select
import signal
import struct
import sys

from interpreter_tools._commands.server_program.output import write_all
from interpreter_tools._commands.server_program.spawning import (
    close_all,
    fork,
    open_pipes,
    processes,
    send_signal,
    set_size,
    spawn,
)

HEAD = struct.Struct(">cII")
COUNT = struct.Struct(">I")
SIZE = struct.Struct(">HH")
WINDOW = 1 << 20  # bytes of a live command's output on their way
PIECE = 1 << 16
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
        self.cpu_time = 0.0  # seconds of children that have ended, and that were not told yet
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
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.cpu_time += used.ru_utime + used.ru_stime
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
        code = 128 + signalled if signalled else os.WEXITSTATUS(status)
        tell_end(command.number, code, signalled, cpu_time=self.cpu_time)
        self.cpu_time = 0.0

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


def send(kind, number, payload):
    write_all(1, HEAD.pack(kind, number, len(payload)) + payload + b"\n")


def tell_end(number, code, signalled, failure=0, subject="", *, cpu_time=0.0):
    end = {"code": code, "signal": signalled, "errno": failure, "file": subject, "cpu_time": cpu_time}
    send(b"x", number, json.dumps(end).encode())


def stand_apart():
    """Keep commands of the same user away from this process's descriptors and memory; adopt their orphans."""
    import ctypes

    libc = ctypes.CDLL(None)
    if libc.prctl(4, 0, 0, 0, 0) or libc.prctl(36, 1, 0, 0, 0):  # PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER
        sys.exit("prctl failed")


def main():
    """Serve commands until the client has gone."""
    stand_apart()
    Server().serve()
