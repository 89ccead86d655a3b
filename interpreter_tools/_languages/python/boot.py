# pyright: basic, reportArgumentType=false, reportOptionalCall=false, reportAttributeAccessIssue=false, reportMissingImports=false, reportOptionalMemberAccess=false
"""A pristine Python that forks for each run: the zygote of ``IT_BOOT_FORK`` in supervisor/protocol.h.

It runs inside the sandbox as ``python3 -c``, with the standard library of the image and nothing else. The child behaves
as ``python3 main.py`` does: the same ``__main__``, the same tracebacks, the same exit codes, the same order at the end.
These differences are left:

- Standard output is line-buffered, so that it can be watched.
- The end skips what only frees memory. Functions that C code left for ``exit`` run if the program imported a module and
  has no other thread; what C code wrote to ``stdout`` is flushed always.
- ``sys.meta_path`` has one finder more, in front of Python's own: it completes the libraries that display.
- Modules that ``ContainerConfig.preload`` names, and what they import, are in ``sys.modules`` before the program
  begins. A program that has modules of those names of its own, in its directory or among its packages, gets a Python
  of its own.
- All runs of one container share the seed of ``hash`` and the layout of the address space, as both are drawn when the
  zygote starts. A run with ``environment={"PYTHONHASHSEED": "random"}`` gets a Python of its own, and so both anew.

An image without ``_ctypes`` has no way to flush what C code wrote: there the child starts ``python3 -u main.py``.
"""

_pristine = dict(globals())  # what __main__ holds before a program starts

import sys  # noqa: E402

sys.modules.pop("linecache", None)  # since 3.13, where it would show lines of this file as a program's
_modules, _known = sys.modules, frozenset(sys.modules)

import _signal, _socket, _thread, _weakref, atexit, gc, io, posix, resource, select  # noqa: E402

_USUAL = [b"/workspace/main.py"]  # the arguments that nearly every run has
_CELLS = b"interpreter-tools-cells"  # in place of a file: the runner of a context's cells
_CELLS_PATH = _CELLS.decode()
_PLAIN = ["/workspace/main.py", "/dev/null"]  # paths without a link
_PAUSE = 0.005  # seconds
_COMMAND = sys.orig_argv[:1] if hasattr(sys, "orig_argv") else ["python3"]
_shown = []  # the words that stand in /proc/self/cmdline instead of those that Python was started with
_PRELOAD, _LEFT_OUT = b"INTERPRETER_TOOLS_PRELOAD", b"INTERPRETER_TOOLS_LEFT_OUT"
_BOX = b"INTERPRETER_TOOLS_BOX"
_SCRATCH = "/tmp/.preload"  # the home of the zygote while it imports modules
_given = {}  # variables that were meant for the zygote alone
_in_boxes = {}  # the pids of children in their boxes, by those that they have here
_preloaded = set()  # names of modules at the top that were imported ahead, those of the standard library included
_HELD = ["last_type", "last_value", "last_traceback", "last_exc"]  # where sys keeps an error that nothing caught


