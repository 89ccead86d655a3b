"""The guard over engines whose event loop was closed: one engine's trouble is not another's, nor a child process's."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING

from interpreter_tools._runtime import loop_guard
from interpreter_tools._runtime.loop_guard import GUARD, LoopGuard

if TYPE_CHECKING:
    import pytest


class Orphan:
    """An engine whose event loop is closed."""

    def __init__(self, *, fails: bool = False) -> None:
        self.severed = threading.Event()
        self._fails = fails

    @property
    def is_orphaned(self) -> bool:
        """From the first."""
        return True

    def sever(self) -> None:
        """Note it, or fail."""
        self.severed.set()
        if self._fails:
            raise RuntimeError("a socket of a test")


def test_engine_that_fails_costs_no_other_its_guard(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its failure is logged; nor does it matter that warnings are errors."""
    monkeypatch.setattr(loop_guard, "_INTERVAL", 0.01)
    caplog.set_level(logging.WARNING, logger="interpreter_tools")
    guard, orphans = LoopGuard(), [Orphan(fails=True), Orphan(), Orphan(fails=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for orphan in orphans:
            guard.add(orphan)
        watcher = next(thread for thread in threading.enumerate() if thread.name == "interpreter-tools-loops")
        for orphan in orphans:
            assert orphan.severed.wait(30)
        watcher.join(30)
    assert not watcher.is_alive()
    assert caplog.text.count("could not be broken") == 2
    assert caplog.text.count("closed without") == 3


def test_forked_process_guards_no_engine_of_its_parent() -> None:
    """And does not wait for a lock that a thread of its parent had."""
    orphan = Orphan()
    with GUARD._lock:
        GUARD._guarded.add(orphan)
        child = os.fork()
        if child == 0:
            free = GUARD._lock.acquire(timeout=5)
            os._exit(0 if free and not GUARD._guarded else 1)
        GUARD._guarded.discard(orphan)
    assert os.waitpid(child, 0)[1] == 0
