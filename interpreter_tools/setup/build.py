"""Makes an image from the distribution's packages, where no registry answers."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._exceptions import ArchitectureMismatch
from interpreter_tools.setup.base import find_base
from interpreter_tools.setup.chroot import BUNDLE, Chroot, pack_command
from interpreter_tools.setup.errors import ProgramFailed, SetupFailed
from interpreter_tools.setup.host import find_bundle, find_sources, is_root, read_apt_settings, read_os_release
from interpreter_tools.setup.packages import install_packages
from interpreter_tools.setup.process import run_program, stream_program
from interpreter_tools.setup.progress import Progress
from interpreter_tools.setup.recipes import image_variables, pip_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from interpreter_tools._docker import DockerClient
    from interpreter_tools.setup.cache import BuildCache
    from interpreter_tools.setup.host import AptSettings, AptSource
    from interpreter_tools.setup.packages import Consent
    from interpreter_tools.setup.progress import Reporter
    from interpreter_tools.setup.recipes import Recipe

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED = {"debootstrap": "debootstrap", "setpriv": "util-linux", "unshare": "util-linux", "tar": "tar"}
_LEAST_SPACE = 2 << 30


class ImageBuilder:
    """Makes images of one host's packages; it has what the builds share. The caller holds the cache's lock.

    Args:
        client: the engine that gets the images.
        cache: where builds happen.
        sources: the distribution's repositories.
        settings: how the host's apt fetches.
        base: the archive that images start from.
        report: is told how it goes.
    """

    def __init__(
        self,
        client: DockerClient,
        cache: BuildCache,
        *,
        sources: Sequence[AptSource],
        settings: AptSettings,
        base: Path,
        report: Reporter,
    ) -> None:
        self._client = client
        self._cache = cache
        self._sources = sources
        self._settings = settings
        self._base = base
        self._report = report
        bundle = find_bundle()
        self._bundle = None if bundle is None else bundle.read_text(errors="replace")

    def __repr__(self) -> str:
        return f"<ImageBuilder {self._base.name}>"

    @classmethod
    async def prepare(
        cls, client: DockerClient, cache: BuildCache, *, consent: Consent, report: Reporter
    ) -> ImageBuilder:
        """Check that images can be built here, and make the base that all start from.

        Raises:
            SetupFailed: they cannot; the message says what is missing.
            ArchitectureMismatch: the engine's machine has another processor.
        """
        system = read_os_release()
        if not system.has_apt:
            raise SetupFailed(
                f"images cannot be built from the packages of {system.pretty}",
                hint="give the engine a registry that answers (INTERPRETER_TOOLS_REGISTRY=host:port names one), "
                "or build on Debian or Ubuntu",
            )
        if not is_root():
            raise SetupFailed("building images from packages needs root", hint="run `sudo interpreter-tools setup`")
        machine = os.uname().machine
        if client.version.arch != machine:
            raise ArchitectureMismatch(
                f"images built here are for {machine}, but the engine's machine is {client.version.arch}",
                hint="run `interpreter-tools setup` on that machine, or where a registry answers",
            )
        free = shutil.disk_usage(cache.root).free
        if free < _LEAST_SPACE:
            raise SetupFailed(
                f"{cache.root} has {free >> 20} MB left, a build needs about {_LEAST_SPACE >> 20} MB",
                hint="make room, or set XDG_CACHE_HOME to a directory on another disk",
            )
        missing = [package for program, package in _NEEDED.items() if shutil.which(program, path=_PATH) is None]
        if missing:
            await install_packages(
                missing, question="Install what building images needs", step="base", consent=consent, report=report
            )
        settings = await read_apt_settings()
        sources = await find_sources(system)
        base = await find_base(cache, sources, environment=settings.proxies, report=report)
        return cls(client, cache, sources=sources, settings=settings, base=base, report=report)

    async def build(self, recipe: Recipe) -> None:
        """Make one image and give it to the engine.

        Raises:
            ProgramFailed: a step failed.
            DockerApiError: the engine refused the image.
        """

        def tell(fraction: float, text: str) -> None:
            self._report(Progress(recipe.image, "working", text, fraction))

        async with self._cache.work_tree() as work:
            tell(0.0, "unpacking the base system")
            root = work / "root"
            root.mkdir(mode=0o755)
            extract = ["tar", "--extract", "--preserve-permissions", f"--file={self._base}", f"--directory={root}"]
            await run_program(extract)
            tree = Chroot(root)
            tree.make_devices()
            tree.configure(self._sources, self._settings, self._bundle)
            await tree.install(recipe.packages, on_progress=lambda share, text: tell(0.05 + 0.65 * share, text))
            if self._bundle is not None:
                await tree.trust(self._bundle)
            await self._add_npm_packages(tree, recipe)
            for name, target in recipe.links.items():
                tree.link(name, target)
            tree.remove(recipe.unwanted)
            await self._add_pip_packages(tree, recipe)
            for check in recipe.checks:
                tell(0.85, f"trying {check[0]}")
                await tree.run(check)
            await anyio.to_thread.run_sync(tree.clean)
            tell(0.9, "importing into the engine")
            files = stream_program(pack_command(root), log=work / "tar.log")
            async with contextlib.aclosing(files):
                await self._client.import_image(files, tag=recipe.image, changes=self._changes(recipe))

    async def _add_pip_packages(self, tree: Chroot, recipe: Recipe) -> None:
        """Add what comes from Python's package index, where it can be had."""
        if not recipe.pip_packages:
            return
        self._report(Progress(recipe.image, "working", f"pip install {' '.join(recipe.pip_packages)}", 0.78))
        certificates = [] if self._bundle is None else [f"PIP_CERT={BUNDLE}"]
        try:
            await tree.run(["env", *certificates, *pip_command(recipe)])
        except ProgramFailed as error:
            reason = (error.output.strip().splitlines() or ["pip failed"])[-1]
            text = f"the package index does not serve ({reason}); going on without {' '.join(recipe.pip_packages)}"
            self._report(Progress(recipe.image, "working", text, 0.8))

    async def _add_npm_packages(self, tree: Chroot, recipe: Recipe) -> None:
        """Add what comes from npm's registry, or its stand-ins from the distribution.

        The distribution's npm is almost 400 packages. It is used once, to fetch the one that npm itself publishes.
        """
        if not recipe.npm_packages:
            return
        self._report(Progress(recipe.image, "working", f"npm install {' '.join(recipe.npm_packages)}", 0.72))
        flags = [
            "--global",
            "--prefix=/usr/local",
            "--no-fund",
            "--no-audit",
            "--no-update-notifier",
            "--fetch-retries=1",
        ]
        certificates = [] if self._bundle is None else [f"--cafile={BUNDLE}"]
        try:
            await tree.run(["npm", "install", *flags, *certificates, *recipe.npm_packages])
            for check in recipe.checks:
                await tree.run(check)
        except ProgramFailed as error:
            reason = next((line for line in error.output.splitlines() if " code " in line), "npm failed")
            text = f"npm's registry does not serve ({reason}); taking {' '.join(recipe.without_npm)} instead"
            self._report(Progress(recipe.image, "working", text, 0.75))
            shutil.rmtree(tree.path("usr/local/lib/node_modules"), ignore_errors=True)
            for name in ("npm", "npx", "tsc", "tsserver"):
                tree.path(f"usr/local/bin/{name}").unlink(missing_ok=True)
            await tree.install(recipe.without_npm, on_progress=lambda _share, _text: None)
        else:
            await tree.purge(["npm"])

    def _changes(self, recipe: Recipe) -> list[str]:
        variables = {"PATH": _PATH, **image_variables(with_bundle=self._bundle is not None)}
        return [
            *(f"ENV {name}={value}" for name, value in variables.items()),
            f"LABEL interpreter-tools.image={recipe.name}",
            f'CMD ["{recipe.program}"]',
        ]