def _zygote():
    control = _socket.socket(fileno=3)
    preload, left_out = (_take_variable(name) for name in (_PRELOAD, _LEFT_OUT))
    libc = _find_libc()
    box = _Box(libc, _take_variable(_BOX), control)
    sys.modules["codecs"].lookup("utf-8-sig")  # `site` reads the .pth files of packages so: the codec stays known
    for name in sys.modules.keys() - _known:
        del sys.modules[name]  # a program has not imported them
    variables = [name + b"=" + value for name, value in posix.environ.items()]
    usual = b"\0".join([b"/workspace", b"1", *_USUAL, *variables, b""])
    _open_streams()
    sys.meta_path.insert(0, _Finder())
    if preload:
        _preload(preload.decode().split(), left_out)
    for _ in range(10):
        _rehearse()
    gc.collect()
    gc.freeze()  # no collection in a child touches, and so copies, the pages of the zygote
    _set_program(_USUAL)
    _show_arguments(libc)
    events = _await_events(control)
    control.send(b"r" + left_out[:1000])
    while True:
        if control.fileno() not in events():
            _bury(control)
            continue
        packet, ancillary, _, _ = control.recvmsg(1, _socket.CMSG_SPACE(32))
        if packet != b"f":
            posix._exit(0)  # the supervisor is gone
        data = ancillary[0][2]
        given = [int.from_bytes(data[i : i + 4], sys.byteorder) for i in range(0, len(data), 4)]
        streams, last, entrance = given[:3], given[3], given[4:]
        channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, last)
        channel.settimeout(_PAUSE)
        try:
            pid, shown = box.fork(entrance) if entrance else (posix.fork(), 0)
            if pid == 0:
                _child(control, channel, streams, usual, libc)
            control.send(b"p" + (shown or pid).to_bytes(4, "little"))
        except OSError as error:
            control.send(b"e" + error.errno.to_bytes(4, "little"))
        channel.close()
        for descriptor in (*streams, *entrance):
            posix.close(descriptor)


def _await_events(control):
    """Return a function that waits until a child has ended or the supervisor asks, and returns descriptors.

    A signal says that a child has ended. One that comes right before a system call that waits would not end it, so the
    signal writes to a pipe.
    """
    ended, signals = posix.pipe()
    for descriptor in (ended, signals):
        posix.set_blocking(descriptor, False)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    _signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
    poll = select.poll()
    for descriptor in (ended, control.fileno()):
        poll.register(descriptor, select.POLLIN)

    def events():
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ended in ready:
            posix.read(ended, 4096)
            return [ended]  # the ends first
        return ready

    return events


def _bury(control):
    """Tell how each child ended that has. The end of a child is told behind its beginning."""
    sys.modules["resource"] = resource  # where wait4 looks for it; no program has imported it
    try:
        while True:
            pid, status, usage = posix.wait4(-1, posix.WNOHANG)
            if pid == 0:
                break
            control.send(
                b"s"
                + _in_boxes.pop(pid, pid).to_bytes(4, "little")
                + status.to_bytes(4, "little")
                + int((usage.ru_utime + usage.ru_stime) * 1e6).to_bytes(8, "little")
                + usage.ru_maxrss.to_bytes(8, "little")
            )
    except ChildProcessError:
        pass
    sys.modules.pop("resource", None)


