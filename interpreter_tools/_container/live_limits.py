"""Limits of a container that runs, changed for a run of its own and set back after it."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools._docker import DockerClient


class LiveLimits:
    """Memory, cores and processes of one container; asks the engine only where something is to change.

    Args:
        client: the container's engine.
        container_id: its id.
        config: what it was made with.
        cpus: cores of the engine's host.
    """

    def __init__(self, client: DockerClient, container_id: str, config: ContainerConfig, *, cpus: int) -> None:
        self._client = client
        self._id = container_id
        self._config = config
        self._cpus = cpus
        self._set: tuple[int, float, int] | None = self._wanted(config)
        self._change: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<LiveLimits {self._id[:12]} [{'in doubt' if self._set is None else self._set}]>"

    async def apply(self, config: ContainerConfig) -> None:
        """Limits memory, without swap, cores and processes; no request is made where they are limited so already.

        Args:
            config: the limits. Memory is all that the container may take, its files in memory included: a program that
                fills the workspace beyond that is ``oom``. No limit of cores means all of the host's.

        Raises:
            DockerApiError: the container holds more memory already, or the host has fewer cores.
        """
        wanted = self._wanted(config)
        if self._change is not None:  # whoever asked for it was cancelled, but the engine may still be at it
            await asyncio.wait([self._change])
        if wanted == self._set:
            return
        memory, cores, pids = wanted
        # Both at once: the engine puts them into the order that the kernel wants, and swap stays out
        changes: dict[str, object] = {"Memory": memory, "MemorySwap": memory}
        if self._set is None or self._set[1] != cores:
            changes["NanoCpus"] = round(cores * 1_000_000_000)
        if self._set is None or self._set[2] != pids:
            changes["PidsLimit"] = pids
        self._set = None  # until the answer is here; when it is an error, nobody knows what was set
        change = self._change = asyncio.ensure_future(self._client.update_container(self._id, changes))
        change.add_done_callback(functools.partial(self._changed, wanted))
        await asyncio.shield(change)

    def _changed(self, wanted: tuple[int, float, int], change: asyncio.Task[None]) -> None:
        self._change = None
        if not change.cancelled() and change.exception() is None:
            self._set = wanted

    async def restore(self) -> None:
        """Limits the container again as it was made; no request is made where it is."""
        await self.apply(self._config)

    def _wanted(self, config: ContainerConfig) -> tuple[int, float, int]:
        # The engine takes 0 for "no change": all cores are as good as no limit
        cores = float(self._cpus) if config.cpus is None else config.cpus
        return config.memory_bytes, cores, config.pids_limit
