"""The guard that ends the containers of engines whose event loop was closed without ``aclose``.

A closed event loop runs no code, and the sockets of its transports stay open while the engine is referenced. A loop
does not report that it was closed, so one thread for the whole process checks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from typing import Protocol

_LOG = logging.getLogger("interpreter_tools")
_INTERVAL = 0.5  # seconds


class Guarded(Protocol):
    """An engine that its event loop may leave behind."""

    @property
    def is_orphaned(self) -> bool:
        """True when the event loop was closed."""
        ...

    def sever(self) -> None:
        """Break every connection. Called from another thread."""
        ...


class LoopGuard:
    """Watches over engines from a daemon thread, which runs while there are engines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guarded: set[Guarded] = set()
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()

    def add(self, guarded: Guarded) -> None:
        """Watch over an engine until ``discard``."""
        with self._lock:
            self._guarded.add(guarded)
            if self._thread is None or not self._thread.is_alive():  # a fork does not take it along
                self._changed = threading.Event()
                self._thread = threading.Thread(target=self._watch, name="interpreter-tools-loops", daemon=True)
                self._thread.start()

    def discard(self, guarded: Guarded) -> None:
        """Stop watching over an engine: it was closed."""
        with self._lock:
            self._guarded.discard(guarded)
            if not self._guarded:
                self._thread = None
                self._changed.set()

    def _watch(self) -> None:
        changed = self._changed
        while not changed.wait(_INTERVAL):
            with self._lock:
                orphans = [guarded for guarded in self._guarded if guarded.is_orphaned]
            for orphan in orphans:
                self._end(orphan)

    def _end(self, orphan: Guarded) -> None:
        """End the containers of an engine. What goes wrong with one engine is logged, and costs the others nothing."""
        self.discard(orphan)
        _LOG.warning("the event loop of %r was closed without `await engine.aclose()`", orphan)
        try:
            orphan.sever()
        except Exception:  # noqa: BLE001 - of whatever kind, the guard goes on
            _LOG.exception("the connections of %r could not be broken", orphan)
        with contextlib.suppress(ResourceWarning):  # where warnings are errors; no caller is there to get it
            warnings.warn(f"the event loop of {orphan!r} was closed without aclose", ResourceWarning, stacklevel=1)

    def forget_all(self) -> None:
        """Begin anew in a forked process: engines are its parent's, and no thread that may hold the lock came along."""
        self._lock = threading.Lock()
        self._guarded = set()
        self._thread = None


GUARD = LoopGuard()
"""The guard of this process."""

os.register_at_fork(after_in_child=GUARD.forget_all)
