"""Removing what the dead have left, and nothing else."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import uuid

import msgspec
import pytest

from interpreter_tools._docker import DockerClient, Owner, sweep
from interpreter_tools._docker.sweep import _is_leftover, is_dead
from tests.watch import inspect_container

from .conftest import spec_of

pytestmark = [pytest.mark.docker, pytest.mark.alone]

_GONE = 2**22 + 1  # above the kernel's largest process id

_CHILD = """
import asyncio, json, sys
from interpreter_tools._docker import DockerClient, Owner

async def main():
    client = await DockerClient.connect()
    owner = Owner.current()
    spec = json.loads(sys.argv[1])
    spec["Labels"] = owner.labels()
    print(await client.create_container(spec), owner.id, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_what_a_killed_client_has_left_is_removed(client: DockerClient, owner: Owner) -> None:
    """Created but never started: nothing else would end it."""
    spec = msgspec.json.encode(spec_of(owner)).decode()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", _CHILD, spec, stdout=subprocess.PIPE)
    assert child.stdout is not None
    container, other = (await child.stdout.readline()).decode().split()
    await sweep(client)
    assert await inspect_container(client, container) is not None
    child.send_signal(signal.SIGKILL)
    await child.wait()
    child._transport.close()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - asyncio closes no pipe by itself
    await sweep(client)
    assert await inspect_container(client, container) is None
    assert other != owner.id


async def test_what_may_be_somebodys_stays(client: DockerClient, owner: Owner) -> None:
    """Of a living process, another machine, another process namespace; without labels we understand, without labels."""
    dead = msgspec.structs.replace(owner, pid=_GONE)
    strangers = [
        owner,
        msgspec.structs.replace(dead, host="elsewhere"),
        msgspec.structs.replace(dead, boot_id=uuid.uuid4().hex),
        msgspec.structs.replace(dead, pid_namespace="pid:[1]"),
        msgspec.structs.replace(owner, pid_start=""),
    ]
    containers = [await client.create_container(spec_of(stranger)) for stranger in strangers]
    nonsense = {**dead.labels(), "interpreter-tools.pid": "-1"}
    containers.append(await client.create_container({**spec_of(owner), "Labels": nonsense}))
    containers.append(
        await client.create_container({**spec_of(owner), "Labels": {"interpreter-tools.owner": owner.id}})
    )
    containers.append(await client.create_container({**spec_of(owner), "Labels": {}}))
    await sweep(client)
    found = [await inspect_container(client, container) is not None for container in containers]
    await asyncio.gather(*map(client.remove_container, containers))
    assert all(found)


async def test_process_id_may_belong_to_another_by_now(client: DockerClient, owner: Owner) -> None:
    """The time at which the process started tells them apart."""
    container = await client.create_container(spec_of(msgspec.structs.replace(owner, pid_start="1")))
    await sweep(client)
    assert await inspect_container(client, container) is None


async def test_volumes_of_the_dead_are_removed(client: DockerClient, owner: Owner) -> None:
    """With their containers; those of the living stay."""
    dead = msgspec.structs.replace(owner, pid=_GONE)
    names = [f"interpreter-tools-test-{uuid.uuid4().hex[:12]}" for _ in range(2)]
    for name, whose in zip(names, (dead, owner), strict=True):
        await client.create_volume(name, whose.labels())
    mount = {"Type": "volume", "Source": names[0], "Target": "/x"}
    container = await client.create_container(spec_of(dead, host={"Mounts": [mount]}))
    await sweep(client)
    assert await inspect_container(client, container) is None
    left = [volume.name for volume in await client.list_volumes({"interpreter-tools.owner": owner.id})]
    await client.remove_volume(names[1])
    assert left == [names[1]]


async def test_labels_tell_the_owner(owner: Owner) -> None:
    """There and back."""
    assert Owner.of(owner.labels()) == owner
    assert Owner.of({}) is None
    assert Owner.of({**owner.labels(), "interpreter-tools.pid": "x"}) is None


def test_zombie_is_dead() -> None:
    """Its parent has not asked for it yet."""
    here = Owner.current()
    child = subprocess.Popen(["sleep", "1000"])
    other = msgspec.structs.replace(here, pid=child.pid, pid_start="")
    assert not is_dead(other, here)
    child.kill()
    while not is_dead(other, here):
        time.sleep(0.01)
    child.wait()


@pytest.mark.parametrize(
    ("boot_id", "state", "age", "removed"),
    [
        ("earlier", "created", 61, True),
        ("earlier", "exited", 61, True),
        ("earlier", "running", 61, False),  # after a boot nothing would run: another machine of that name
        ("earlier", "created", 59, False),  # it may be about to be started
        ("", "created", 61, False),
        (None, "created", 61, False),
    ],
)
async def test_leftovers_of_an_earlier_boot(
    owner: Owner, boot_id: str | None, state: str, age: int, *, removed: bool
) -> None:
    """Nothing of them runs, and they are not new."""
    of = owner if boot_id is None else msgspec.structs.replace(owner, boot_id=boot_id)
    assert _is_leftover(state, float(age), of, owner) is removed
