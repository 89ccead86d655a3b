"""The way of each image to this machine: it exists already, a registry has it, or it is built."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import msgspec

from interpreter_tools._container.images import image_name
from interpreter_tools._exceptions import DockerApiError, MachineError, UnknownLanguage
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.setup.build import ImageBuilder
from interpreter_tools.setup.errors import SetupFailed
from interpreter_tools.setup.progress import Progress
from interpreter_tools.setup.pull import PULL_SHARE, derive, official_reference, pull
from interpreter_tools.setup.recipes import DEFAULT_LANGUAGES, IMAGE_LABEL, RECIPE_LABEL, RECIPES, Recipe, find_recipe

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from interpreter_tools._docker import DockerClient
    from interpreter_tools.setup.cache import BuildCache
    from interpreter_tools.setup.packages import Consent
    from interpreter_tools.setup.progress import Reporter

Source: TypeAlias = Literal["present", "pulled", "built"]

_PARALLEL_BUILDS = 2  # they keep a core each busy


class ImageReady(msgspec.Struct, frozen=True):
    """An image that is there now.

    Attributes:
        image: its name.
        source: ``present`` (it was there), ``pulled`` or ``built``.
        seconds: how long it took.
    """

    image: str
    source: Source
    seconds: float


class KnownImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that set-up knows how to make.

    Attributes:
        name: its short name, which set-up takes.
        image: its whole name.
        languages: the languages that run in it unless told otherwise; none where it has to be named for a run.
        default: it is made when nothing is named.
    """

    name: str
    image: str
    languages: tuple[str, ...]
    default: bool


KNOWN_IMAGES = tuple(
    KnownImage(
        name=recipe.name,
        image=recipe.image,
        languages=recipe.languages,
        default=bool(set(recipe.languages) & set(DEFAULT_LANGUAGES)),
    )
    for recipe in RECIPES
)
"""Every image that set-up knows how to make."""


def choose_targets(names: Sequence[str]) -> list[Recipe | str]:
    """Return the images to make ready: recipes, and names of images that only a registry can have.

    Args:
        names: languages, short names of ours, or images; none of them means the default languages. A language whose
            image the environment names otherwise (``INTERPRETER_TOOLS_IMAGE_<LANGUAGE>``) means that image.

    Raises:
        UnknownLanguage: a name is neither a language nor, as it has no tag, an image.
    """
    targets: list[Recipe | str] = []
    for name in names or DEFAULT_LANGUAGES:
        target = _choose(name)
        if target not in targets:
            targets.append(target)
    return targets


def _choose(name: str) -> Recipe | str:
    try:
        image = image_name(LanguageRegistry.get(name), override=None, images={})
    except UnknownLanguage:
        recipe = find_recipe(name)  # a short name, or a language that we have an image for but that is not registered
        if recipe is None and not set(name) & set(":/@"):
            raise
        return recipe or name
    return find_recipe(image) or image


def image_of(target: Recipe | str) -> str:
    """Return the image that a target is about."""
    return target if isinstance(target, str) else target.image


