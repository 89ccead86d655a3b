"""The entries of the dependency store, and their removal."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.checks import parse_size
from interpreter_tools._dependencies.indexes import CACHE_MARK
from interpreter_tools._exceptions import StoreFailed
from interpreter_tools._protocol import Refused, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._container.channel import Channel

_SILENCE = 900.0  # seconds: to look through or to remove a large store takes a slow disk long
_MOST_CACHED = 2 << 30  # bytes
_FRESH = 3600.0  # seconds in which nothing is removed by itself: whoever had it installed is about to use it


class StoreEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One set of packages, or what is left of an installation.

    Attributes:
        name: its name in the store: the key, after ``.`` or ``-`` when it is not whole; for system packages the tag.
        language: for which language it was installed; empty where unknown.
        packages: what is in it.
        image: for which image.
        size: bytes on disk.
        age: seconds since it was installed.
        system: it is an image of its own, with system packages.
    """

    name: str
    language: str
    packages: tuple[str, ...]
    image: str
    size: int
    age: float
    system: bool = False

    @property
    def whole(self) -> bool:
        """True when the entry is complete."""
        return self.name[0] not in ".-"

    @property
    def is_cache(self) -> bool:
        """True for packages that were downloaded, which installations share."""
        return self.name.startswith(f".{CACHE_MARK}")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The description of an entry. Installers write it; it is read with care."""

    language: str = ""
    packages: tuple[str, ...] = ()
    image: str = ""


def read_manifest(data: bytes | str) -> Manifest:
    """Return a manifest; an empty one when it cannot be understood."""
    try:
        return msgspec.json.decode(data or b"{}", type=Manifest)
    except msgspec.DecodeError:
        return Manifest()


async def list_store(channel: Channel) -> list[StoreEntry]:
    """Return what the store holds, the oldest first.

    Args:
        channel: of a container that may write there.

    Raises:
        StoreFailed: it cannot be read.
        ContainerLost, ProtocolError: the container went away.
    """
    found: list[Stored] = []
    async with contextlib.aclosing(channel.converse(channel.free().entries(), silence=_SILENCE)) as answer:
        async for event in answer:
            if isinstance(event, Refused):
                raise StoreFailed("the dependency store cannot be read")
            if isinstance(event, Stored):
                found.append(event)
    now = time.time()
    entries: list[StoreEntry] = []
    for stored in found:
        manifest = read_manifest(stored.manifest)
        entries.append(
            StoreEntry(
                name=stored.name,
                language=manifest.language,
                packages=manifest.packages,
                image=manifest.image,
                size=stored.size,
                age=max(0.0, now - stored.modified),
            )
        )
    return sorted(entries, key=lambda entry: -entry.age)


async def evict(channel: Channel, name: str) -> None:
    """Remove an entry.

    Raises:
        StoreFailed: it cannot be removed.
        ContainerLost, ProtocolError: the container went away.
    """
    answer = await channel.ask(channel.free().evict(name), silence=_SILENCE)
    if isinstance(answer, Refused):
        raise StoreFailed(f"{name[:12]} cannot be removed from the dependency store")


def choose(
    entries: Sequence[StoreEntry], *, older_than: float | None, max_size: int | None, everything: bool = False
) -> list[StoreEntry]:
    """Return the entries to remove: those that are too old, then the oldest while all together are too large.

    The cache goes before the entries, as nobody waits for it; its age is the time since its last use. Leftovers go when
    they are older than an hour, as a fresh one may belong to an installation that is under way.

    Args:
        entries: what there is.
        older_than: seconds; None means that no age is too high.
        max_size: bytes; None means that no size is too large.
        everything: every entry goes.
    """
    gone = [
        entry
        for entry in entries
        if (
            everything or (older_than is not None and entry.age > older_than)
            if entry.whole or entry.is_cache
            else entry.age > _FRESH
        )
    ]
    kept = sorted((entry for entry in entries if entry not in gone), key=lambda entry: (not entry.is_cache, -entry.age))
    size = sum(entry.size for entry in kept)
    for entry in kept:
        if max_size is None or size <= max_size:
            break
        if entry.whole or entry.is_cache:
            gone.append(entry)
            size -= entry.size
    return gone


async def prune_to_size(channel: Channel, config: EngineConfig, *, keep: str) -> None:
    """Evict entries when the store is larger than its limit; fresh entries stay.

    Raises:
        InterpreterToolsError: something could not be removed.
    """
    entries = await list_store(channel)
    limit = None if config.store_max_size is None else parse_size(config.store_max_size, field="store_max_size")
    large = [entry for entry in entries if entry.is_cache and entry.size > _MOST_CACHED]
    for entry in [*large, *(entry for entry in choose(entries, older_than=None, max_size=limit) if entry not in large)]:
        if entry.age > _FRESH and entry.name != keep:
            await evict(channel, entry.name)
