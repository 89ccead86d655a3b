# pyright: basic, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""A pristine Python that forks for each run: the zygote of ``IT_BOOT_FORK`` in supervisor/protocol.h.

It runs inside the sandbox as ``python3 -c``, with the standard library of the image and nothing else. The child behaves
as ``python3 main.py`` does: the same ``__main__``, the same tracebacks, the same exit codes, the same order at the end.
Two differences are meant: standard output is line-buffered, so that it can be watched; and the end skips what only
frees memory.
"""

_pristine = dict(globals())  # what __main__ holds before a program starts


def _zygote():
    import _socket, gc, posix, sys

    control = _socket.socket(fileno=3)
    known = frozenset(sys.modules)
    prctl = _find_prctl()
    booted = [name + b"=" + value for name, value in posix.environ.items()]
    _open_streams()
    for _ in range(10):
        _rehearse(known)
    gc.collect()
    gc.freeze()  # no collection in a child touches, and so copies, the pages of the zygote
    control.send(b"r")
    pid = 0
    while True:
        packet, ancillary, _, _ = control.recvmsg(1, _socket.CMSG_SPACE(16))
        if packet == b"f":
            data = ancillary[0][2]
            descriptors = [int.from_bytes(data[i : i + 4], sys.byteorder) for i in range(0, 16, 4)]
            try:
                pid = posix.fork()
            except OSError as error:
                control.send(b"e" + error.errno.to_bytes(4, "little"))
                pid = -1
            if pid == 0:
                control.close()
                _child(descriptors, known, booted, prctl)
            for descriptor in descriptors:
                posix.close(descriptor)
            if pid > 0:
                control.send(b"p" + pid.to_bytes(4, "little"))
        elif packet == b"w":
            _, status, usage = posix.wait4(pid, 0)
            cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
            control.send(
                b"s"
                + status.to_bytes(4, "little")
                + cpu_us.to_bytes(8, "little")
                + usage.ru_maxrss.to_bytes(8, "little")
            )
        else:
            posix._exit(0)  # the supervisor is gone


def _find_prctl():
    """prctl(2), where the image has ctypes; the modules are forgotten again, as a program has not imported them."""
    import sys

    before = set(sys.modules)
    try:
        import ctypes

        function = ctypes.CDLL(None).prctl
    except Exception:
        function = None
    for name in set(sys.modules) - before:
        del sys.modules[name]
    return function


def _open_streams():
    """Standard streams as Python makes them for pipes, but standard output flushes every line.

    They are made once: a child has other pipes behind the same descriptors.
    """
    import io, posix, sys

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


_USUAL = [b"/workspace/main.py"]  # the arguments that nearly every run has
_PAUSE = 0.005  # seconds


def _rehearse(known):
    """Becomes a program, runs it and ends it, all but the last step; standard output must be /dev/null.

    In the zygote, for its children to share: caches are full, code is specialized, memory is at hand (measured: this
    saves a third of a short run's processor time). In a child that nobody waits for: what it has to copy of that, it
    copies ahead of need.
    """
    import gc, sys

    modules = dict(sys.modules)
    _set_program([b"/dev/null"])
    _run()
    code = "import sys\n\ndef main():\n    for i in [1, 2]:\n        print(f'{i}', i * 2)\n\nmain()\n"
    exec(compile(code, "<rehearsal>", "exec", 0, True), sys.modules["__main__"].__dict__)
    _finish(known, gc, sys)
    del sys.modules["__main__"]
    sys.modules.update(modules)


def _child(descriptors, known, booted, prctl):
    """Becomes nearly every program, waits for the hand-over, and becomes the one that it asks for."""
    import _socket, gc, posix, sys

    try:
        posix.setsid()
        posix.umask(0o22)
        posix.setgroups([])
        _prefer_for_oom()
        channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptors.pop())
        channel.settimeout(_PAUSE)
        try:
            channel.recv(1, _socket.MSG_PEEK)
        except TimeoutError:
            _rehearse(known)
        channel.settimeout(None)
        for target, descriptor in enumerate(descriptors):
            posix.dup2(descriptor, target)
            posix.close(descriptor)
        _set_program(_USUAL)
        uid, directory, arguments, environment = _read_hand_over(channel)
        channel.close()
        posix.setresgid(uid, uid, uid)
        posix.setresuid(uid, uid, uid)
        if prctl is not None:
            prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which changing the uid took: /proc/self is the program's own again
        posix.chdir(directory)
        if environment != booted:
            _set_environment(environment)
        if arguments != _USUAL:
            _set_program(arguments)
    except BaseException:
        posix._exit(127)
    _end(_run(), known, gc, posix, sys)


def _prefer_for_oom():
    import posix

    try:
        descriptor = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY)
    except OSError:
        return  # gVisor has no such file
    posix.write(descriptor, b"1000")
    posix.close(descriptor)


def _read_hand_over(channel):
    import posix

    def read(count):
        data = b""
        while len(data) < count:
            piece = channel.recv(count - len(data))
            if not piece:
                posix._exit(0)  # the supervisor is gone
            data += piece
        return data

    message = read(int.from_bytes(read(4), "little"))
    words = message[4:].split(b"\0")  # the last one is empty
    end = 2 + int(words[1])
    return int.from_bytes(message[:4], "little"), words[0], words[2:end], words[end:-1]


def _set_environment(environment):
    import os, posix, sys

    os.environb.clear()
    posix.environ.clear()
    for variable in environment:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value
        posix.environ[name] = value
    if b"TZ" in os.environb:
        import time

        time.tzset()
    paths = os.environ.get("PYTHONPATH")
    if paths:  # what the zygote was not started with: a run's dependencies
        sys.path[1:1] = [path for path in paths.split(":") if path not in sys.path]


def _set_program(arguments):
    """Arguments, the first place of modules, and ``__main__``: made in the child, whose last collection can take it."""
    import sys

    argv = [word.decode("utf-8", "surrogateescape") for word in arguments]
    sys.argv[:] = argv
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = [sys.orig_argv[0], *argv]
    sys.path[0] = argv[0].rpartition("/")[0]
    main = type(sys)("__main__")
    main.__dict__.update(_pristine)
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", argv[0])
    main.__dict__.update(__doc__=None, __file__=argv[0], __cached__=None, __loader__=loader)
    sys.modules["__main__"] = main


def _run():
    """Runs the file and returns the exit status, as pythonrun.c decides it; None asks to die by SIGINT."""
    import sys

    path = sys.argv[0]
    try:
        with open(path, "rb", 0) as file:
            source = file.read()
        exec(compile(source, path, "exec", 0, True), sys.modules["__main__"].__dict__)
    except SystemExit as error:
        return _exit_status(error.code)
    except BaseException as error:
        # Only the program's own frames are shown: the first one here is ours.
        shown = _without_our_frame(error)
    else:
        return 0
    # Not inside the handler: what a hook raises must not seem to come from handling the error that it was called for.
    sys.last_type, sys.last_value, sys.last_traceback = type(shown), shown, shown.__traceback__
    try:
        sys.excepthook(type(shown), shown, shown.__traceback__)
    except SystemExit as error:
        return _exit_status(error.code)
    except BaseException as failure:
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(failure), _without_our_frame(failure), None)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(shown), shown, shown.__traceback__)
    return None if isinstance(shown, KeyboardInterrupt) else 1


def _without_our_frame(error):
    return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)


def _exit_status(code):
    import sys

    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    for words in (code, "\n"):
        try:
            sys.stderr.write(f"{words}")
        except Exception:  # as Python itself does
            pass
    return 1


def _end(status, known, gc, posix, sys):
    import _signal  # pyright: ignore[reportMissingImports]  # while modules can still be imported

    whole = _finish(known, gc, sys)
    if status is None:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        posix.kill(posix.getpid(), _signal.SIGINT)
    posix._exit(status if whole else 120)


def _finish(known, gc, sys):
    """What Py_FinalizeEx does that a program can see: threads, atexit, flushing, destructors. False: output is lost."""
    import _weakref  # pyright: ignore[reportMissingImports]

    try:
        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        atexit = sys.modules.get("atexit")
        if atexit is not None:
            atexit._run_exitfuncs()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    flushed = _flush(sys)
    try:
        sys.last_type = sys.last_value = sys.last_traceback = None
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
        main = sys.modules.get("__main__")
        left = _weakref.ref(main) if main is not None else lambda: None
        del main
        for name in [name for name in sys.modules if name not in known or name == "__main__"]:
            sys.modules[name] = None
        gc.collect()  # most often this takes the program's module too; else its names are cleared
        main = left()
        if main is not None:
            _clear(main.__dict__)
            gc.collect()
    except BaseException:
        pass
    return flushed and _flush(sys)  # what failed once is not told twice


def _clear(names):
    """The order of _PyModule_ClearDict: private names first, then the rest, but not the built-ins."""
    for private in (True, False):
        for name in list(names):
            if name.startswith("_") == private and name != "__builtins__":
                names[name] = None


def _flush(sys):
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except BaseException as error:
            whole = False
            if stream is sys.stdout:
                _tell_ignored(sys, stream, error)
    return whole


def _tell_ignored(sys, stream, error):
    """As PyErr_WriteUnraisable does."""
    try:
        sys.stderr.write(f"Exception ignored in: {stream!r}\n")
        sys.__excepthook__(type(error), _without_our_frame(error), None)
    except BaseException:  # there is nobody left to tell
        pass


_zygote()
