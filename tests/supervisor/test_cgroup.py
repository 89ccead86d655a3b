"""What the kernel counts for a container, where it is told in the files of version 2 of control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.supervisor.harness import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

GROUP = "/sys/fs/cgroup"
WRITE = f"""
mount -t tmpfs none {GROUP}
printf 'low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n' > {GROUP}/memory.events
printf 'usage_usec 5000000\nuser_usec 4000000\nsystem_usec 1000000\n' > {GROUP}/cpu.stat
printf '1048576\n' > {GROUP}/memory.peak
chmod -R a+w {GROUP}
"""
GROW = f"""
printf 'low 0\nhigh 0\nmax 9\noom 2\noom_kill 5\noom_group_kill 0\n' > {GROUP}/memory.events
printf 'usage_usec 5250000\nuser_usec 4200000\nsystem_usec 1050000\n' > {GROUP}/cpu.stat
"""


def test_counters_of_version_2_are_read(binary: Path) -> None:
    """Of each run its own share; the peak only where the run has raised it."""
    with Supervisor(binary, before=WRITE) as supervisor:
        supervisor.boot()
        higher = supervisor.shell(f"{GROW} printf '8388608\\n' > {GROUP}/memory.peak").exited
        assert (higher.cpu_us, higher.oom_kills, higher.peak_memory) == (250_000, 3, 8 << 20)
        nothing = supervisor.shell("true").exited
        assert (nothing.cpu_us, nothing.oom_kills) == (0, 0)
        assert 0 < nothing.peak_memory != 8 << 20


@pytest.mark.parametrize("file", ["cpu.stat", "memory.peak"])
def test_file_that_an_older_kernel_lacks_is_made_up_for(binary: Path, file: str) -> None:
    """By what the kernel tells of the processes themselves."""
    with Supervisor(binary, before=f"{WRITE} rm {GROUP}/{file}") as supervisor:
        supervisor.boot()
        ran = supervisor.shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").exited
        assert (ran.cpu_us if file == "cpu.stat" else ran.peak_memory) > 0
