"""Other mounts beneath the writable ones: a reset goes around them, a list leaves them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools._protocol.constants import Flag
from tests.supervisor.harness import MOUNTS, UID, WORKSPACE, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOREIGN = (f"{WORKSPACE}/in/deep", f"{WORKSPACE}/out\\134x", "/tmp/other")
OWN = f"{WORKSPACE}/room"


@pytest.fixture
def supervisor(binary: Path) -> Iterator[Supervisor]:
    """One with mounts that are none of its own, and one more that is."""
    with Supervisor(binary, mounts=(*MOUNTS, OWN), tmpfs=(*MOUNTS, OWN, *FOREIGN, f"{OWN}/host")) as supervisor:
        supervisor.boot()
        yield supervisor


def test_reset_removes_nothing_from_other_mounts(supervisor: Supervisor) -> None:
    """Neither directly below a writable mount, nor deeper, nor in one that lies in another; everything else goes."""
    places = " ".join(f"'{place}'" for place in (*FOREIGN, f"{OWN}/host"))
    script = f"""
cd {WORKSPACE}
for place in {places}; do mkdir -p "$place/d/e" && echo kept > "$place/d/e/f"; done
mkdir -p room/x/y in2/deep deep/in/deep 'out\\' /tmp/other2 && touch room/z file in2/deep/f /tmp/file
mv in moved 2>/dev/null && echo moved
mkdir in/x 2>/dev/null && echo made
"""
    look = f'cd {WORKSPACE}; for place in {places}; do cat "$place/d/e/f"; done; ls -A . room /tmp'
    assert supervisor.shell(script, flags=Flag.LAST).stdout == b""
    assert supervisor.reset(uid=UID + 1) == ""
    seen = supervisor.shell(look, uid=UID + 1).stdout.decode()
    assert seen.count("kept\n") == 4
    assert seen.replace("kept\n", "") == ".:\nin\nout\\134x\nroom\n\n/tmp:\nhome\nother\n\nroom:\nhost\n"


def test_what_lies_in_other_mounts_is_not_listed(supervisor: Supervisor) -> None:
    """Their files are there, but are no files of the workspace."""
    ran = supervisor.shell("echo x > in/deep/f; echo x > room/f; echo x > own; cat in/deep/f room/f")
    assert ran.stdout == b"x\nx\n"
    assert ran.files == {b"own": 2}


def test_writable_mounts_are_everybodys(binary: Path) -> None:
    """Also where the image has a directory of that name that is not, whose mode runc then gives to the mount."""
    with Supervisor(binary) as supervisor:
        supervisor.boot()
        modes = supervisor.shell("stat -c %a " + " ".join(MOUNTS)).stdout
    assert modes.split() == [b"1777"] * 3
