"""Rounds, medians, the table that a benchmark prints, and the same as JSON."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    Settle: TypeAlias = Callable[[], Awaitable[object]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure.

    Attributes:
        name: what was measured.
        measured: the figure.
        baseline: what it is compared with; None where it stands for itself.
        unit: of both.
        result: their ratio or difference; the figure itself where there is no baseline.
        target: what the result should be, such as ``<= 0.35x``; empty where it is only told.
        met: whether it is.
    """

    name: str
    measured: float
    baseline: float | None
    unit: str
    result: float
    target: str
    met: bool


ROWS: list[Row] = []
"""The rows that this process has printed so far."""


def machine() -> dict[str, object]:
    """Say what the figures were measured on."""
    cores, load = len(os.sched_getaffinity(0)), round(os.getloadavg()[0], 2)
    return {"cores": cores, "load": load, "kernel": platform.release(), "python": platform.python_version()}


def write_json(path: str, rows: list[Row]) -> None:
    """Write the rows to a file, with the time and the machine."""
    text = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "rows": rows}
    Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(text)) + b"\n")


def run(main: Callable[[int], Awaitable[None]], *, rounds: int) -> None:
    """Run a benchmark as a program: ``[ROUNDS] [--json FILE]``. The status is 1 when a figure misses its target.

    Args:
        main: the benchmark, which takes the number of rounds.
        rounds: how many there are where none are asked for.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=rounds, help="how many rounds count")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    arguments = parser.parse_args()

    async def measure() -> None:
        await main(arguments.rounds)

    asyncio.run(measure())
    if arguments.json:
        write_json(arguments.json, ROWS)
    sys.exit(0 if all(row.met for row in ROWS) else 1)


async def rounds(*actions: Callable[[], Awaitable[float]], count: int, settle: Settle) -> list[float]:
    """Return the median of each action's own figure. The actions take turns, so that a noisy moment hits all of them.

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


def heading() -> None:
    """Print the columns' names."""
    print(f"{'figure':<62} {'ours':>9} {'baseline':>9} {'unit':<5} {'result':>7}")


def _add(row: Row) -> None:
    ROWS.append(row)
    baseline = "" if row.baseline is None else f"{row.baseline:.2f}"
    result = "" if row.baseline is None else f"{row.result:.2f}"
    verdict = f"target {row.target:<14} {'met' if row.met else 'MISSED'}" if row.target else ""
    print(
        f"{row.name:<62} {row.measured:>9.2f} {baseline:>9} {row.unit:<5} {result:>7}  {verdict}".rstrip(), flush=True
    )


def told(name: str, measured: float, *, unit: str) -> None:
    """Print a figure that has no target."""
    _add(Row(name=name, measured=measured, baseline=None, unit=unit, result=measured, target="", met=True))


def limit(name: str, measured: float, *, unit: str, target: float) -> None:
    """Print a figure without a baseline, which should be small."""
    text = f"<= {target:g} {unit}"
    row = Row(
        name=name, measured=measured, baseline=None, unit=unit, result=measured, target=text, met=measured <= target
    )
    _add(row)


def at_least(name: str, measured: float, *, unit: str, target: float) -> None:
    """Print a figure without a baseline, which should be large."""
    text = f">= {target:g} {unit}"
    row = Row(
        name=name, measured=measured, baseline=None, unit=unit, result=measured, target=text, met=measured >= target
    )
    _add(row)


def ratio_at_most(name: str, measured: float, baseline: float, *, unit: str, target: float) -> None:
    """Print a figure whose ratio to its baseline should be small."""
    _compare(name, measured, baseline, unit=unit, result=measured / baseline, target=f"<= {target:g}x", most=target)


def ratio_at_least(name: str, measured: float, baseline: float, *, unit: str, target: float) -> None:
    """Print a figure whose ratio to its baseline should be large."""
    _compare(name, measured, baseline, unit=unit, result=measured / baseline, target=f">= {target:g}x", least=target)


def difference_at_most(name: str, measured: float, baseline: float, *, unit: str, target: float) -> None:
    """Print a figure whose difference from its baseline should be small."""
    text = f"<= +{target:g} {unit}"
    _compare(name, measured, baseline, unit=unit, result=measured - baseline, target=text, most=target)


def _compare(
    name: str,
    measured: float,
    baseline: float,
    *,
    unit: str,
    result: float,
    target: str,
    most: float = float("inf"),
    least: float = float("-inf"),
) -> None:
    met = least <= result <= most
    row = Row(name=name, measured=measured, baseline=baseline, unit=unit, result=result, target=target, met=met)
    _add(row)
