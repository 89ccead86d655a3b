# pyright: basic
"""Installs packages into a directory; runs as ``python3 -c`` in an installer, never in a sandbox.

``uv`` where the image has it, as it is several times as fast, else ``pip``. Both would compile every file, ``pip`` one
after another. Here all cores do it, and leave out the packages' own tests, which are half of the files: for numpy that
is 0.2 s instead of 0.9 (uv) and 1.6 (pip) on two cores. What nobody compiled is compiled by each run that imports it,
as a sandbox cannot write here.
"""

import os
import stat
import sys


def find(program):
    """The program's path; None when it is not there."""
    paths = (os.path.join(directory, program) for directory in os.environ["PATH"].split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def compile_all(target, compile_file):
    """Each core takes its share, large files first; to hand them out singly, as ``compileall`` does, doubles the time.

    What cannot be compiled is no failure: packages carry files of other Pythons, and a full disk is told by others.
    """
    sizes = {}
    for directory, below, names in os.walk(target):
        below[:] = [name for name in below if name not in {"test", "tests"}]
        for path in (os.path.join(directory, name) for name in names if name.endswith(".py")):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                sizes[path] = status.st_size
    paths = sorted(sizes, key=lambda path: sizes[path], reverse=True)
    cores = len(os.sched_getaffinity(0))
    children = []
    for share in range(cores):
        child = os.fork()
        if child == 0:
            try:
                for path in paths[share::cores]:
                    compile_file(path, quiet=2)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def main(target, *packages):
    """Installs, compiles, and returns the installer's status."""
    uv = find("uv")
    if uv:
        command = [uv, "pip", "install", "--no-config", "--no-cache", "--python", sys.executable, "--no-progress"]
    else:
        command = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--no-input"]
        command += ["--no-warn-script-location", "--progress-bar", "off"]
    pid = os.spawnv(os.P_NOWAIT, command[0], [*command, "--target", target, "--", *packages])
    import py_compile  # while the installer is at work

    _, status = os.waitpid(pid, 0)
    if status == 0:
        compile_all(target, py_compile.compile)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
