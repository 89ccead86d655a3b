"""The volume that containers of a session share as their workspace."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._container.shape import Shape
    from interpreter_tools._runtime.runtime import Runtime


class SharedVolume:
    """A volume, and the pools of containers that have it for a workspace.

    It is a tmpfs: its files are there for as long as a container has it mounted.

    Attributes:
        made: the files that runs have made or changed in it.
    """

    def __init__(self, runtime: Runtime, options: Mapping[str, str]) -> None:
        self.made: set[str] = set()
        self._runtime = runtime
        self._options = options
        self._name = f"interpreter-tools-workspace-{secrets.token_hex(8)}"
        self._making: asyncio.Task[str] | None = None
        self._shapes: list[Shape] = []

    def __repr__(self) -> str:
        return f"<SharedVolume {self._name} [{len(self._shapes)} shapes]>"

    async def name(self) -> str:
        """Return the volume's name; the first call makes the volume, also when the call is cancelled meanwhile."""
        making = self._making
        if making is None or (making.done() and (making.cancelled() or making.exception() is not None)):
            making = self._making = asyncio.create_task(self._runtime.create_volume(self._name, self._options))
        return await asyncio.shield(making)

    def note(self, shape: Shape) -> None:
        """Note that containers of that shape use the volume: their pool ends with it."""
        if shape not in self._shapes:
            self._shapes.append(shape)

    async def close_pools(self) -> None:
        """Terminate the idle containers of the workspace."""
        for shape in self._shapes:
            await self._runtime.close_pool(shape)

    async def aclose(self) -> None:
        """Remove the volume as soon as no container uses it."""
        await self.close_pools()
        if self._making is not None:
            await asyncio.wait([self._making])
            await self._runtime.remove_volume(self._name)
