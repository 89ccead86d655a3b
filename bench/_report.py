"""Rounds, medians, and the table that a benchmark prints."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    Settle: TypeAlias = Callable[[], Awaitable[object]]


async def rounds(*actions: Callable[[], Awaitable[float]], count: int, settle: Settle) -> list[float]:
    """The median of each action's own figure. The actions take turns, so that a noisy moment hits all of them.

    Args:
        actions: each returns the figure of one round.
        count: how many rounds count; one more before them does not.
        settle: called before each action.
    """
    figures: list[list[float]] = [[] for _ in actions]
    for turn in range(count + 1):
        for action, taken in zip(actions, figures, strict=True):
            await settle()
            figure = await action()
            if turn:
                taken.append(figure)
    return [statistics.median(taken) for taken in figures]


def row(name: str, measured: float, baseline: float, *, unit: str, target: str, value: float, met: bool) -> None:
    """Prints one line: the measured figure, its baseline, and what they come to."""
    mark = "met" if met else "MISSED"
    print(f"{name:<58} {measured:>9.2f} {baseline:>9.2f} {unit:<5} {value:>7.2f}  target {target:<9} {mark}")


def limit(name: str, measured: float, *, unit: str, target: float) -> None:
    """A row without a baseline."""
    mark = "met" if measured <= target else "MISSED"
    print(f"{name:<58} {measured:>9.2f} {'':>9} {unit:<5} {'':>7}  target <= {target:g} {unit:<6} {mark}")


def rate_at_least(name: str, measured: float, *, target: float) -> None:
    """A row of a rate without a baseline."""
    mark = "met" if measured >= target else "MISSED"
    print(f"{name:<58} {measured:>9.0f} {'':>9} {'per s':<5} {'':>7}  target >= {target:g} per s {mark}")


def heading() -> None:
    """Prints the columns' names."""
    print(f"{'figure':<58} {'ours':>9} {'baseline':>9} {'unit':<5} {'result':>7}")


def ratio_at_most(name: str, measured: float, baseline: float, *, unit: str, target: float) -> None:
    """A row whose ratio should be small."""
    value = measured / baseline
    row(name, measured, baseline, unit=unit, target=f"<= {target:g}x", value=value, met=value <= target)


def ratio_at_least(name: str, measured: float, baseline: float, *, unit: str, target: float) -> None:
    """A row whose ratio should be large."""
    value = measured / baseline
    row(name, measured, baseline, unit=unit, target=f">= {target:g}x", value=value, met=value >= target)


def difference_at_most(name: str, measured: float, baseline: float, *, unit: str, target: float) -> None:
    """A row whose difference should be small."""
    value = measured - baseline
    row(name, measured, baseline, unit=unit, target=f"<= {target:g} {unit}", value=value, met=value <= target)
