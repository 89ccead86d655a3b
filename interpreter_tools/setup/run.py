"""The whole set-up: first the engine, then the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from interpreter_tools.setup.cache import BuildCache, default_cache
from interpreter_tools.setup.engine import open_engine
from interpreter_tools.setup.images import ImageProvider, ImageReady, choose_targets, image_of
from interpreter_tools.setup.packages import refuse
from interpreter_tools.setup.progress import ignore
from interpreter_tools.setup.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools.setup.packages import Consent
    from interpreter_tools.setup.progress import Reporter


class SetupResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a set-up.

    Attributes:
        engine: the engine's address.
        version: the engine's version.
        images: the images, in the order in which they were asked for.
        left_out: images that only a registry has, and none that answers; none of them was asked for by name.
    """

    engine: str
    version: str
    images: tuple[ImageReady, ...]
    left_out: tuple[str, ...] = ()


async def set_up(
    names: Sequence[str] = (),
    *,
    everything: bool = False,
    docker_host: str | None = None,
    update: bool = False,
    consent: Consent = refuse,
    report: Reporter = ignore,
) -> SetupResult:
    """Make this machine ready to run code; what is ready already is left alone.

    Args:
        names: languages or images to make ready; none of them means the default languages.
        everything: make all the images of ``KNOWN_IMAGES`` ready, too. Those that only a registry has are left out
            where no registry answers, unless they are named.
        docker_host: address of the engine; None means the first that answers.
        update: make images again that are there already.
        consent: is asked before this machine is changed: packages installed, services started.
        report: is told how it goes.

    Raises:
        UnknownLanguage: a name is neither a language nor an image.
        MachineError: the engine, or an image, could not be made ready; the message and the hint say what to do.
    """
    named = choose_targets(names) if names or not everything else []
    targets = [*RECIPES, *(one for one in named if one not in RECIPES)] if everything else named
    optional = {image_of(one) for one in targets if isinstance(one, Recipe) and not one.packages and one not in named}
    async with await open_engine(docker_host, consent=consent, report=report) as client:
        provider = ImageProvider(client, BuildCache(default_cache()), consent=consent, report=report, update=update)
        images = await provider.provide(targets, optional=optional)
        ready = {image.image for image in images}
        return SetupResult(
            engine=client.endpoint.url,
            version=client.version.version,
            images=tuple(images),
            left_out=tuple(sorted(optional - ready)),
        )
