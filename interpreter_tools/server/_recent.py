"""A run that has ended, as the status page, the log and the metrics have it."""

from __future__ import annotations

from datetime import datetime

import msgspec


class RecentRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended, as the status page shows it: no code, no data.

    Attributes:
        ended_at: when it ended.
        owner: whose it was.
        wire: the wire that it came by.
        language: its language.
        strategy: the strategy of a run, or ``"context"``.
        outcome: how it ended.
        queue_seconds: how long it waited for its turn.
        run_seconds: how long it took from there.
    """

    ended_at: datetime
    owner: str
    wire: str
    language: str
    strategy: str
    outcome: str
    queue_seconds: float
    run_seconds: float
