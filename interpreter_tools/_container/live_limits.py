"""The limits of a running container, changed for one run and set back after it."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools._docker import DockerClient


class LiveLimits:
    """Memory, cores and processes of one container. The engine is asked only when a limit changes.

    Args:
        client: the container's engine.
        container_id: its id.
        config: the configuration that it was made with.
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
        """Limit memory (without swap), cores and processes; ask the engine only when a limit changes.

        Args:
            config: the limits. The memory limit includes the container's files in memory: a program that fills the
                workspace beyond it ends as ``oom``. No limit of cores means all cores of the host.

        Raises:
            DockerApiError: the container holds more memory already, or the host has fewer cores.
        """
        wanted = self._wanted(config)
        if self._change is not None:  # whoever asked for it was cancelled, but the engine may still be at it
            await asyncio.wait([self._change])
        if wanted == self._set:
            return
        memory, cores, pids = wanted
        # Both in one request: the engine puts them into the order that the kernel wants, and adds no swap
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
        """Set the limits that the container was made with; ask the engine only when a limit changes."""
        await self.apply(self._config)

    def _wanted(self, config: ContainerConfig) -> tuple[int, float, int]:
        # The engine takes 0 for "no change": all cores are as good as no limit
        cores = float(self._cpus) if config.cpus is None else config.cpus
        return config.memory_bytes, cores, config.pids_limit
