"""The kernels of a server, by id."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from interpreter_tools.server._errors import NotFound
from interpreter_tools.server.wires.jupyter._kernel import Kernel
from interpreter_tools.server.wires.jupyter._specs import find_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner


class Kernels:
    """The kernels of a server; each has a sandbox of its own.

    Args:
        core: what the wires share.

    Attributes:
        began: when the server began.
    """

    def __init__(self, core: Core) -> None:
        self.began = datetime.now(UTC)
        self._core = core
        self._by_id: dict[str, Kernel] = {}

    def __repr__(self) -> str:
        return f"<Kernels [{len(self._by_id)}]>"

    async def start(self, owner: Owner, name: str, *, environment: Mapping[str, str]) -> Kernel:
        """Start a kernel.

        Args:
            owner: whose it is.
            name: what kind of kernel.
            environment: variables of its process.

        Raises:
            BadRequest: there is no such kind of kernel.
            Refused: the owner, or the server, has as many sandboxes as it may.
            InterpreterToolsError: it cannot be started.
        """
        core, spec = self._core, find_spec(name)
        sandbox = await core.sandboxes.create(
            owner, template=f"jupyter {spec.name}", environment=environment, timeout=core.config.longest_timeout
        )
        try:
            context = sandbox.context(spec.language, timeout=None, output_limit=None, on_death="restart")
            kernel = Kernel(core, sandbox, context, spec)
            await kernel.start()
        except BaseException:
            await sandbox.kill()
            raise
        self._by_id[kernel.id] = kernel
        sandbox.on_end(functools.partial(self._forget, kernel))
        return kernel

    def _forget(self, kernel: Kernel) -> None:
        self._by_id.pop(kernel.id, None)

    def get(self, owner: Owner, kernel_id: str) -> Kernel:
        """Return a kernel of an owner.

        Raises:
            NotFound: there is none, or it belongs to another owner.
        """
        kernel = self._by_id.get(kernel_id)
        if kernel is None or kernel.sandbox.owner is not owner:
            raise NotFound(f"Kernel does not exist: {kernel_id[:80]}")
        return kernel

    def list(self, owner: Owner) -> list[Kernel]:
        """Return the kernels of an owner, oldest first."""
        return [kernel for kernel in self._by_id.values() if kernel.sandbox.owner is owner]