class _Box:
    """Forks children into a box of the supervisor: namespaces of processes, files and the network (box.c).

    A child enters before it does anything else. It keeps no capability but to switch its ids, and the filter of system
    calls comes on top of the zygote's.
    """

    def __init__(self, libc, digits, control):
        self.libc = libc
        self.control = control
        if not digits:
            return
        if libc is None:
            control.send(b"n")  # the box starts a Python of its own
            control.recv(1)
            posix._exit(0)
        self.own = posix.open("/proc/self/ns/pid", posix.O_RDONLY | posix.O_CLOEXEC)
        self.rules = bytes.fromhex(digits.decode())
        address = id(self.rules) + sys.getsizeof(b"") - 1  # where CPython keeps the bytes themselves
        self.filter = (len(self.rules) // 8).to_bytes(8, sys.byteorder) + address.to_bytes(8, sys.byteorder)

    def fork(self, entrance):
        """Return the child's pid here and in the box; 0 and 0 in the child.

        Raises:
            OSError: there is no child, or it could not enter the box.
        """
        if self.libc("setns", entrance[0], 0x20000000):  # CLONE_NEWPID: of the children from now on
            raise OSError(1, "the box cannot be entered")
        error = pid = None
        reads, writes = posix.pipe()
        try:
            pid = posix.fork()
        except OSError as failure:
            error = failure
        if pid == 0:
            self.control.close()  # the supervisor of the box notices the end of the zygote by the end of this
            self.enter(entrance, writes)
            for descriptor in (reads, writes, self.own, *entrance):
                posix.close(descriptor)
            return 0, 0
        posix.close(writes)
        shown = posix.read(reads, 4)
        posix.close(reads)
        if self.libc("setns", self.own, 0x20000000):
            posix._exit(1)  # its next child would be elsewhere than it should be
        if error is None and len(shown) != 4:
            posix.waitpid(pid, 0)
            error = OSError(1, "the box cannot be entered")
        if error is not None:
            raise error
        _in_boxes[pid] = int.from_bytes(shown, "little")
        return pid, _in_boxes[pid]

    def enter(self, entrance, writes):
        """Enter the box, or end: nothing of a program has run yet."""
        try:
            powers = (1 << 6 | 1 << 7).to_bytes(4, sys.byteorder)  # CAP_SETGID, CAP_SETUID
            version = (0x20080522).to_bytes(4, sys.byteorder) + bytes(4)  # _LINUX_CAPABILITY_VERSION_3
            failed = (
                self.libc("setns", entrance[1], 0x20000)  # CLONE_NEWNS
                or (entrance[2:] and self.libc("setns", entrance[2], 0x40000000))  # CLONE_NEWNET
                or self.libc("capset", version, powers * 2 + bytes(16))
                or self.libc("prctl", 22, 2, self.filter, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
            )
            if failed:
                posix._exit(1)
            posix.write(writes, posix.getpid().to_bytes(4, "little"))
        except BaseException:
            posix._exit(1)


def _take_variable(name):
    """Return a variable that is meant for the zygote alone, and remove it; empty where there is none."""
    value = _given[name] = posix.environ.pop(name, b"")
    if value:
        import os

        os.environb.pop(name, None)
    return value


def _preload(names, left_out):
    """Import modules that programs will want, so that a child has them by its fork.

    A module that fails, starts threads or leaves descriptors open is left out: Python is started anew without it, as
    what it has done already cannot be taken back.
    """
    global _known
    import os

    before = frozenset(sys.modules)
    saved = {name: os.environ.get(name) for name in ("HOME", "TMPDIR")}
    os.mkdir(_SCRATCH, 0o700)
    os.environ.update(HOME=_SCRATCH, TMPDIR=_SCRATCH)
    errors = posix.dup(2)
    posix.dup2(1, 2)  # warnings of an import are nobody's
    opened = len(posix.listdir("/proc/self/fd"))
    for name in names:
        why = _try_import(name, opened)
        if why:
            others = " ".join(other for other in names if other != name).encode()
            said = b"; ".join(filter(None, [left_out, f"{name}: {why}".encode("utf-8", "replace")]))
            environment = {**posix.environ, _PRELOAD: others, _LEFT_OUT: said, _BOX: _given.get(_BOX, b"")}
            posix.dup2(errors, 2)
            _remove_scratch()
            command = _read("/proc/self/cmdline").split(b"\0")[:-1]
            posix.execve(sys.executable, command, environment)
    posix.dup2(errors, 2)
    posix.close(errors)
    for name, value in saved.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    _remove_scratch()
    _modules["__main__"] = _modules.pop("__main__")  # it comes last, behind all that was there before the program
    _known = frozenset(sys.modules)
    _preloaded.update(name.partition(".")[0] for name in _known - before)


def _try_import(name, opened):
    """Import a module. Return why programs cannot share it; None when they can."""
    try:
        __import__(name)
    except BaseException as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    if _thread._count():
        return "it starts threads"
    if (
        len(posix.listdir("/proc/self/task")) > 1
    ):  # a library that knows forks, such as OpenBLAS, ends its threads for one
        pid = posix.fork()
        if pid == 0:
            posix._exit(0)
        posix.waitpid(pid, 0)
        if len(posix.listdir("/proc/self/task")) > 1:
            return "it starts threads"
    return "it leaves files open" if len(posix.listdir("/proc/self/fd")) > opened else None


def _remove_scratch():
    import os

    for directory, names, files in os.walk(_SCRATCH, topdown=False):
        for name in files:
            os.unlink(os.path.join(directory, name))
        for name in names:
            os.rmdir(os.path.join(directory, name))
    posix.rmdir(_SCRATCH)


def _sow():
    """Give the generators of random numbers that were imported ahead a new seed; Python's own has seen to itself."""
    numpy = _modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    torch = _modules.get("torch")
    if torch is not None:
        torch.seed()


def _shadowed(directory):
    """Tell whether a directory, which comes before the image's packages, holds a module that was imported ahead."""
    try:
        return any(name.partition(".")[0] in _preloaded for name in posix.listdir(directory))
    except OSError:
        return False


class _Finder:
    """Completes libraries that can show something, so that what they show becomes results of the run.

    It comes first among the finders, and does nothing for other names: to find them costs one look into a set. Our own
    modules come from the supervisor's volume, which only root can read, in source.
    """

    completed = frozenset(
        "matplotlib matplotlib.pyplot PIL.Image PIL.ImageShow plotly.io._renderers altair.vegalite.v4.api"
        " altair.vegalite.v5.api altair.vegalite.v6.api bokeh.io.showing IPython.core.display_functions".split()
    )

    def __init__(self):
        import marshal

        try:
            self.sources = marshal.loads(_read("/.interpreter-tools/python-modules"))
        except OSError:
            self.sources = {}
        self.names = self.completed.union(self.sources) if self.sources else frozenset()

    def find_spec(self, name, path=None, target=None):
        if name not in self.names or (name == "tools" and b"INTERPRETER_TOOLS_CALLS" not in posix.environ):
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                break
        if spec is not None and name in self.completed:
            spec.loader.exec_module = self.completing(spec.loader.exec_module)
        elif spec is None and name in self.sources:  # ours; or IPython, which is not installed
            package = any(other.startswith(name + ".") for other in self.sources)
            spec = sys.modules["_frozen_importlib"].ModuleSpec(name, self, is_package=package)
        return spec

    def completing(self, execute):
        def exec_module(module):
            execute(module)
            import interpreter_tools_display.hooks

            interpreter_tools_display.hooks.complete(module)

        return exec_module

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        code = compile(self.sources[module.__name__], f"<{module.__name__}>", "exec", 0, True)
        exec(code, module.__dict__)


def _find_libc():
    """Return a function that calls libc's, by name; None where the image lacks ``_ctypes``.

    No more of ctypes is loaded than that takes: all of it would be copied.
    """
    try:
        import _ctypes

        library = _ctypes.dlopen(None, 0)
        addresses = {name: _ctypes.dlsym(library, name) for name in ("prctl", "setns", "capset", "fflush", "exit")}
    except Exception:
        return None
    return lambda name, *arguments: _ctypes.call_cdeclfunction(addresses[name], arguments)


def _show_arguments(libc):
    """Show the program's arguments in /proc/self/cmdline, and not this file: PR_SET_MM_MAP of prctl(2).

    Where the kernel refuses, this file stays in sight.
    """
    try:
        stat = [int(number) for number in _read("/proc/self/stat").rpartition(b")")[2].split()[1:]]
        heap = next(line for line in _read("/proc/self/maps").splitlines() if line.endswith(b"[heap]"))
        end_heap = int(heap.split()[0].split(b"-")[1], 16)
        words = "\0".join([*_COMMAND, *sys.argv, ""]).encode("utf-8", "surrogateescape")
        start = id(words) + sys.getsizeof(b"") - 1  # where CPython keeps the bytes themselves
        code, rest, variables = stat[22:24], stat[41:43], stat[46:48]
        fields = [*code, *rest, stat[43], end_heap, stat[24], start, start + len(words), *variables, 0, -1 << 32]
        data = b"".join(field.to_bytes(8, "little", signed=True) for field in fields)
        if libc("prctl", 35, 14, data, len(data), 0) == 0:
            _shown[:] = [words]  # the kernel reads them there for as long as the process lives
    except Exception:
        return


def _open_streams():
    """Standard streams as Python makes them for pipes, but standard output flushes every line.

    They are made once: a child has other pipes behind the same descriptors.
    """

    def stream(descriptor, mode, like, **options):
        raw = open(descriptor, mode + "b", 0, closefd=False)
        raw.name = like.name
        buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        text = io.TextIOWrapper(buffer, encoding=like.encoding, errors=like.errors, newline=None, **options)
        text.mode = mode
        return text

    saved = [posix.dup(descriptor) for descriptor in range(3)]
    pipe = posix.pipe()
    for descriptor in range(3):
        posix.dup2(pipe[descriptor > 0], descriptor)
    sys.stdin = sys.__stdin__ = stream(0, "r", sys.stdin)
    sys.stdout = sys.__stdout__ = stream(1, "w", sys.stdout, line_buffering=True)
    sys.stderr = sys.__stderr__ = stream(2, "w", sys.stderr, line_buffering=True)
    for descriptor, before in enumerate(saved):
        posix.dup2(before, descriptor)
    for descriptor in (*saved, *pipe):
        posix.close(descriptor)


def _rehearse():
    """Becomes a program, runs it and ends it, all but the last step; standard output must be /dev/null.

    In the zygote, for its children to share: caches are full, code is specialized, memory is at hand (measured: this
    saves a third of a short run's processor time). In a child that nobody waits for: what it has to copy of that, it
    copies ahead of need.
    """
    modules = dict(sys.modules)
    _set_program([b"/dev/null"])
    _run()
    code = "import sys\n\ndef main():\n    for i in [1, 2]:\n        print(f'{i}', i * 2)\n\nmain()\n"
    exec(compile(code, "<rehearsal>", "exec", 0, True), sys.modules["__main__"].__dict__)
    _finish(at_exit=not _preloaded)  # what modules have left for the end of a program is not for the zygote
    del sys.modules["__main__"]
    sys.modules.update(modules)


def _child(control, channel, streams, usual, libc):
    """Wait for the hand-over, and become the program that it asks for."""
    try:
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        posix.setsid()
        try:
            channel.recv(1, _socket.MSG_PEEK)
        except OSError:  # nothing yet
            _rehearse()
            _set_program(_USUAL)
        channel.settimeout(None)
        for target, descriptor in enumerate(streams):
            posix.dup2(descriptor, target)
        size = channel.recv(4, _socket.MSG_WAITALL)
        message = channel.recv(int.from_bytes(size, "little"), _socket.MSG_WAITALL)
        if not message:
            posix._exit(0)  # the supervisor is gone
        group = int.from_bytes(message[4:8], "little")
        control.detach()  # no object that a program might find is to close what is its own by then
        posix.closerange(3, channel.detach() + 1)  # it came last, as the highest
        uid = int.from_bytes(message[:4], "little") & 0x7FFFFFFF
        if group:  # of a side run
            posix.setgroups([group])
        posix.setresgid(uid, uid, uid)
        posix.setresuid(uid, uid, uid)
        if message[3] & 0x80:  # IT_HAND_OVER_MERGED
            posix.dup2(1, 2)
        program = message[8:]
        if libc is None:
            _start(program.split(b"\0"))
        libc(
            "prctl", 4, 1, 0, 0, 0
        )  # PR_SET_DUMPABLE, which changing the uid took: /proc/self is the program's own again
        if program == usual and not _preloaded:
            posix.chdir("/workspace")
        else:
            _become(program.split(b"\0"), libc)
        if _preloaded:
            _sow()
    except BaseException:
        posix._exit(127)
    _end(_run(), libc)


def _start(words):
    """Start a Python of its own for the program."""
    posix.chdir(words[0])
    end = 2 + int(words[1])
    environment = dict(variable.split(b"=", 1) for variable in words[end:-1])
    posix.execve(sys.executable, [*_COMMAND, "-u", *words[2:end]], environment)


def _become(words, libc):
    """Another program than the usual one: in another directory, with other arguments or variables."""
    posix.chdir(words[0])
    end = 2 + int(words[1])
    first = sys.path[1:2]
    _set_environment(words[end:-1])
    if words[2:end] != _USUAL:
        _set_program(words[2:end])
        _show_arguments(libc)
    if _preloaded and words[2] != _CELLS:
        ahead = sys.path[: sys.path.index(first[0])] if first else sys.path[:1]
        if any(map(_shadowed, ahead)):
            _start(words)


def _set_environment(environment):
    import os

    given = dict(variable.split(b"=", 1) for variable in environment)
    if list(given)[: len(posix.environ)] != list(posix.environ):  # else what is there is right, and in the right order
        os.environb.clear()
        posix.environ.clear()
    for name, value in given.items():
        if posix.environ.get(name) != value:
            os.environb[name] = posix.environ[name] = value
    if b"TZ" in os.environb:
        import time

        time.tzset()
    paths = os.environ.get("PYTHONPATH")
    if paths:  # what the zygote was not started with: a run's dependencies
        added = [path for path in paths.split(":") if path not in sys.path]
        prefix = added[0][: -len("/lib/site-packages")] if added and added[0].endswith("/lib/site-packages") else ""
        entered = bool(prefix) and os.path.exists(f"{prefix}/pyvenv.cfg") and _enter(prefix)
        sys.path[1:1] = added[entered:]


def _enter(prefix):
    """Becomes the interpreter of a virtual environment, as far as ``site`` would have made it that: install.py."""
    site = sys.modules.get("site")
    if site is None:  # python3 -S
        return False
    paths = sys.path
    start = next((i for i, path in enumerate(paths) if i and path in site.getsitepackages()), len(paths))
    later = paths[start:]
    del paths[start:]
    sys.prefix = sys.exec_prefix = prefix
    sys.executable = f"{prefix}/bin/python3"
    site.PREFIXES.insert(0, prefix)
    site.addsitedir(f"{prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
    paths += [path for path in later if path not in paths]
    return True


def _set_program(arguments):
    """Arguments, the first place of modules, and ``__main__``, which is not frozen: the last collection can take it."""
    argv = [word.decode("utf-8", "surrogateescape") for word in arguments]
    sys.argv[:] = argv
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = [sys.orig_argv[0], *argv]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = _directory(argv[0])
    main = type(sys)("__main__")
    main.__dict__.update(_pristine)
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", argv[0])
    main.__dict__.update(__doc__=None, __file__=argv[0], __cached__=None, __loader__=loader)
    sys.modules["__main__"] = main


def _directory(path):
    """Return the directory of a program, without symbolic links: where its modules are looked for first."""
    if path in _PLAIN:
        return path.rpartition("/")[0]
    import os

    return os.path.dirname(os.path.realpath(path))


def _run():
    """Run the file and return the exit status, as pythonrun.c decides it; None asks to die by SIGINT."""
    path = sys.argv[0]
    try:
        if path == _CELLS_PATH:
            return _run_cells()
        exec(compile(_read(path), path, "exec", 0, True), _modules["__main__"].__dict__)
    except SystemExit as error:
        return _exit_status(error)
    except BaseException as error:
        # Only the program's own frames are shown: the first one here is ours.
        shown = _without_our_frame(error)
    else:
        return 0
    # Not inside the handler: what a hook raises must not seem to come from handling the error that it was called for.
    sys.last_type, sys.last_value, sys.last_traceback = type(shown), shown, shown.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = shown
    try:
        sys.excepthook(type(shown), shown, shown.__traceback__)
    except SystemExit as error:
        return _exit_status(error)
    except BaseException as failure:
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(failure), _without_our_frame(failure), None)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(shown), shown, shown.__traceback__)
    return None if isinstance(shown, KeyboardInterrupt) else 1


def _run_cells():
    """Run the cells of a context; the status of an image without IPython is told apart from others."""
    try:
        import interpreter_tools_cells
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "IPython":
            raise
        sys.stderr.write(f"{error}\n")
        return 78
    return interpreter_tools_cells.main()


def _read(path):
    """As ``open(path, "rb").read()``, by less."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    pieces = [posix.read(descriptor, 65536)]
    while pieces[-1]:
        pieces.append(posix.read(descriptor, 65536))
    posix.close(descriptor)
    return b"".join(pieces)


def _without_our_frame(error):
    return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)


def _exit_status(error):
    try:
        code = error.code
    except BaseException:
        code = error  # is told as it is
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    for words in (code, "\n"):
        try:
            (getattr(sys, "stderr", None) or sys.__stderr__).write(f"{words}")
        except Exception:  # as Python itself does
            pass
    return 1


def _end(status, libc):
    whole = _finish()
    if status is None:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        posix.kill(posix.getpid(), _signal.SIGINT)
    status = status if whole else 120
    if len(_modules) != len(_known) and _thread._count() == 0:
        libc("exit", status)  # modules may have left functions for it; beside another thread they might crash
    libc("fflush", 0)
    posix._exit(status)


def _finish(*, at_exit=True):
    """End as Py_FinalizeEx does: threads, atexit, flushing, destructors. Return False when output is lost."""
    try:
        if at_exit:
            threading = _modules.get("threading")
            if threading is not None:
                threading._shutdown()
            (_modules.get("atexit") or atexit)._run_exitfuncs()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    flushed = _flush()
    try:
        for name in _HELD:
            if hasattr(sys, name):
                setattr(sys, name, None)
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
        main = _modules.get("__main__")
        left = _weakref.ref(main) if main is not None else lambda: None
        del main
        for name in _new_modules():
            _modules[name] = None
        gc.collect()  # most often this takes the program's module too; else its names are cleared
        main = left()
        if main is not None:
            _clear(main.__dict__)
            gc.collect()
    except BaseException:
        pass
    return flushed and _flush()  # what failed once is not told twice


def _new_modules():
    """Return the modules that the zygote did not hold, and the program itself.

    New modules come last, behind the program. Most programs import no new module: then no name is read, because a read
    would copy the page it lies in.
    """
    if len(_modules) == len(_known) and next(reversed(_modules)) == "__main__":
        return ["__main__"]
    return [name for name in _modules if name not in _known or name == "__main__"]


def _clear(names):
    """Clear a module in the order of _PyModule_ClearDict: private names first, then the rest, but not the built-ins."""
    for private in (True, False):
        for name in list(names):
            if name.startswith("_") == private and name != "__builtins__":
                names[name] = None


def _flush():
    whole = True
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except BaseException as error:
            whole = False
            if name == "stdout":
                _tell_ignored(stream, error)
    return whole


def _tell_ignored(stream, error):
    """Tell of standard output that could not be flushed, as Python itself does at its end."""
    place = "on flushing sys.stdout:" if sys.version_info >= (3, 13) else f"in: {stream!r}"
    traceback = _modules.get("traceback")
    try:
        sys.stderr.write(f"Exception ignored {place}\n")
        if sys.version_info >= (3, 13):
            _modules["traceback"] = None  # then the error is shown by C code, which draws no carets
        sys.__excepthook__(type(error), _without_our_frame(error), None)
    except BaseException:  # there is nobody left to tell
        pass
    if traceback is None:
        _modules.pop("traceback", None)
    else:
        _modules["traceback"] = traceback


_zygote()
