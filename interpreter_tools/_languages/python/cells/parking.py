# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""Forks of the cell runner: a checkpoint is one that is parked, and a rewind wakes it.

A parked process that is woken goes on itself, and parks a fork of it before, so it can be gone back to any number of
times. The code of the cells never meets parked processes as its children: no usual wait does.
"""

import _socket
import asyncio
import errno
import functools
import os
import re
import signal
import stat
import sys
import time
import warnings

_SELF = "/proc/self"
_SHARED = re.compile(rb"^\S+ .w.s \S+ \S+ \S+ *(.*)$", re.MULTILINE)
_KEPT = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK
_GO = b"\0"
_CLONE = {"x86_64": 56, "aarch64": 220}  # its number, by machine
_CLONE_CHILD_SETTID, _CLONE_CHILD_CLEARTID = 0x01000000, 0x00200000
_PR_GET_TID_ADDRESS = 40
_WCLONE = -0x80000000  # as a C int
_EXITING = 4  # PF_EXITING of the kernel: it runs none of its code any more
_LINGERING = 0.1  # seconds for which the kernel may list a thread that has ended
_PATIENCE = 5.0  # seconds that the processes of the time after the checkpoint may take to be gone


class Refused(Exception):
    """The process cannot be forked; the text names what is in the way."""


class OpenFile:
    """A descriptor of a file, with its place in the file: a fork shares it, and a woken process must not."""

    def __init__(self, descriptor, path):
        self.descriptor = descriptor
        self.path = path
        fields = dict(
            line.split(b":\t") for line in _read(f"{_SELF}/fdinfo/{descriptor}").splitlines() if b":\t" in line
        )
        self.flags = int(fields[b"flags"], 8) & _KEPT
        self.position = int(fields[b"pos"])
        self.inheritable = os.get_inheritable(descriptor)

    def reopen(self):
        """Open the file again, at the place that it had."""
        try:
            fresh = os.open(self.path, self.flags | os.O_CLOEXEC)
        except OSError:
            return  # it lay outside of the workspace, and is gone
        os.lseek(fresh, self.position, os.SEEK_SET)
        os.dup2(fresh, self.descriptor, inheritable=self.inheritable)
        os.close(fresh)


def check(own, parked):
    """Return the open files of this process, which a fork has to open again.

    Args:
        own: descriptors that the runner itself holds, and replaces in a fork.
        parked: the processes of checkpoints.

    Raises:
        Refused: something would not survive a fork.
    """
    _check_threads()
    for pid, name in others(parked):
        raise Refused(f"child process {pid} ({name!r})")
    shared = _SHARED.search(_read(f"{_SELF}/maps"))
    if shared is not None:
        raise Refused(f"shared mapping of {os.fsdecode(shared[1])!r}")
    if os.readlink(f"{_SELF}/cwd").endswith(" (deleted)"):
        raise Refused("working directory, which was removed")
    streams = set()
    for descriptor in range(3):
        try:
            streams.add(os.fstat(descriptor).st_ino)
        except OSError:
            pass
    files = []
    for name in os.listdir(f"{_SELF}/fd"):
        descriptor = int(name)
        if descriptor in own:
            continue
        try:
            about, path = os.fstat(descriptor), os.readlink(f"{_SELF}/fd/{name}")
        except OSError:
            continue  # the listing's own
        kind = stat.S_IFMT(about.st_mode)
        if kind == stat.S_IFREG:
            if path.startswith("/memfd:") or not about.st_nlink:
                raise Refused(f"deleted file {path!r} (descriptor {name})")
            files.append(OpenFile(descriptor, path))
        elif kind == stat.S_IFSOCK:
            raise Refused(f"socket (descriptor {name})")
        elif kind == stat.S_IFIFO and about.st_ino not in streams:
            raise Refused(f"pipe (descriptor {name})")
        elif kind not in {stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO}:
            raise Refused(f"{path} (descriptor {name})")
    return files


def _check_threads():
    threading = sys.modules.get("threading")
    for thread in threading.enumerate() if threading is not None else ():
        if thread.ident != threading.get_ident():
            raise Refused(f"thread {thread.name!r}")


def _check_library_threads():
    """Refuse the threads that a fork has left: libraries that have a pool of threads end it before a fork."""
    deadline = time.monotonic() + _LINGERING
    while len(tasks := os.listdir(f"{_SELF}/task")) > 1:
        if time.monotonic() > deadline:
            task = next(task for task in tasks if int(task) != os.getpid())
            name = os.fsdecode(_read(f"{_SELF}/task/{task}/comm").strip())
            raise Refused(f"thread {name!r} of a library")
        time.sleep(0.0002)


def others(parked):
    """Yield the other processes of the context but for those that are parked: number and name."""
    groups = set(os.getgroups())
    left_out = {os.getpid(), *parked}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in left_out:
            continue
        try:
            lines = _read(f"/proc/{name}/status").split(b"\n")
        except OSError:
            continue  # it has ended
        fields = dict(line.split(b":\t", 1) for line in lines if b":\t" in line)
        if groups and groups & set(map(int, fields.get(b"Groups", b"").split())) and not _is_ending(name):
            yield int(name), os.fsdecode(fields[b"Name"])


def _is_ending(name):
    """Tell whether a process runs none of its code any more: its memory may take a while to go."""
    flags = []
    for thread in _names(f"/proc/{name}/task"):
        try:
            about = _read(f"/proc/{name}/task/{thread}/stat")
        except OSError:
            continue  # the thread has ended
        flags.append(int(about.rpartition(b")")[2].split()[6]))  # the name before may hold anything
    return all(flag & _EXITING for flag in flags)


def _names(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def wait_until_alone(parked):
    """Wait until what ran after the checkpoint is gone.

    Raises:
        Refused: it is not.
    """
    deadline = time.monotonic() + _PATIENCE
    left = next(others(parked), None)
    while left is not None:
        if time.monotonic() > deadline:
            raise Refused(f"process {left[0]} ({left[1]!r}), which does not end")
        time.sleep(0.0005)
        left = next(others(parked), None)


def away():
    """Fork a process, to be parked, that the code of the cells does not meet as its child.

    Python does more in a fork of its own, and has libraries begin anew, which copies some 200 pages. None of that is
    needed: no thread is lost, and what is woken goes on as the process that it was.

    Returns:
        0 in the new process. In this one a number for ``bury``.

    Raises:
        OSError: no process could be made.
        Refused: a library has threads that a fork does not end. There is no new process.
    """
    _end_library_threads()
    unseen = _unseen_fork()
    pid = -1 if unseen is None else unseen()
    return _fork_of_a_fork() if pid < 0 else pid


def _end_library_threads():
    """Have libraries end their threads, which they do before a fork.

    Raises:
        Refused: a library does not.
    """
    if len(os.listdir(f"{_SELF}/task")) == 1:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the threads
        between = _bare_fork()
    if between == 0:
        os._exit(0)
    bury(between)
    _check_library_threads()


def _fork_of_a_fork():
    ours, theirs = _socket.socketpair()
    between = _bare_fork()
    if between == 0:
        ours.close()
        _fork_on(theirs)
        theirs.close()
        return 0
    theirs.close()
    try:
        answer = ours.recv(1)
    except BaseException:
        os.kill(between, signal.SIGKILL)
        bury(between)
        raise
    finally:
        ours.close()
    if answer != _GO:
        bury(between)
        error = answer[0] if answer else errno.ESRCH
        raise OSError(error, os.strerror(error))
    return between


def _bare_fork():
    """Fork by the C library alone: nothing but a fork in the new process needs what Python does besides."""
    pid = _c_fork()()
    return os.fork() if pid < 0 else pid  # Python says why it failed


@functools.cache
def _c_fork():
    try:
        import _ctypes  # all of ctypes would be copied
    except ImportError:  # an image may lack it
        return os.fork
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "fork")
    return functools.partial(_ctypes.call_cdeclfunction, address, ())


@functools.cache
def _unseen_fork():
    """Return a function that forks a child whose end no usual wait meets (clone(2): it sends no signal); or None.

    It is the fork of glibc but for the handlers of libraries. The new thread must find its number where glibc keeps it.
    """
    number = _CLONE.get(os.uname().machine)
    try:
        import _ctypes
    except ImportError:
        return None
    if number is None or "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        return None
    library = _ctypes.dlopen(None, 0)
    address = type("Address", (_ctypes._SimpleCData,), {"_type_": "P"})()
    thread = type("Number", (_ctypes._SimpleCData,), {"_type_": "i"})
    asked = (_PR_GET_TID_ADDRESS, _ctypes.byref(address), 0, 0, 0)
    if _ctypes.call_cdeclfunction(_ctypes.dlsym(library, "prctl"), asked) or not address.value:
        return None
    if thread.from_address(address.value).value != os.getpid():
        return None
    arguments = (number, _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID, 0, 0, address, address)  # the last two by machine
    return functools.partial(_ctypes.call_cdeclfunction, _ctypes.dlsym(library, "syscall"), arguments)


def _fork_on(origin):
    """Fork, and end; return in the fork."""
    try:
        if _bare_fork():
            os._exit(0)
        origin.send(_GO)
    except BaseException as error:
        origin.send(bytes([getattr(error, "errno", None) or errno.EIO]))
        os._exit(1)


def bury_parked():
    """Forget the parked processes that have ended: they are children that only such a wait meets."""
    try:
        while os.waitpid(-1, os.WNOHANG | _WCLONE)[0]:
            pass
    except ChildProcessError:
        pass


def bury(between):
    """Wait for the process between this one and the new one to have ended: the code of the cells never meets it."""
    try:
        os.waitpid(between, 0)
    except ChildProcessError:
        pass  # the code of the cells does not want to know of children


class Traits:
    """Traits of a process that a fork changes by itself, and that a woken one gets back."""

    def __init__(self):
        self.directory = os.getcwd()
        random = sys.modules.get("random")
        self.random = None if random is None else random.getstate()

    def give_back(self, names, diverges=False):
        """Take the directory and random numbers of the time of the checkpoint.

        Args:
            names: the variables of the cells.
            diverges: take new random numbers instead.
        """
        os.chdir(self.directory)
        if not diverges:
            if self.random is not None:
                sys.modules["random"].setstate(self.random)
            return
        for name in ("random", "numpy.random", "torch"):  # uuid and ssl ask the kernel, or look at the process
            module = sys.modules.get(name)
            if module is not None:
                module.seed()
        if "numpy.random" in sys.modules:
            _seed_generators(sys.modules["numpy.random"], names)


def _seed_generators(random, names):
    """Seed numpy's generators that a variable names: to look for others would copy the pages of all objects."""
    kinds = (random.Generator, random.RandomState, random.BitGenerator)
    for value in tuple(names.values()):
        if isinstance(value, kinds):
            bits = value if isinstance(value, random.BitGenerator) else value._bit_generator
            bits.state = type(bits)().state


def renew_loop(loop, running):
    """Give the event loop of a fork descriptors of its own: what is behind the old ones is another process's.

    Args:
        loop: the loop.
        running: the task of it that forked.
    """
    asyncio._set_running_loop(loop)
    asyncio.set_event_loop(loop)
    if asyncio.current_task(loop) is None:
        asyncio.tasks._enter_task(loop, running)
    old = loop._selector
    loop._selector = type(old)()
    old.close()
    loop._close_self_pipe()
    loop._make_self_pipe()
    if loop._signal_handlers:
        signal.set_wakeup_fd(loop._csock.fileno())


def own_of_loop(loop):
    """Return the descriptors that an event loop holds for itself."""
    return {loop._selector.fileno(), loop._ssock.fileno(), loop._csock.fileno()}


def held(parked):
    """Return the memory that each parked process holds, with its share of what several have: bytes, by its number."""
    sizes = {}
    for pid in parked:
        try:
            found = re.search(rb"^Pss:\s+(\d+)", _read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE)
        except OSError:
            continue  # it has ended
        sizes[pid] = int(found[1]) * 1024 if found else 0
    return sizes


def _read(path):
    with open(path, "rb") as file:
        return file.read()
