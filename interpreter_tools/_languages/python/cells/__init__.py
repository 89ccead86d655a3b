# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""The cell runner of Python: one process, which runs the cells of a context one after another in IPython's shell.

All cells run on one event loop, which goes on between them. An interrupt (SIGINT) raises ``KeyboardInterrupt`` in a
cell that computes, and cancels one that awaits; between cells it does nothing. Python looks for signals between
bytecodes and when a system call was interrupted. It would sleep over one that comes after the look and before the call.
So SIGURG follows, until Python has looked.
"""

import _signal
import _socket
import asyncio
import builtins
import contextvars
import functools
import getpass
import importlib
import os
import resource
import signal
import sys
import threading
import time
import traceback

from interpreter_tools_cells import parking
from interpreter_tools_cells.files import Changes
from interpreter_tools_cells.shell import adopt, flush, make_shell
from interpreter_tools_cells.snapshot import CannotHold, Snapshot, may_map
from interpreter_tools_cells.wire import Wire

shell = make_shell()
"""Made when this module is imported, which may be ahead of need."""


def main():
    """Run cells until the client goes away."""
    Runner(shell).serve()


_BACKEND = "interpreter_tools_display.backend"  # of matplotlib
_SHORT = 16_384  # characters of a value that is told with the end of its cell


class Runner:
    """Runs the cells that the client tells."""

    def __init__(self, shell, wire=None, root="/workspace"):
        self.shell = shell
        self.wire = wire or Wire()
        shell.tell_value = self._tell_value
        self.pid = os.getpid()
        self.changes = Changes(root)
        self.loop = asyncio.new_event_loop()
        self.cell = None  # the number of the cell that runs
        self.task = None  # its task
        self.text = None  # its value, where that is no more than a text; it is told with the end
        self.in_code = False  # between the first and the last of its bytecodes
        self.expects = False  # it was told to begin: an interrupt is meant for it
        self.interrupted = False
        self.held_back = False
        self.takes_input = False
        self.context = contextvars.copy_context()
        self.news = None
        self.serving = None
        self.snapshot = None  # the files at the last checkpoint
        self.parks = False  # a fork is a checkpoint, and no process of a cell

    # -- life

    def serve(self):
        """Serve until the connection ends."""
        self._become_main()
        asyncio.set_event_loop(self.loop)
        self._allow_nested_run()
        os.register_at_fork(after_in_child=self._after_fork)
        signal.signal(signal.SIGINT, self._on_interrupt)
        builtins.input, getpass.getpass = self._input, self._getpass
        self.shell.display_pub.on_clear = self._clear
        sys.stdin = Input(self)
        self.loop.add_reader(self.wire.descriptor, self._readable)
        for name in filter(None, os.environ.pop("INTERPRETER_TOOLS_PRELOAD", "").split()):
            __import__(name)
        self.wire.say(
            {
                "event": "ready",
                "language": "python",
                "features": ["complete", "inspect", "input", "is_complete", "checkpoint"],
            }
        )
        serving = self.serving = self.loop.create_task(self._serve())
        asyncio._unregister_task(serving)  # a cell may cancel all tasks that it finds
        while not serving.done():
            try:
                self.loop.run_until_complete(serving)
            except (KeyboardInterrupt, SystemExit):  # out of a background task, or a callback
                if self.task is not None and not self.task.done() and self.interrupted:
                    self.task.cancel()
            except RuntimeError as error:
                if self.loop.is_closed():
                    break
                if not str(error).startswith("Event loop stopped"):  # as a cell may ask
                    raise
            finally:
                self._leave_if_child()
        if self.loop.is_closed():
            sys.stderr.write("the cell has closed the event loop of its context\n")
        flush()
        os._exit(1)

    def _become_main(self):
        """Have the cells' names in a fresh ``__main__``, as a script has them."""
        sys.argv[:] = [""]
        adopt(self.shell)
        module = sys.modules["__main__"]
        for name in ("__file__", "__cached__"):
            module.__dict__.pop(name, None)
        module.__dict__.setdefault("__builtin__", builtins)
        self.shell.user_module = module
        self.shell.user_ns = module.__dict__
        self.shell.init_user_ns()
        self.shell.set_completer_frame()
        self.shell.user_ns["exit"] = self.shell.user_ns["quit"] = self.shell.exiter
        if sys.path and not sys.path[0].startswith("/"):
            sys.path[0] = os.getcwd()

    def _allow_nested_run(self):
        """Let ``asyncio.run`` run in a cell, as in a script: the loop of the context waits meanwhile.

        A coroutine that is given to that loop itself, by ``run_until_complete``, gets a loop of its own.
        """

        def alone(function):
            def run(*arguments, **options):
                __tracebackhide__ = True
                running = asyncio._get_running_loop()
                if running is not self.loop:
                    return function(*arguments, **options)
                asyncio._set_running_loop(None)
                try:
                    return function(*arguments, **options)
                finally:
                    asyncio._set_running_loop(running)
                    asyncio.set_event_loop(running)

            run.__wrapped__, run.__name__, run.__doc__ = function, function.__name__, function.__doc__
            return run

        asyncio.run = asyncio.runners.run = alone(asyncio.run)
        if hasattr(asyncio, "Runner"):
            asyncio.Runner.run = alone(asyncio.Runner.run)
        plain = asyncio.BaseEventLoop.run_until_complete
        nested = alone(plain)

        @functools.wraps(plain)
        def run_until_complete(loop, future):
            __tracebackhide__ = True
            if loop is not self.loop:
                return nested(loop, future)
            if asyncio._get_running_loop() is loop and asyncio.iscoroutine(future):
                return asyncio.run(future)
            return plain(loop, future)

        asyncio.BaseEventLoop.run_until_complete = run_until_complete

    def _after_fork(self):
        """Be an ordinary process: the conversation is the parent's."""
        if self.parks:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.wire.close()

    def _leave_if_child(self):
        """End a child that a cell has forked, and that came to the end of the cell."""
        if os.getpid() != self.pid:
            flush()
            os._exit(1 if self.shell.failed else self.shell.exit_code or 0)

    # -- what the client tells

    def _readable(self):
        self.wire.busy.append(True)
        try:
            self.wire.read(_socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # a cell that waited for its place has taken it
        finally:
            self.wire.busy.pop()
        if self.in_code:
            self._raise_held_back()
        if self.wire.inbox and self.news is not None and not self.news.done():
            self.news.set_result(None)

    async def _serve(self):
        while True:
            while not self.wire.inbox:
                self.news = self.loop.create_future()
                await self.news
            message = self.wire.inbox.popleft()
            operation = message.get("op")
            if operation == "cell":
                await self._run(message)
            elif operation == "complete":
                self._answer(message, self._complete)
            elif operation == "inspect":
                self._answer(message, self._inspect)
            elif operation == "is_complete":
                self._answer(message, self._is_complete)
            elif operation == "checkpoint":
                self._checkpoint(message)

    def _answer(self, message, question):
        reply = {"event": message["op"], "id": message["id"]}
        self.in_code, self.interrupted = True, False
        try:
            reply.update(question(message))
        except BaseException:
            pass  # a name that fails when it is looked at means nothing
        finally:
            self._leave_code()
        self.wire.say(reply)

    def _complete(self, message):
        matches, start, end = self.shell.completions(message["code"], message["cursor"])
        return {"matches": matches[:10_000], "start": start, "end": end}

    def _inspect(self, message):
        data = self.shell.inspection(message["code"], message["cursor"], message.get("detail", 0))
        return {"found": bool(data), "data": data}

    def _is_complete(self, message):
        status, indent = self.shell.check_complete(message["code"])
        return {"status": status, "indent": indent}

    # -- checkpoints

    def _checkpoint(self, message):
        """Park a fork of this process; what it cannot hold is refused by name, before anything has changed."""
        number = message["id"]
        before = self.snapshot
        parking.bury_parked()
        try:
            flush()
            files = parking.check(self._own_descriptors(), message["parked"])
            self.snapshot = Snapshot(self.changes.root, before, message.get("bytes"))
            traits = parking.Traits()
            between = self._fork()
        except (parking.Refused, CannotHold) as refusal:
            self.snapshot = before
            self.wire.say({"event": "refused", "id": number, "reason": str(refusal)})
        except OSError as error:
            self.snapshot = before
            self.wire.say({"event": "refused", "id": number, "reason": f"lack of memory or processes ({error})"})
        else:
            if not between:
                self._park(number, files, traits)
                return
            self.wire.say({"event": "saved", "id": number, "bytes": self.snapshot.bytes})
            parking.bury(between)

    def _fork(self):
        """Fork a process to be parked: ``parking.away``."""
        self.parks = True
        try:
            return parking.away()
        finally:
            self.parks = False

    def _own_descriptors(self):
        own = {self.wire.descriptor, *parking.own_of_loop(self.loop)}
        if self.snapshot is not None:
            own.update(entry.copies.descriptor for entry in self.snapshot.entries.values() if entry.copies)
        connection = sys.modules["interpreter_tools_display.messages"]._connection
        tools = sys.modules.get("tools")
        wires = [connection, *(wire.socket for wire in getattr(tools, "_all_wires", list)())]
        own.update(each.fileno() for each in wires if each is not None)
        return own

    def _park(self, number, files, traits):
        """Be parked, and return when woken and the files are what they were; a fork is parked then."""
        parked = True
        while parked:
            self._be_parked(number)
            message = self._await_wake()
            number = message["id"]
            self._wake(number, files, traits)
            parked = not message.get("last") and self._is_copy(number)
        self.changes.end()  # what came back is no doing of the next cell

    def _be_parked(self, number):
        """Have a conversation of this process's own, on a descriptor that the event loop does not know yet."""
        self.pid = os.getpid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.modules["interpreter_tools_display.messages"]._forget()
        self.wire.close()
        self.wire = Wire()
        self.wire.post({"event": "parked", "id": number, "pid": self.pid})

    def _await_wake(self):
        while True:
            self.wire.wait()
            message = self.wire.inbox.popleft()
            if message["op"] == "drop":
                os._exit(0)
            if message["op"] == "wake":
                return message
            self.wire.post({"event": "weighed", "held": parking.held(message["parked"])})

    def _wake(self, number, files, traits):
        """Go on from the checkpoint, in the place of the process that went on from it before."""
        self.wire.post({"event": "woken", "id": number})
        self.wire.wait()  # until the client has made this the program of the run
        message = self.wire.inbox.popleft()
        try:
            parking.wait_until_alone(message["parked"])
            self.snapshot.restore(message.get("compares"))
            traits.give_back(self.shell.user_ns, diverges=message.get("diverges"))
            for file in files:
                file.reopen()
        except (parking.Refused, CannotHold, OSError) as error:
            self.wire.say({"event": "refused", "id": number, "reason": str(error)})
            os._exit(1)
        threading.main_thread()._set_native_id()
        parking.renew_loop(self.loop, self.serving)
        self.loop.add_reader(self.wire.descriptor, self._readable)
        signal.signal(signal.SIGINT, self._on_interrupt)
        self.wire.say({"event": "rewound", "id": number})

    def _is_copy(self, number):
        """Fork a process that is parked in the place of this one, which goes on; tell which of them this is."""
        try:
            between = self._fork()
        except (OSError, parking.Refused):
            self.wire.post({"event": "parked", "id": number, "pid": 0})
            return False
        if between:
            parking.bury(between)
        return not between

    # -- cells

    async def _run(self, message):
        number = self.cell = message["cell"]
        if self.snapshot is not None:
            parking.bury_parked()
        self.takes_input = bool(message.get("stdin"))
        self.shell.notebook = bool(message.get("notebook"))
        is_counted = message.get("history", True) and not message.get("silent")
        if "environment" in message:
            self._find_packages(message["environment"])
        self.interrupted = self.shell.interrupted = False
        self.expects = True
        flush()
        handler = _signal.getsignal(_signal.SIGURG)
        if handler == _signal.SIG_DFL:
            _signal.signal(_signal.SIGURG, _look)
        urgent = handler == _signal.SIG_DFL or handler is _look  # and not the program's own
        self.wire.post({"event": "started", "cell": number, "urgent": urgent}, held=True, silent=False)
        self.changes.begin()
        began, used = time.monotonic(), _used()[0]
        self.shell.failed = self.shell.exit_code = self.text = None
        count = self.shell.execution_count
        options = {"context": self.context} if sys.version_info >= (3, 11) else {}
        executing = self._execute(message["code"], is_counted, bool(message.get("silent")))
        self.task = self.loop.create_task(executing, **options)
        try:
            await self.task
        except BaseException:
            if not self.task.done():
                raise
        finally:
            self._leave_code()
        self._leave_if_child()
        error = None if self.task.cancelled() else self.task.exception()
        self.task = None
        if error is not None and self.shell.failed is None:
            self._tell_failure(error)
        _signal.signal(_signal.SIGINT, self._on_interrupt)
        flush()
        files, partial = self.changes.end()
        seconds, peak = _used()
        done = {
            "event": "done",
            "cell": number,
            "status": "ok",
            "count": count if is_counted else None,
            "seconds": time.monotonic() - began,
            "cpu_us": int((seconds - used) * 1e6),
            "peak_kib": peak,
            "files": files,
            "files_partial": partial,
        }
        if self.text is not None:
            done["text"] = self.text
        if may_map():
            done["maps"] = True
        if self.shell.failed is not None:
            stopped = self.shell.failed["name"] == "KeyboardInterrupt"
            done.update(status="interrupted" if stopped else "error", error=self.shell.failed)
        elif self.shell.exit_code is not None:
            done["exit_code"] = self.shell.exit_code
            done["status"] = "error" if self.shell.exit_code else "ok"
        self.cell = None
        self.wire.post(done)

    def _find_packages(self, variables):
        """Let imports, and programs that the cell starts, find packages that came after the start."""
        import site

        old = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
        new = [path for path in variables.get("PYTHONPATH", "").split(":") if path]
        os.environ.update(variables)
        if new == old:
            return
        gone = {*old, *(path for entry in old for path in _with_entry(entry))}
        place = next((at for at, path in enumerate(sys.path) if path in gone), min(1, len(sys.path)))
        sys.path[:] = [path for path in sys.path if path not in gone]
        count = len(sys.path)
        for path in new:
            site.addsitedir(os.path.realpath(path))  # a file of the entry takes the path with the link away
        added = sys.path[count:]
        del sys.path[count:]
        sys.path[place:place] = added
        importlib.invalidate_caches()

    async def _execute(self, code, is_counted, is_silent):
        failure = None
        self.in_code, self.expects = True, False
        self._raise_held_back()
        try:
            transformed = self.shell.transform_cell(code)
        except Exception:
            transformed, failure = code, sys.exc_info()
        finally:
            self.wire.settle()  # so that what the cell prints comes behind its beginning
        self._raise_held_back()
        result = None
        try:
            try:
                result = await self.shell.run_cell_async(
                    code,
                    store_history=is_counted,
                    silent=is_silent,
                    transformed_cell=transformed,
                    preprocessing_exc_tuple=failure,
                )
            finally:
                if os.getpid() == self.pid:
                    self.shell.events.trigger("post_execute")
                    if not is_silent:
                        self.shell.events.trigger("post_run_cell", result)
            self._leave_if_child()
            self._show_figures()
        finally:
            self._leave_code()

    def _leave_code(self):
        """From here on an interrupt does nothing; one that comes at this very moment is swallowed."""
        while self.in_code or self.expects:
            try:
                self.in_code = self.expects = self.held_back = False
            except KeyboardInterrupt:
                continue

    def _tell_value(self, data, about, is_last):
        """Tell the value of the last expression, in its place behind what the cell has printed."""
        if os.getpid() != self.pid:
            return
        is_end = is_last and not self._says_more()
        text = data.get("text/plain", "")
        if is_end and len(data) == 1 and not about and len(text) <= _SHORT:
            self.text = text
            return
        flush()
        waits = not is_end and threading.current_thread() is threading.main_thread()
        self.wire.post({"data": data, "metadata": about or {}, "main": True}, kind=b"d", held=is_end, silent=not waits)
        if waits:  # what is printed next comes behind it
            self.wire.settle()
            self._raise_held_back()

    def _says_more(self):
        """Tell whether anything may be said between the value of a cell and its end."""
        return self.shell.is_called_back() or _BACKEND in sys.modules

    def _show_figures(self):
        backend = sys.modules.get(_BACKEND)
        if backend is not None:
            try:
                backend._show()
            except Exception:
                self.shell.showtraceback()

    def _tell_failure(self, error):
        """Tell of an exception that did not come from the cell's own code, such as an interrupt of IPython itself."""
        if isinstance(error, SystemExit):
            self.shell.exit_code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
            return
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        self.shell._showtraceback(type(error), error, ["".join(lines)])

    # -- interrupts

    def _on_interrupt(self, number, frame):
        __tracebackhide__ = True  # IPython leaves such frames out
        _be_calm()
        if self.expects or (self.in_code and self.wire.busy):
            self.held_back = True
        if not self.in_code or self.wire.busy:
            return
        self.interrupted = self.shell.interrupted = True
        loop = _loop_of(frame)
        if loop is self.loop and self.task is not None:
            loop.call_soon_threadsafe(self.task.cancel)
        elif loop is not None:
            loop.call_soon_threadsafe(_stop)
        else:
            raise KeyboardInterrupt

    def _raise_held_back(self):
        __tracebackhide__ = True
        if self.held_back:
            self.held_back = False
            if self.in_code:
                self.interrupted = self.shell.interrupted = True
                raise KeyboardInterrupt

    # -- what a notebook is told besides

    def _clear(self, wait):
        """Ask that what the cell has shown be taken away."""
        if not self.shell.notebook or self.cell is None or os.getpid() != self.pid:
            return
        if threading.current_thread() is threading.main_thread():  # the conversation is this thread's
            flush()
            self.wire.say({"event": "clear", "cell": self.cell, "wait": bool(wait)})
            self._raise_held_back()

    # -- input

    def _input(self, prompt="", /):
        __tracebackhide__ = True
        text = self.ask(str(prompt))
        if text is None:
            raise EOFError("EOF when reading a line")
        return text

    def _getpass(self, prompt="Password: ", stream=None, **_ignored):
        __tracebackhide__ = True
        text = self.ask(str(prompt), password=True)
        if text is None:
            raise EOFError
        return text

    def ask(self, prompt, password=False):
        """Return a line of the client; None at the end of the input."""
        if prompt and not self.shell.notebook:
            sys.stdout.write(prompt)
        flush()
        if not self.takes_input or self.cell is None or os.getpid() != self.pid:
            return None
        self.wire.say({"event": "input", "cell": self.cell, "prompt": prompt, "password": password})
        self._raise_held_back()
        while True:
            self.wire.wait()
            message = self.wire.inbox.popleft()
            if message.get("op") == "input" and message.get("cell") == self.cell:
                if message.get("eof"):
                    self.takes_input = False
                    return None
                return message.get("text", "")


class Input:
    """Standard input: its lines come from the client."""

    encoding, errors, name, mode, closed = "utf-8", "replace", "<stdin>", "r", False

    def __init__(self, runner):
        self._runner = runner

    def readline(self, size=-1):
        """Return one line, empty at the end."""
        text = self._runner.ask("")
        return "" if text is None else text + "\n"

    def read(self, size=-1):
        """Return all lines."""
        return "".join(self)

    def readlines(self, hint=-1):
        """Return all lines, one by one."""
        return list(self)

    def __iter__(self):
        return iter(self.readline, "")

    def isatty(self):
        """Tell that there is no terminal."""
        return False

    def readable(self):
        """Tell that it can be read."""
        return True

    def fileno(self):
        """Return the descriptor, which is at its end."""
        return 0

    def flush(self):
        """Do nothing."""

    def close(self):
        """Do nothing."""


def _look(number, frame):
    """Be interrupted: Python calls the handler of an earlier SIGINT first. One that is blocked is still to come."""
    __tracebackhide__ = True
    if _signal.SIGINT not in _signal.sigpending():
        _be_calm()


def _be_calm():
    """Let SIGURG interrupt no system call any more, unless it is the program's own."""
    __tracebackhide__ = True
    if _signal.getsignal(_signal.SIGURG) is _look:
        _signal.signal(_signal.SIGURG, _signal.SIG_DFL)


_OF_LOOP = frozenset(
    module.__file__ for name, module in sys.modules.items() if name == "selectors" or name.startswith("asyncio.")
)


def _loop_of(frame):
    """Return the event loop whose own code runs; None where other code does.

    An exception in the code of the loop would lose the next step of some task for ever.
    """
    if frame is not None and frame.f_code is asyncio.Handle._run.__code__:
        callback = getattr(frame.f_locals.get("self"), "_callback", None)
        if callback is not None and not asyncio.isfuture(getattr(callback, "__self__", None)):
            return None  # a function in C, which may wait
    while frame is not None and frame.f_code.co_filename in _OF_LOOP:
        if frame.f_code is asyncio.BaseEventLoop._run_once.__code__:
            return frame.f_locals["self"]
        frame = frame.f_back
    return None


def _stop():
    __tracebackhide__ = True
    raise KeyboardInterrupt


def _with_entry(path):
    """Return the paths of modules that come from the same entry of the dependency store."""
    entry = path.removesuffix("lib/site-packages")
    return [other for other in sys.path if entry != path and other.startswith(entry)]


def _used():
    """Return the seconds of processor time of this process and its ended children, and its peak of memory in KiB."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime, own.ru_maxrss
