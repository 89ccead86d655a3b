"""The progress of apt-get, read from its output."""

from __future__ import annotations

import re

APT_GET = ("apt-get", "-y", "-q", "-o", "Acquire::Retries=3")
"""Asks nothing, draws nothing, and tries again when a download breaks."""

_COUNTS = re.compile(r"(\d+) upgraded, (\d+) newly installed, ")
_STEPS = re.compile(r"(Get:\d+ |Unpacking |Setting up )(.*)")
_STEPS_PER_PACKAGE = 3


class AptMeter:
    """Reads the lines of one ``apt-get install``.

    Its own ``APT::Status-Fd`` is not used: on stdout it takes that away from the scripts of packages (apt 2.6).
    """

    def __init__(self) -> None:
        self._steps = 0
        self._packages = 0

    def __repr__(self) -> str:
        return f"<AptMeter {self._steps} of {self._packages * _STEPS_PER_PACKAGE}>"

    def feed(self, line: str) -> tuple[float, str] | None:
        """Return the progress (0 to 1) and a description; None when the line tells nothing new."""
        counts = _COUNTS.match(line)
        if counts is not None:
            self._packages = int(counts[1]) + int(counts[2])
        step = _STEPS.match(line)
        if step is None or not self._packages:
            return None
        self._steps += 1
        text = line.partition(" ... ")[0].removesuffix(" ...")
        if step[1].startswith("Get"):
            text = f"Downloading {_package(step[2])}"
        return min(self._steps / (self._packages * _STEPS_PER_PACKAGE), 1.0), text


def _package(rest: str) -> str:
    """Return the package in ``http://host/debian bookworm/main amd64 jq amd64 1.6-2.1 [64.9 kB]``."""
    words = rest.split()
    return words[3] if len(words) > 3 else rest
