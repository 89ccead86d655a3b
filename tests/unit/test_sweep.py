"""Labels that anybody may have written."""

from __future__ import annotations

import msgspec
import pytest

from interpreter_tools._docker import Owner, sweep
from interpreter_tools._docker.sweep import is_dead, is_of_earlier_boot, survey
from interpreter_tools.testing import ScriptedDocker

HERE = Owner.current()


@pytest.mark.parametrize("pid", ["1" + "0" * 20, "-1", "0", "", "x", "9" * 5000, "1.5", str(2**31), str(2**63), "١٢"])
async def test_process_id_of_a_label_may_be_anything(pid: str) -> None:
    """A container whose labels make no sense stays, and is no reason to fail."""
    docker = ScriptedDocker()
    labels = {**HERE.labels(), "interpreter-tools.pid": pid}
    await docker.create_container({"Labels": labels})
    await docker.create_volume("theirs", labels)
    found = await survey(docker)
    assert len(found) == 2
    if pid.isascii():
        assert all(belonging.life == "unknown" for belonging in found)
        assert await sweep(docker) == 0


async def test_owner_whose_process_id_another_process_has_by_now_is_dead() -> None:
    """The time at which the process started tells them apart."""
    docker = ScriptedDocker()
    ours = await docker.create_container({"Labels": HERE.labels()})
    theirs = await docker.create_container({"Labels": {**HERE.labels(), "interpreter-tools.pid-start": "1"}})
    assert {each.id: each.life for each in await survey(docker)} == {ours: "alive", theirs: "dead"}


@pytest.mark.parametrize("boots", [("", ""), ("a", ""), ("", "a"), ("a", "b"), ("a", "a")], ids=":".join)
def test_without_a_boot_id_nobody_is_known_to_be_dead(boots: tuple[str, str]) -> None:
    """A process id counts in one boot only, so two unknown boots are not the same one, and not an earlier one."""
    theirs, mine = (msgspec.structs.replace(HERE, boot_id=boot) for boot in boots)
    ended = msgspec.structs.replace(theirs, pid_start="1")  # the number is another process's by now
    assert is_dead(ended, mine) is (boots == ("a", "a"))
    assert is_of_earlier_boot(ended, mine) is (boots == ("a", "b"))


async def test_any_label_may_be_anything() -> None:
    """Also the others."""
    docker = ScriptedDocker()
    for name in HERE.labels():
        for value in ("", "\0", "x" * 100_000, "\ud800", "../../etc/passwd"):
            await docker.create_container({"Labels": {**HERE.labels(), name: value}})
    assert all(not belonging.abandoned for belonging in await survey(docker) if belonging.owner is None)
