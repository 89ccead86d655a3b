"""A tree of files that is going to be an image, and programs that run inside it.

Programs run in mount and PID namespaces of their own that die with us (``unshare(1)``, ``setpriv(1)``): whatever
happens, also ``kill -9``, no mount and no daemon of a package's script stays on the host.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from interpreter_tools.setup.apt import APT_GET, AptMeter
from interpreter_tools.setup.errors import SetupFailed
from interpreter_tools.setup.host import build_environment, split_certificates
from interpreter_tools.setup.process import run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interpreter_tools.setup.host import AptSettings, AptSource

NAMESPACES = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
"""Puts a program, and all that it starts, where they cannot outlive us."""

LOCALHOST = "127.0.0.1 localhost\n::1 localhost\n"
"""An image's ``/etc/hosts``: one that names localhost lets a sandbox do without the engine's network set-up."""

MANUAL_DIRECTORIES = tuple(f"/usr/share/man/man{section}" for section in range(1, 10))
"""Images hold no manual pages, but their directories: scripts of packages put links there, and fail without them."""

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""The file in an image with the certificate authorities that it trusts."""

_WITHOUT = tuple(f"usr/share/{name}" for name in ("doc", "man", "info", "locale", "lintian", "doc-base"))
_KEPT = {
    "usr/share/doc": ("/usr/share/doc/*/copyright",),
    "usr/share/man": ("/usr/share/man/man[1-9]", "/usr/share/man/*/man[1-9]"),  # directories, for links of alternatives
}
_APT_HERE = (*APT_GET, "-o", "DPkg::Options::=--force-unsafe-io")  # a build that is cut off starts anew anyway
_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}  # memory devices, major 1: mem(4), full(4)
_HOST_CONFIG = ("etc/hosts", "etc/resolv.conf", "etc/apt/apt.conf.d/91host-passing", "etc/apt/auth.conf", "root/.npmrc")
_EMPTIED = ("var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "var/log", "tmp", "var/tmp", "run", "root/.npm")


class Chroot:
    """A system's root directory, owned by the build.

    Args:
        root: the directory; it must hold a whole system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"<Chroot {self.root}>"

    async def run(
        self,
        arguments: Sequence[str],
        *,
        on_line: Callable[[str], None] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program inside and return the last lines of its output.

        Args:
            arguments: the program and its arguments.
            on_line: is given each line as it comes.
            variables: what it gets beside what is passed on of our environment.

        Raises:
            ProgramFailed: it failed.
        """
        environment = {**build_environment("/root"), **(variables or {})}
        wrapper = (*NAMESPACES, "--root", str(self.root), "--mount-proc", "--")
        return await run_program(arguments, wrapper=wrapper, environment=environment, on_line=on_line)

    def configure(self, sources: Sequence[AptSource], settings: AptSettings, bundle: str | None) -> None:
        """Give it the host's way to the network: names, repositories, how to fetch, certificates."""
        for name in ("etc/hosts", "etc/resolv.conf"):
            self.copy(Path("/", name), name)
        lines = (f"deb {source.uri} {source.release} {source.component}" for source in sources)
        self.write("etc/apt/sources.list", "\n".join(lines) + "\n")
        self.write("etc/apt/apt.conf.d/90host", "\n".join(settings.lasting) + "\n")
        self.write("etc/apt/apt.conf.d/91host-passing", "\n".join(settings.passing) + "\n")
        for directory in ("trusted.gpg.d", "auth.conf.d", "keyrings"):
            for file in Path("/etc/apt", directory).glob("*"):
                self.copy(file, f"etc/apt/{directory}/{file.name}")
        self.copy(Path("/etc/apt/auth.conf"), "etc/apt/auth.conf")
        self.copy(Path("/etc/apt/trusted.gpg"), "etc/apt/trusted.gpg.d/host-trusted.gpg")
        self.copy(Path.home() / ".npmrc", "root/.npmrc")
        if bundle is not None:
            self.write(BUNDLE[1:], bundle)
        for directory in _WITHOUT:  # deb(5) packages that are installed from here on leave these out themselves
            kept = "".join(f"path-include={pattern}\n" for pattern in _KEPT.get(directory, ()))
            self.write(f"etc/dpkg/dpkg.cfg.d/{directory.replace('/', '-')}", f"path-exclude=/{directory}/*\n{kept}")
        self._make_manual_directories()

    def _make_manual_directories(self) -> None:
        for directory in MANUAL_DIRECTORIES:
            self.path(directory).mkdir(parents=True, exist_ok=True)

    def make_devices(self) -> None:
        """Make the device files that packages' scripts use; an archive leaves them out, as the engine brings its own.

        Raises:
            SetupFailed: we may not.
        """
        for name, minor in _DEVICES.items():
            path = self.path(f"dev/{name}")
            if path.exists():
                continue
            try:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            except PermissionError as error:
                raise SetupFailed(
                    f"device files cannot be made in {self.root}",
                    hint="build on a machine, or in a container, where root may make them (mknod)",
                ) from error
            path.chmod(0o666)  # whatever the umask is

    async def install(self, packages: Sequence[str], *, on_progress: Callable[[float, str], None]) -> None:
        """Install packages and bring the others up to date.

        Raises:
            ProgramFailed: apt-get failed.
        """
        meter = AptMeter()

        def on_line(line: str) -> None:
            step = meter.feed(line)
            if step is not None:
                on_progress(*step)

        on_progress(0.0, "reading the package lists")
        await self.run([*APT_GET, "-o", "APT::Update::Error-Mode=any", "update"])  # else a network that is down is none
        await self.run([*_APT_HERE, "upgrade", "--no-install-recommends"])
        await self.run([*_APT_HERE, "install", "--no-install-recommends", *packages], on_line=on_line)

    async def purge(self, packages: Sequence[str]) -> None:
        """Remove packages, and those that only they needed.

        Raises:
            ProgramFailed: apt-get failed.
        """
        await self.run([*_APT_HERE, "purge", "--autoremove", *packages])

    async def trust(self, bundle: str) -> None:
        """Make what runs inside trust the certificate authorities that the host trusts, for good.

        Those that the image's own package lacks are added one file each, as update-ca-certificates(8) wants them, so
        that they are kept when the package is upgraded or installed again.
        """
        self.write(BUNDLE[1:], "")
        await self.run(["update-ca-certificates", "--fresh"])
        known = set(split_certificates(self.path(BUNDLE).read_text()))
        missing = [certificate for certificate in split_certificates(bundle) if certificate not in known]
        for number, certificate in enumerate(missing, start=1):
            self.write(f"usr/local/share/ca-certificates/host-{number:03}.crt", certificate)
        if missing:
            await self.run(["update-ca-certificates"])

    def clean(self) -> None:
        """Remove what only the build needed: lists, caches, documents, and what is the host's own business."""
        for name in _HOST_CONFIG:
            self.path(name).unlink(missing_ok=True)
        for file in self.path("etc/apt/auth.conf.d").glob("*"):
            file.unlink()
        for directory in (*_EMPTIED, *_WITHOUT):
            self.empty(directory)
        self._make_manual_directories()
        self.write("etc/machine-id", "")
        self.write("etc/resolv.conf", "")  # the engine mounts its own over it
        self.write("etc/hosts", LOCALHOST)

    def empty(self, directory: str) -> None:
        """Remove a directory's content, copyright files of packages excepted."""
        for entry in self.path(directory).glob("*"):
            if entry.is_dir() and not entry.is_symlink():
                copyright_file = entry / "copyright"
                text = copyright_file.read_bytes() if copyright_file.is_file() else None
                shutil.rmtree(entry)
                if text is not None:
                    entry.mkdir()
                    copyright_file.write_bytes(text)
            else:
                entry.unlink()

    def remove(self, patterns: Sequence[str]) -> None:
        """Remove the files inside that match one of the patterns."""
        for pattern in patterns:
            for path in self.root.glob(pattern):
                path.unlink()

    def path(self, name: str) -> Path:
        """Return the host's path of a path inside."""
        return self.root / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        """Write a file inside; a symbolic link of that name is replaced, not followed out of the tree."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link inside."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file of the host, when there is one."""
        if source.is_file():
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            shutil.copyfile(source, path)


def pack_command(root: Path) -> list[str]:
    """Return the command that writes the tree as a tar archive to stdout, without what the kernel mounts there."""
    kernel = (f"--exclude=./{name}/*" for name in ("dev", "proc", "sys", "run", "tmp"))
    return ["tar", "--create", "--anchored", "--numeric-owner", f"--directory={root}", *kernel, "."]
