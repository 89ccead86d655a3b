# pyright: basic
"""Installs packages into a virtual environment; runs as ``python3 -c`` in an installer, never in a sandbox.

``uv`` where the image has it, as it is several times as fast, else ``pip``. Both would compile every file, ``pip`` one
after another. Here all cores do it, and leave out the packages' own tests, which are half of the files: for numpy that
is 0.2 s instead of 0.9 (uv) and 1.6 (pip) on two cores. What nobody compiled is compiled by each run that imports it,
as a sandbox cannot write here.

The environment is that of ``venv``, with the image's own packages in sight. One name is added: ``lib/site-packages``
leads to the packages whatever Python's version is, for PYTHONPATH.
"""

import os
import site
import stat
import sys

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def find(program):
    """The program's path; None when it is not there."""
    paths = (os.path.join(directory, program) for directory in os.environ["PATH"].split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def make_environment(target, final):
    """The directories and links of a virtual environment; PEP 405."""
    packages = f"{target}/lib/{VERSION}/site-packages"
    os.makedirs(packages)
    os.makedirs(f"{target}/bin")
    os.symlink(f"{VERSION}/site-packages", f"{target}/lib/site-packages")
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    os.symlink(interpreter, f"{target}/bin/python3")
    for name in ("python", VERSION):
        os.symlink("python3", f"{target}/bin/{name}")
    with open(f"{target}/pyvenv.cfg", "w", encoding="utf-8") as file:
        version = ".".join(map(str, sys.version_info[:3]))
        file.write(f"home = {os.path.dirname(interpreter)}\ninclude-system-site-packages = true\nversion = {version}\n")
    alias = f"{final}/lib/site-packages"
    lines = [f"import sys; {alias!r} in sys.path and sys.path.remove({alias!r})"]
    if sys.prefix != sys.base_prefix:  # the image's own packages are in a virtual environment, too
        lines += site.getsitepackages()
    with open(f"{packages}/_interpreter_tools.pth", "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return packages


def split(target, file):
    """Write the requirements and the constraints, which begin with ``-c``, into files of their own."""
    with open(file, encoding="utf-8") as given:
        lines = given.read().splitlines()
    constraints = [line[3:] for line in lines if line.startswith("-c ")]
    requirements = [line for line in lines if not line.startswith("-c ")]
    arguments = []
    for option, name, part in (("-r", "requirements", requirements), ("-c", "constraints", constraints)):
        if part:
            path = f"{os.environ['TMPDIR']}/{name}.txt"
            with open(path, "w", encoding="utf-8") as made:
                made.write("".join(f"{line}\n" for line in part))
            arguments += [option, path]
    return arguments


def settle(target, final):
    """Scripts name the interpreter by the path that the environment has from now on."""
    before, after = os.fsencode(target), os.fsencode(final)
    for entry in os.scandir(f"{target}/bin"):
        if entry.is_file(follow_symlinks=False) and entry.stat().st_size < 1 << 20:
            with open(entry.path, "rb") as file:
                data = file.read()
            if data[:2] == b"#!" and before in data:
                with open(entry.path, "wb") as file:
                    file.write(data.replace(before, after))


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


def share_font_list(packages, python):
    """Let runs read matplotlib's list of fonts, which each would make anew for a tenth of a second.

    matplotlib writes that list into the user's home, which every sandbox has anew, and reads it there. Where it looks
    is changed only when the list is there; a version that keeps the list elsewhere stays as it is.
    """
    import py_compile
    import shutil

    home = f"{os.environ['TMPDIR']}/matplotlib"
    os.makedirs(home)
    environment = {**os.environ, "MPLCONFIGDIR": home}
    silent = [(os.POSIX_SPAWN_OPEN, descriptor, "/dev/null", os.O_WRONLY, 0) for descriptor in (1, 2)]
    command = [python, "-c", "import matplotlib.font_manager"]
    os.waitpid(os.posix_spawn(python, command, environment, file_actions=silent), 0)
    source = f"{packages}/matplotlib/font_manager.py"
    with open(source, encoding="utf-8") as file:
        before = file.read()
    after = before.replace('mpl.get_cachedir(), f"fontlist', 'mpl.get_data_path(), f"fontlist')
    lists = [name for name in os.listdir(home) if name.startswith("fontlist-")]
    if after == before or not lists:
        return
    for name in lists:
        shutil.copyfile(f"{home}/{name}", f"{packages}/matplotlib/mpl-data/{name}")
    with open(source, "w", encoding="utf-8") as file:
        file.write(after)
    py_compile.compile(source, quiet=2)


PREPARE = {"matplotlib": share_font_list}
"""A step for each package that needs one after its installation, by its directory: runs cannot write there."""


def pip_options():
    """Return the options that this version of pip needs.

    From 24.2 on, pip asks the system for certificates, and then cannot speak TLS with an index that has an IP address
    for a name. The certificates that an installer trusts are in a file, which the old way reads.
    """
    from importlib.metadata import version

    is_new = [int(part) for part in version("pip").split(".")[:2]] >= [24, 2]
    return ["--use-deprecated=legacy-certs"] if is_new else []


def main(target, final, file):
    """Install, compile, and return the installer's status."""
    packages = make_environment(target, final)
    python, uv = f"{target}/bin/python3", find("uv")
    if uv:
        command = [uv, "pip", "install", "--no-config", "--no-cache", "--python", python, "--no-progress"]
    else:
        command = [python, "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--no-input"]
        command += ["--no-warn-script-location", "--progress-bar", "off", *pip_options()]
    pid = os.spawnv(os.P_NOWAIT, command[0], [*command, *split(target, file)])
    import py_compile  # while the installer is at work

    _, status = os.waitpid(pid, 0)
    if status == 0:
        settle(target, final)
        compile_all(packages, py_compile.compile)
        for name, prepare in PREPARE.items():
            if os.path.isdir(f"{packages}/{name}"):
                prepare(packages, python)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
