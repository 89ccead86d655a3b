"""The dependency store for callers without an engine: list its entries and remove them."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools._config.checks import parse_size
from interpreter_tools._config.model import EngineConfig
from interpreter_tools._container.container import Container
from interpreter_tools._container.images import image_name
from interpreter_tools._container.shape import shape_of
from interpreter_tools._deadline import awake_limit
from interpreter_tools._dependencies import DERIVED_REPOSITORY, StoreEntry, choose, evict, list_store
from interpreter_tools._dependencies.derived_image import LABEL, STORE_LABEL
from interpreter_tools._dependencies.installer import installer_shape
from interpreter_tools._dependencies.store import read_manifest
from interpreter_tools._docker import DockerClient, Owner, ensure_supervisor_volume
from interpreter_tools._exceptions import DockerApiError, ImageMissing, StoreFailed
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from interpreter_tools._container.shape import Shape
    from interpreter_tools._docker import ImageSummary

_IN_USE = 409
_CLOSE_DEADLINE = 30.0


class DependencyStore:
    """The packages installed on a Docker host: ``async with DependencyStore() as store`` opens the store.

    A store belongs to the event loop that opened it; from another thread, use ``asyncio.run_coroutine_threadsafe``.
    Cancelling the opening removes the container that was started for it.

    Args:
        config: the configuration with the Docker engine and the volume; None means the defaults.
    """

    def __init__(self, config: EngineConfig | None = None) -> None:
        self._config = config or EngineConfig()
        self._client: DockerClient | None = None
        self._container: Container | None = None

    def __repr__(self) -> str:
        return f"<DependencyStore {self._config.dependency_store} [{'open' if self._container else 'closed'}]>"

    async def __aenter__(self) -> Self:
        self._client = client = await DockerClient.connect(self._config.docker_host)
        try:
            volume, info, owner = await asyncio.gather(
                ensure_supervisor_volume(client), client.info(), asyncio.to_thread(Owner.current)
            )
            self._container = await Container.start(
                client,
                await self._shape(client),
                supervisor=volume,
                labels=owner.labels(),
                traits=msgspec.structs.replace(volume.traits(info), store=self._config.dependency_store),
                installer=f"interpreter-tools-store-{uuid.uuid4().hex}",
            )
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Remove the container through which the store is read. Does nothing the second time.

        It ends within 30 seconds, also if ``aclose`` is cancelled.
        """
        container, self._container = self._container, None
        client, self._client = self._client, None
        with awake_limit(_CLOSE_DEADLINE, shield=True):
            if container is not None:
                await container.aclose()
            if client is not None:
                await client.aclose()

    async def _shape(self, client: DockerClient) -> Shape:
        """Return the shape of the store's container, of any image: only the supervisor runs in it."""
        config = self._config
        names: list[str] = []
        for language in map(LanguageRegistry.get, LanguageRegistry.names()):
            names.append(image_name(language, override=config.container.image, images=config.images))
            image = await client.inspect_image(names[-1])
            if image is not None:
                shape = shape_of(language, image, names[-1], config.container, reused=False)
                return installer_shape(shape, config, network="none")
        raise ImageMissing(names[0])

    def _open(self) -> tuple[DockerClient, Container]:
        if self._client is None or self._container is None:
            raise StoreFailed("the store is not open", hint="use `async with DependencyStore() as store`")
        return self._client, self._container

    async def entries(self) -> list[StoreEntry]:
        """Return the entries of the store, the oldest first; an image with system packages has its tag as name.

        Cancelling changes nothing.

        Raises:
            StoreFailed: the store cannot be read.
        """
        client, container = self._open()
        kept = await list_store(container.channel)
        listed = await client.list_images({STORE_LABEL: self._config.dependency_store})
        images = [await _derived(client, image) for image in listed]
        return sorted([*kept, *filter(None, images)], key=lambda entry: -entry.age)

    async def prune(
        self,
        *,
        older_than: float | None = None,
        max_size: str | int | None = None,
        everything: bool = False,
        dry_run: bool = False,
        on_removed: Callable[[StoreEntry], None] = lambda _entry: None,
    ) -> list[StoreEntry]:
        """Remove entries that are too old, then the oldest entries while the store is too large.

        A run that uses an entry meanwhile loses it; the next one installs it again. Images that containers use stay.
        If ``prune`` is cancelled, the entries that are not removed yet stay.

        Args:
            older_than: seconds since the installation.
            max_size: bytes, or a text such as ``"2g"``.
            everything: remove every entry.
            dry_run: remove nothing.
            on_removed: a function that is called with each entry after its removal.

        Returns:
                The entries that were removed, or that would be with ``dry_run``.

        Raises:
            ConfigurationError: ``max_size`` is no size.
            StoreFailed: an entry cannot be removed, or the store is not open.
        """
        client, container = self._open()
        limit = None if max_size is None else parse_size(max_size, field="max_size", least=0)
        removed: list[StoreEntry] = []
        chosen = choose(await self.entries(), older_than=older_than, max_size=limit, everything=everything)
        for entry in chosen:
            if not dry_run:
                if not entry.system:
                    await evict(container.channel, entry.name)
                elif not await _remove_image(client, entry.name):
                    continue
            removed.append(entry)
            on_removed(entry)
        return removed


async def _derived(client: DockerClient, image: ImageSummary) -> StoreEntry | None:
    tag = next((tag for tag in image.tags if tag.startswith(f"{DERIVED_REPOSITORY}:")), None)
    if tag is None:
        return None
    manifest = read_manifest(image.labels.get(LABEL, ""))
    base = await client.inspect_image(manifest.image) if manifest.image else None
    return StoreEntry(
        name=tag,
        language=manifest.language,
        packages=manifest.packages,
        image=manifest.image,
        size=max(0, image.size - (base.size if base is not None else 0)),
        age=max(0.0, time.time() - image.created),
        system=True,
    )


async def _remove_image(client: DockerClient, name: str) -> bool:
    """Remove an image; return False when a container uses it, so that it stays."""
    try:
        await client.remove_image(name)
    except DockerApiError as error:
        if error.status == _IN_USE:
            return False
        raise
    return True
