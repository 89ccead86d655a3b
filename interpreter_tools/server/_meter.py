"""The processor time of a sandbox, as the Docker host counts it: what its programs say of themselves is a claim."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import InterpreterToolsError

if TYPE_CHECKING:
    from interpreter_tools._session.session import Session
    from interpreter_tools.server._keys import Owner

_LOG = logging.getLogger("interpreter_tools.server")
_EVERY = 10.0  # seconds between two looks at containers that are known
_DEADLINE = 3.0  # seconds for a look; a Docker host answers within one for each container
_CORES = os.cpu_count() or 1


class Meter:
    """Charges an owner with the processor time of one sandbox.

    A run, a cell or a command is charged at its end, as its result says. A look at the containers charges what is
    missing of that: programs that are left behind, and those that have not ended.

    Attributes:
        used: seconds that looks have charged.
    """

    def __init__(self, owner: Owner, session: Session) -> None:
        self._owner = owner
        self._session = session
        self._began = time.monotonic()
        self._looked = 0.0
        self._seen: dict[str, float] = {}  # seconds of the containers at the last look
        self._ahead = 0.0  # seconds that were charged, and that no look has seen yet
        self._turn = asyncio.Lock()
        self.used = 0.0

    def charge(self, seconds: float, *, since: float = 0.0) -> None:
        """Charge what a result says, but for what looks have charged meanwhile.

        Args:
            seconds: the processor time of the result.
            since: ``used`` at the beginning of what has ended.
        """
        extra = seconds - (self.used - since)
        if extra > 0:
            self._owner.use_cpu(extra)
            self._ahead += extra

    @property
    def is_due(self) -> bool:
        """True when there are containers that no look has seen, or when the last look is long ago."""
        ids = self._session.container_ids
        return bool(ids) and (time.monotonic() - self._looked > _EVERY or not self._seen.keys() >= set(ids))

    async def look(self, *, last: bool = False) -> None:
        """Charge what the containers have used, and nobody has been charged with.

        The first look at a container finds what it has used before it was the sandbox's: to boot, for one.

        Args:
            last: True at the end of the sandbox. Then a container that no look has seen is charged with all that it can
                have used in the time of the sandbox.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(_DEADLINE):
                    times = await self._session.processor_times()
            except (TimeoutError, InterpreterToolsError):
                _LOG.warning("the processor time of a sandbox is unknown", exc_info=True)
                return
            self._looked = time.monotonic()
            most = (self._looked - self._began) * _CORES if last else 0.0
            due = sum(seconds - self._seen.get(name, max(0.0, seconds - most)) for name, seconds in times.items())
            self._seen.update(times)
            missing = due - self._ahead
            self._ahead = max(0.0, -missing)
            if missing > 0:
                self._owner.use_cpu(missing)
                self.used += missing
