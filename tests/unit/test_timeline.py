"""The past of a context: a tree that forgets its oldest steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._context import timeline
from interpreter_tools._context.timeline import Timeline

if TYPE_CHECKING:
    import pytest


def test_codes_are_those_of_the_current_line() -> None:
    """A rewind leaves what came after the checkpoint; a new process leaves all."""
    past = Timeline()
    past.begin()
    past.cell("a")
    saved = past.checkpoint("one")
    past.cell("b")
    past.rewind(saved)
    past.cell("c")
    assert past.codes() == ["a", "c"]
    past.begin()
    past.cell("d")
    assert past.codes() == ["d"]


def test_oldest_steps_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the past of a context has a bound, in steps and in code."""
    monkeypatch.setattr(timeline, "_MOST_ENTRIES", 5)
    monkeypatch.setattr(timeline, "_MOST_CODE", 10)
    past = Timeline()
    past.begin()
    for _ in range(3):
        past.checkpoint("one")
    assert not past.is_cut
    for _ in range(8):
        past.end(past.cell("x" * 4), "ok")
    assert past.is_cut
    assert [entry.kind for entry in past.history(set()).entries] == ["cell", "cell"]
    assert past.history(set()).entries[0].parent is None


def test_an_open_step_that_is_forgotten_may_end() -> None:
    """Its outcome is dropped."""
    Timeline().end(7, "ok")
