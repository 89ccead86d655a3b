# pyright: basic
"""Installs packages into a virtual environment; runs as ``python3 -c`` in an installer, never in a sandbox.

``uv`` where the image has it, as it is several times as fast, else ``pip``. Both would compile every file, ``pip`` one
after another. Here all cores do it, and leave out the packages' own tests, which are half of the files: for numpy that
is 0.2 s instead of 0.9 (uv) and 1.6 (pip) on two cores. What nobody compiled is compiled by each run that imports it,
as a sandbox cannot write here.

The environment is that of ``venv``, with the image's own packages in sight. One name is added: ``lib/site-packages``
leads to the packages whatever Python's version is, for PYTHONPATH.

Wheels are downloaded once for all sets of packages. A program of a package's build could change such a cache for the
next set. So it belongs to a user of its own, as whom no package's code is run: ``--warm`` takes wheels only, and shows
what belongs to this set. ``uv`` installs them nowhere in particular, and the installation itself begins with a copy of
uv's cache for them; ``pip`` downloads them, and the installation itself knows no other index. What nobody may see of
other sets is not shown, and has no name to be guessed.
"""

import os
import site
import stat
import sys
import time

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def find(program):
    """Return the program's path; None when it is not there."""
    paths = (os.path.join(directory, program) for directory in os.environ["PATH"].split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def make_environment(target, final):
    """Make the directories and links of a virtual environment; PEP 405."""
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
    """Compile all files. Each core takes its share, large files first: to hand them out singly takes twice the time.

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


MOST_CACHED = 2 << 30  # bytes, beyond which nothing more is kept until the cache is removed


def warm(home, final, file):
    """Bring the wheels of a set of packages into the cache; print the path of the view of it that the set may have.

    A list that wants a package built has no part in it: ``--no-binary`` has precedence over what the command says.
    Whatever fails here is no failure: then everything is downloaded, and the errors are told, by the installation.
    """
    import secrets
    import shutil

    uv, cache, archive = find("uv"), f"{home}/cache", f"{home}/archive"
    os.umask(0o077)
    os.chmod(home, 0o711)
    os.chmod(os.path.dirname(home), 0o711)
    os.utime(os.path.dirname(home))  # the time of the last use
    for name in os.listdir(home):
        if name.startswith(("view-", "scratch-")) and os.lstat(f"{home}/{name}").st_mtime < time.time() - 3600:
            shutil.rmtree(f"{home}/{name}", ignore_errors=True)
    if not os.path.isdir(cache):
        os.mkdir(archive)
        os.chmod(archive, 0o711)
        os.mkdir(cache)
        os.symlink("../archive", f"{cache}/archive-v0")
    with open(file, encoding="utf-8") as given:
        if any(line.startswith("--no-binary") for line in given):
            return
    if not uv:
        warm_pip(home, file)
        return
    if cached(cache) > MOST_CACHED:
        return
    scratch = f"{home}/scratch-{secrets.token_hex(16)}"
    os.mkdir(scratch)
    os.environ["TMPDIR"] = scratch
    packages = make_environment(f"{scratch}/environment", final)
    for name in os.listdir(cache):
        if name.startswith("interpreter-"):  # images may have different ones of the same path
            shutil.rmtree(f"{cache}/{name}", ignore_errors=True)
    python = f"{scratch}/environment/bin/python3"
    command = [
        uv,
        "pip",
        "install",
        "--no-config",
        "--cache-dir",
        cache,
        "--only-binary",
        ":all:",
        "--no-progress",
        "--python",
        python,
    ]
    silent = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    environment = {**os.environ, "UV_HTTP_RETRIES": "0"}
    pid = os.posix_spawn(uv, [*command, *split(scratch, file)], environment, file_actions=silent)
    if os.waitpid(pid, 0)[1] == 0:
        found = (name[: -len(".dist-info")].rpartition("-") for name in os.listdir(packages) if ".dist-info" in name)
        view = show(home, {name.lower().replace("_", "-").replace(".", "-"): version for name, _, version in found})
        sys.stdout.write(f"{view}\n")
    shutil.rmtree(scratch, ignore_errors=True)


def warm_pip(home, file):
    """Bring wheels into the cache of pip; print the path of a directory with those of this set."""
    import secrets
    import shutil

    cache, view = f"{home}/pip", f"{home}/view-{secrets.token_hex(16)}"
    if size_of(cache) > MOST_CACHED:
        return
    scratch = os.environ["TMPDIR"] = f"{home}/scratch-{secrets.token_hex(16)}"
    os.mkdir(scratch)
    command = [sys.executable, "-m", "pip", "download", "--cache-dir", cache, "--only-binary", ":all:", "--dest", view]
    told = [(os.POSIX_SPAWN_DUP2, 2, 1)]  # what it downloads; the path of the view has the other stream to itself
    words = [*command, "--retries", "0", *PIP_OPTIONS, *pip_options(), *split(scratch, file)]
    pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=told)
    if os.waitpid(pid, 0)[1] == 0:
        open_to_all(view)
        sys.stdout.write(f"{view}\n")
    else:
        shutil.rmtree(view, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)


def size_of(top):
    """Return the bytes of all files in a tree."""
    return sum(os.lstat(f"{directory}/{name}").st_size for directory, _, names in os.walk(top) for name in names)


def cached(cache, more=0):
    """Return the bytes in the cache, after ``more`` was added to them."""
    path = f"{cache}/interpreter-tools-size"
    size = more
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            size += int(file.read() or 0)
    if more:
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(size))
    return size


def show(home, versions):
    """Make a view of the cache with some packages only, which everybody may read who knows where it is."""
    import secrets
    import shutil

    cache, view = f"{home}/cache", f"{home}/view-{secrets.token_hex(16)}"
    for directory, below, files in os.walk(cache):
        place = directory.removeprefix(cache).lstrip("/")
        if not place:
            below[:] = [name for name in below if name.startswith(("simple-", "wheels-"))]
            continue
        name = os.path.basename(directory)
        if place.startswith("wheels-") and name in versions:
            chosen = [each for each in [*below, *files] if each.startswith(f"{versions[name]}-")]
            below.clear()
        else:
            chosen = [each for each in files if each.rpartition(".")[0] in versions]
        for each in chosen:
            os.makedirs(f"{view}/{place}", exist_ok=True)
            shutil.copyfile(f"{directory}/{each}", f"{view}/{place}/{each}", follow_symlinks=False)
    open_to_all(view)
    for name in archives(view):
        if os.stat(f"{home}/archive/{name}").st_mode & 0o077 == 0:
            cached(cache, open_to_all(f"{home}/archive/{name}"))
    return view


def archives(view):
    """Return the names of the archives that wheels in a view lead to."""
    links = (f"{directory}/{name}" for directory, below, files in os.walk(view) for name in [*below, *files])
    return {os.path.basename(os.readlink(link)) for link in links if os.path.islink(link)}


def open_to_all(top):
    """Let everybody read a tree; return its size in bytes. The top is the last, so that it tells that all is done."""
    size = 0
    for directory, _, files in os.walk(top, topdown=False):
        for path in (f"{directory}/{name}" for name in files):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                size += status.st_blocks * 512
                os.chmod(path, 0o755 if status.st_mode & 0o100 else 0o644)
        os.chmod(directory, 0o755)
    return size


def cache_options(view):
    """Make this installation's own cache with what belongs to it in the shared one; return uv's options for it."""
    import shutil

    if not view:
        return ["--no-cache"]
    cache = f"{os.environ['TMPDIR']}/wheels"
    shutil.copytree(view, cache, symlinks=True)
    os.mkdir(f"{cache}/archive-v0")
    for name in archives(cache):
        shutil.copytree(f"{os.path.dirname(view)}/archive/{name}", f"{cache}/archive-v0/{name}", symlinks=True)
    return ["--cache-dir", cache]


PIP_OPTIONS = ("--no-input", "--progress-bar", "off")


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
    view = os.environ.pop("INTERPRETER_TOOLS_CACHE", "")
    if uv:
        cache = cache_options(view)
        command = [uv, "pip", "install", "--no-config", *cache, "--python", python, "--no-progress"]
    else:
        command = [python, "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--no-warn-script-location"]
        command += [*PIP_OPTIONS, *pip_options()]
        if view:
            command += ["--no-index", "--find-links", view]
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
    sys.exit(warm(*sys.argv[2:]) if sys.argv[1] == "--warm" else main(*sys.argv[1:]))
