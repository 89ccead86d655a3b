# pyright: basic
"""Installs packages into a directory; runs as ``python3 -c`` in an installer, never in a sandbox.

``uv`` where the image has it, as it is several times as fast, else ``pip``. Both would compile every file, ``pip`` one
after another. Here all cores do it, and leave out the packages' own tests, which are half of the files: for numpy that
is 0.4 s instead of 0.9 (uv) and 1.6 (pip) on two cores. What nobody compiled is compiled by each run that imports it,
as a sandbox cannot write here.
"""

import os
import sys


def find(program):
    """The program's path; None when it is not there."""
    paths = (os.path.join(directory, program) for directory in os.environ["PATH"].split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def main(target, *packages):
    """Installs, compiles, and returns the installer's status."""
    uv = find("uv")
    if uv:
        command = [uv, "pip", "install", "--no-config", "--no-cache", "--python", sys.executable, "--no-progress"]
    else:
        command = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--no-input"]
        command += ["--no-warn-script-location", "--progress-bar", "off"]
    pid = os.spawnv(os.P_NOWAIT, command[0], [*command, "--target", target, "--", *packages])
    import compileall  # while the installer is at work
    import re

    _, status = os.waitpid(pid, 0)
    if status == 0:
        # A file that is no Python of this version is no failure: packages carry those of others.
        compileall.compile_dir(target, maxlevels=64, quiet=2, rx=re.compile(r"/tests?/"), workers=0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