class ImageProvider:
    """Makes images ready on one engine.

    Args:
        client: the engine.
        cache: where builds happen.
        consent: is asked before a build installs packages on this machine.
        report: is told how it goes.
        update: make images again that are there already.
    """

    def __init__(
        self, client: DockerClient, cache: BuildCache, *, consent: Consent, report: Reporter, update: bool
    ) -> None:
        self._client = client
        self._cache = cache
        self._consent = consent
        self._report = report
        self._update = update
        self._builds = anyio.CapacityLimiter(_PARALLEL_BUILDS)
        self._started = time.monotonic()
        self._ready: dict[str, ImageReady] = {}
        self._failures: dict[str, MachineError] = {}
        self._replaced: dict[str, str] = {}  # by the name that led to it; what is made from another comes first

    def __repr__(self) -> str:
        return f"<ImageProvider {self._client!r} [{len(self._ready)} ready, {len(self._failures)} failed]>"

    async def provide(self, targets: Sequence[Recipe | str], *, optional: Collection[str] = ()) -> list[ImageReady]:
        """Make the images ready and say where each came from, in their order.

        Args:
            targets: the images.
            optional: the names of those that may be left out.

        Raises:
            MachineError: one of the others cannot be; the rest is ready all the same.
        """
        async with anyio.create_task_group() as tasks:
            for target in targets:
                tasks.start_soon(self._find_or_pull, target)
        recipes = [target for target in targets if isinstance(target, Recipe) and target.image in self._failures]
        if recipes:
            await self._build_all(recipes)
        await self._remove_replaced(targets)
        for image, failure in self._failures.items():
            if image not in optional:
                raise failure
        return [self._ready[image] for image in map(image_of, targets) if image in self._ready]

    async def _is_present(self, target: Recipe | str) -> bool:
        """Return True when an image exists and is current; an image of an older recipe is made again."""
        found = await self._client.inspect_image(image_of(target))
        if found is None:
            return False
        outdated = (
            isinstance(target, Recipe)
            and IMAGE_LABEL in found.labels
            and found.labels.get(RECIPE_LABEL) != target.digest
        )
        if self._update or outdated:
            self._replaced[image_of(target)] = found.id
            return False
        return True

    async def _remove_replaced(self, targets: Sequence[Recipe | str]) -> None:
        """Remove images that lost their name to a newer one; those that are still used stay."""
        names = {*self._replaced, *map(image_of, targets)}
        current = {image.id for name in names if (image := await self._client.inspect_image(name)) is not None}
        for image_id in [image_id for image_id in self._replaced.values() if image_id not in current]:
            with contextlib.suppress(DockerApiError):  # 409: a container, or another name, holds it
                await self._client.remove_image(image_id)

    async def _find_or_pull(self, target: Recipe | str) -> None:
        image = image_of(target)
        reference = target if isinstance(target, str) else official_reference(target)

        def tell(fraction: float, text: str) -> None:
            self._report(Progress(image, "working", text, fraction))

        try:
            if await self._is_present(target):
                self._finish(image, "present")
                return
            tell(0.0, f"pulling {reference}")
            official = await self._client.inspect_image(reference)
            if official is not None:
                self._replaced.setdefault(reference, official.id)
            await pull(self._client, reference, tell=lambda fraction, text: tell(fraction * PULL_SHARE, text))
            if isinstance(target, Recipe):
                await derive(self._client, target, reference, tell=tell)
        except MachineError as error:
            self._fail(image, error)
        else:
            self._finish(image, "pulled")

    async def _build_all(self, recipes: Sequence[Recipe]) -> None:
        def tell_of_wait() -> None:
            for recipe in recipes:
                self._report(Progress(recipe.image, "working", "another set-up is at work; waiting for it"))

        async with self._cache.locked(on_wait=tell_of_wait):
            missing: list[Recipe] = []
            for recipe in recipes:
                if await self._is_present(recipe):
                    self._finish(recipe.image, "present")  # made by whom we waited for
                else:
                    missing.append(recipe)
            if not missing:
                return
            try:
                builder = await ImageBuilder.prepare(
                    self._client, self._cache, consent=self._consent, report=self._report
                )
            except MachineError as error:
                for recipe in missing:
                    self._fail(recipe.image, error)
                return
            async with anyio.create_task_group() as tasks:
                for recipe in missing:
                    tasks.start_soon(self._build, builder, recipe)

    async def _build(self, builder: ImageBuilder, recipe: Recipe) -> None:
        async with self._builds:
            try:
                await builder.build(recipe)
            except MachineError as error:
                self._fail(recipe.image, error)
            except OSError as error:  # the disk is full, or read-only
                self._fail(recipe.image, SetupFailed(str(error), hint=f"look at {self._cache.root}"))
            else:
                self._finish(recipe.image, "built")

    def _finish(self, image: str, source: Source) -> None:
        self._failures.pop(image, None)
        seconds = time.monotonic() - self._started
        self._ready[image] = ImageReady(image, source, round(seconds, 3))
        text = "present" if source == "present" else f"{source} in {seconds:.0f} s"
        self._report(Progress(image, "done", text, 1.0))

    def _fail(self, image: str, error: MachineError) -> None:
        earlier = self._failures.get(image)
        if earlier is None:
            self._failures[image] = error
            self._report(Progress(image, "failed", f"cannot be pulled: {error.message}"))
        else:
            text = f"{image} cannot be pulled ({earlier.message}) and cannot be built: {error.message}"
            self._failures[image] = SetupFailed(text, hint=error.hint)
            self._report(Progress(image, "failed", f"cannot be built: {error.message}"))
