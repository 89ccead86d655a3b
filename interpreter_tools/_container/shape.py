"""The shape of a container: all that makes two containers interchangeable."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.model import ContainerConfig
from interpreter_tools._languages import boot_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools._container.sources import MountSource
    from interpreter_tools._docker import ImageInfo
    from interpreter_tools._languages import LanguageConfig

_MOST_KNOWN = 256


class Shape(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The image, the limits and the interpreter of a container; containers of equal shapes can replace each other.

    Attributes:
        label: a short name for people; no part of what makes shapes equal.
        image: the image's name.
        image_id: its digest.
        image_environment: its variables.
        config: limits and network, without the settings of single runs.
        boot_mode: the way in which an interpreter is booted ahead; None when none is.
        boot_command: its command.
        boot_environment: its variables.
        image_volumes: directories for which the image asks for volumes.
        identities: device and inode of each mount from this machine; a replaced file needs another container.
        reused: True when containers are used again, after a reset.
        only_boxed: True when only those with sandboxes inside are; one without is used once.
        workspace_volume: the volume that is the workspace; None means a tmpfs of the container's own.
        uid: the user that programs run as; None means one that no other container has.
    """

    label: str
    image: str
    image_id: str
    image_environment: dict[str, str]
    config: ContainerConfig
    boot_mode: str | None
    boot_command: tuple[str, ...]
    boot_environment: dict[str, str]
    image_volumes: tuple[str, ...]
    identities: tuple[tuple[int, int], ...]
    reused: bool
    only_boxed: bool = False
    workspace_volume: str | None = None
    uid: int | None = None

    def private(self, workspace_volume: str, uid: int) -> Shape:
        """Return the shape with the workspace and the user of one session, whose files no reset may wipe."""
        reused = self.reused and not self.only_boxed
        return msgspec.structs.replace(
            self, workspace_volume=workspace_volume, uid=uid, reused=reused, only_boxed=False
        )

    def hosts(self, other: Shape) -> bool:
        """Return True when a container of this shape can have a program of the other one that nothing is booted for."""
        boot = {name: getattr(self, name) for name in ("boot_mode", "boot_command", "boot_environment")}
        return msgspec.structs.replace(other, **boot).key == self.key

    @functools.cached_property
    def key(self) -> tuple[object, ...]:
        """The key of the shape, equal for containers that can replace each other."""
        config = self.config
        return (
            self.image,
            self.image_id,
            self.boot_command,
            tuple(sorted(self.boot_environment.items())) if self.boot_mode else (),
            config.memory_bytes,
            config.cpus,
            config.pids_limit,
            config.workspace_bytes,
            config.tmp_bytes,
            config.network,
            tuple(sorted(config.ports)),
            tuple((mount.path, mount.source, mount.read_only, mount.tmpfs_bytes) for mount in config.mounts),
            self.identities,
            config.runtime,
            config.tenant,
            self.reused,
            self.only_boxed,
            self.workspace_volume,
            self.uid,
        )


class Shapes:
    """Shapes without mounts that runs have asked for: the next run of the same kind takes the same."""

    def __init__(self) -> None:
        # Found by the identity of their parts. An entry holds its parts, so that their ids stay theirs.
        self._known: dict[tuple[object, ...], tuple[Shape, tuple[object, ...]]] = {}

    def find(
        self,
        language: LanguageConfig,
        image: ImageInfo,
        name: str,
        config: ContainerConfig,
        *,
        reused: bool,
        only_boxed: bool,
    ) -> Shape:
        """Return what ``shape_of`` returns for these arguments."""
        parts = (language, image, config)
        key = (*map(id, parts), name, reused, only_boxed)
        known = self._known.get(key)
        if known is not None:
            return known[0]
        shape = shape_of(language, image, name, config, reused=reused, only_boxed=only_boxed)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = shape, parts
        return shape


def shape_of(
    language: LanguageConfig,
    image: ImageInfo,
    name: str,
    config: ContainerConfig,
    *,
    reused: bool,
    only_boxed: bool = False,
    sources: Sequence[MountSource] = (),
) -> Shape:
    """Return the shape of the containers that run a language in an image.

    Args:
        language: the language.
        image: the description of the image.
        name: the image's name.
        config: limits and network.
        reused: True when containers are used again, after a reset.
        only_boxed: True when only those with sandboxes inside are.
        sources: the sources of the configuration's mounts.
    """
    environment = dict(variable.split("=", 1) for variable in image.environment if "=" in variable)
    return Shape(
        label=language.language,
        image=name,
        image_id=image.id,
        image_environment=environment,
        config=msgspec.structs.replace(config, mounts=tuple(source.mount for source in sources))
        if config.mounts
        else config,
        boot_mode=language.boot.mode if language.boot else None,
        boot_command=language.boot.command if language.boot else (),
        boot_environment=boot_environment(language, environment, config),
        image_volumes=image.volumes,
        identities=tuple(source.identity for source in sources),
        reused=reused,
        only_boxed=only_boxed,
    )
