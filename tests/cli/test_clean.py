"""``interpreter-tools ps`` and ``clean``: whose is what, and what goes."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import uuid
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools._docker import Belonging, DockerClient, Owner
from interpreter_tools._docker.supervisor import LABEL as SUPERVISOR
from interpreter_tools._docker.supervisor import supervisor_digest
from interpreter_tools._text import one_line
from interpreter_tools.cli._clean import OwnImage, Removal, SharedVolume, find, remove_item
from interpreter_tools.cli._ps import Listed, tell_age
from tests.watch import inspect_container, tag_image

from .command import COMMAND, ENVIRONMENT, call, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.docker

_IMAGE = "interpreter-tools/python:1"
_GONE = 2**22 + 1  # above the kernel's largest process id


def listed() -> dict[str, Listed]:
    """What ``ps`` tells, by id."""
    done = call("ps", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    return {each.id: each for each in msgspec.json.decode(done.stdout, type=list[Listed])}


def volume_name() -> str:
    """One that nobody else has."""
    return f"interpreter-tools-test-{uuid.uuid4().hex[:12]}"


def dead(owner: Owner) -> Owner:
    """The same, of a process that is not there."""
    return msgspec.structs.replace(owner, pid=_GONE)


@pytest.fixture
async def owner() -> Owner:
    """This process."""
    return Owner.current()


@pytest.fixture
async def mine(docker_client: DockerClient, owner: Owner) -> AsyncIterator[str]:
    """A container of this process, which lives."""
    container = await docker_client.create_container({"Image": _IMAGE, "Labels": owner.labels()})
    yield container
    await docker_client.remove_container(container)


@pytest.fixture
async def foreign(docker_client: DockerClient) -> AsyncIterator[str]:
    """A container that is none of ours."""
    container = await docker_client.create_container({"Image": _IMAGE})
    yield container
    await docker_client.remove_container(container)


def test_ps_shows_a_run_while_it_lasts():
    """With its owner, the command that runs it."""
    with start("run", "-c", "print('up', flush=True); input()") as process:
        assert process.stdout is not None
        process.stdout.readline()
        (found,) = [each for each in listed().values() if each.pid == process.pid]
        text = call("ps").stdout.decode().splitlines()
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert (found.owner, found.state, found.image) == ("alive", "running", _IMAGE)
    assert found.age is not None
    assert text[0].split() == ["CONTAINER", "IMAGE", "STATE", "AGE", "OWNER"]
    (line,) = [line for line in text if line.startswith(found.id[:12])]
    assert f"pid {process.pid} on {found.host}, alive" in line
    assert found.id not in listed()


async def test_ps_leaves_out_what_is_not_ours(mine: str, foreign: str):
    """It has no label."""
    found = listed()
    assert mine in found
    assert foreign not in found


@pytest.fixture
async def stuck(docker_client: DockerClient, owner: Owner, foreign: str) -> AsyncIterator[str]:
    """A volume of somebody dead that nobody can remove: an engine that starts meanwhile would sweep any other."""
    volume = volume_name()
    await docker_client.create_volume(volume, dead(owner).labels())
    mount = {"Type": "volume", "Source": volume, "Target": "/x"}
    user = await docker_client.create_container({"Image": _IMAGE, "HostConfig": {"Mounts": [mount]}})
    yield volume
    await docker_client.remove_container(user)
    await docker_client.remove_volume(volume)


async def test_dry_run_tells_and_leaves(docker_client: DockerClient, mine: str, foreign: str, stuck: str):
    """What belongs to the living, and what is not ours, is not even told."""
    done = call("clean", "--dry-run")
    text = done.stdout.decode()
    assert done.returncode == 0
    assert f"would remove volume {stuck} (pid {_GONE} on " in text
    assert mine[:12] not in text
    assert foreign[:12] not in text
    assert stuck in {volume.name for volume in await docker_client.list_volumes({"interpreter-tools.owner": None})}


async def test_where_nobody_can_be_asked_nothing_is_removed(stuck: str):
    """It says how to go on."""
    done = call("clean")
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"volume {stuck}".encode() in done.stderr
    assert b"nothing was removed; --yes removes without asking" in done.stderr


@pytest.mark.parametrize(
    ("answer", "status", "words"), [(b"n\n", 1, b"nothing was removed"), (b"y\n", 0, b"still in use: volume ")]
)
async def test_clean_asks_at_a_terminal(stuck: str, answer: bytes, status: int, words: bytes):
    """What would go is shown before; what cannot go is told."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(COMMAND[0], [*COMMAND, "clean"], ENVIRONMENT)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(terminal, 1000)
    assert f"volume {stuck}".encode() in seen
    os.write(terminal, answer)
    while words not in seen:
        seen += os.read(terminal, 1000)
    ended = await asyncio.to_thread(os.waitpid, pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended[1]) == status


async def test_clean_removes_what_the_dead_have_left(
    docker_client: DockerClient, owner: Owner, mine: str, foreign: str
):
    """And neither what belongs to the living nor what is not ours."""
    volume = volume_name()
    await docker_client.create_volume(volume, dead(owner).labels())
    mount = {"Type": "volume", "Source": volume, "Target": "/x"}
    spec = {"Image": _IMAGE, "Labels": dead(owner).labels(), "HostConfig": {"Mounts": [mount]}}
    container = await docker_client.create_container(spec)
    done = call("clean", "--yes", "--json")
    assert done.returncode == 0
    names = {each.name for each in msgspec.json.decode(done.stdout, type=list[Removal])}
    assert names.isdisjoint({mine, foreign})
    assert await inspect_container(docker_client, container) is None
    assert volume not in {each.name for each in await docker_client.list_volumes({"interpreter-tools.owner": None})}
    for kept in (mine, foreign):
        assert await inspect_container(docker_client, kept) is not None


async def test_all_includes_the_living_and_what_all_share(docker_client: DockerClient, mine: str, foreign: str):
    """But nothing that is not ours."""
    done = call("clean", "--all", "--dry-run", "--json")
    found = msgspec.json.decode(done.stdout, type=list[Removal])
    names = {each.name for each in found}
    assert mine in names
    assert foreign not in names
    assert not any(each.removed for each in found)
    assert any(each.kind == "volume" and each.name.startswith("interpreter-tools-supervisor-") for each in found)
    assert any(each.kind == "image" and each.name.startswith("interpreter-tools-supervisor:") for each in found)
    assert _IMAGE not in names  # `setup` made it
    assert await inspect_container(docker_client, mine) is not None


async def test_what_older_versions_have_left_goes(docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch):
    """Their supervisors, and images without a name; not those of this version, nor what is young."""
    digest, empty = uuid.uuid4().hex[:12], b"\0" * 1024
    volume, tag = f"interpreter-tools-supervisor-{digest}", f"interpreter-tools-supervisor:{digest}"
    await docker_client.create_volume(volume, {SUPERVISOR: digest})
    for number in (1, 2):  # the second takes the name of the first
        changes = [f"LABEL {SUPERVISOR}={digest}", f"LABEL number={number}"]
        await docker_client.import_image(empty, tag=tag, changes=changes)
    unnamed = [image.id for image in await docker_client.list_images({SUPERVISOR: digest}) if not image.tags]
    assert len(unnamed) == 1
    own = [SharedVolume(name=volume), OwnImage(name=tag), OwnImage(name=unnamed[0])]
    try:
        young = await find(docker_client, everything=False)
        assert not any(item in young for item in own)
        monkeypatch.setattr("interpreter_tools.cli._clean._FRESH", 0.0)
        found = await find(docker_client, everything=False)
        assert all(item in found for item in own)
        current = await supervisor_digest(docker_client)
        assert not {f"interpreter-tools-supervisor-{current}", _IMAGE} & {item.name for item in found}
    finally:
        for item in own:
            assert await remove_item(docker_client, item)


async def test_containers_go_before_what_they_use(docker_client: DockerClient, owner: Owner, mine: str):
    """And what is in use stays."""
    items = await find(docker_client, everything=True)
    kinds = [item.kind if isinstance(item, Belonging) else type(item).__name__ for item in items]
    order = ["container", "volume", "SharedVolume", "OwnImage"]
    assert kinds == sorted(kinds, key=order.index)
    (item,) = [item for item in items if isinstance(item, Belonging) and item.id == mine]
    volume, image = volume_name(), f"interpreter-tools-test/{uuid.uuid4().hex[:12]}:1"
    mount = {"Type": "volume", "Source": volume, "Target": "/x"}
    user = await docker_client.create_container({"Image": _IMAGE, "HostConfig": {"Mounts": [mount]}})
    await tag_image(docker_client, _IMAGE, image)
    busy = await remove_item(docker_client, SharedVolume(name=volume))
    await docker_client.remove_container(user)
    removed = [
        await remove_item(docker_client, each) for each in (item, SharedVolume(name=volume), OwnImage(name=image))
    ]
    assert (busy, removed) == (False, [True, True, True])
    assert await inspect_container(docker_client, mine) is None
    assert await docker_client.inspect_image(image) is None
    assert await docker_client.inspect_image(_IMAGE) is not None


@pytest.mark.parametrize("command", ["ps", "clean"])
def test_without_an_engine_it_says_so(command: str):
    """In words."""
    done = call(command, "--docker-host", "unix:///nonexistent.sock")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(f"interpreter-tools {command}: no Docker engine answers".encode())


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86400 * 3, "3 d")]
)
def test_age_is_told_in_its_largest_unit(seconds: float | None, text: str):
    """For people."""
    assert tell_age(seconds) == text


def test_names_that_others_chose_do_not_reach_the_terminal_raw():
    """They could hold what a terminal obeys."""
    assert one_line("a\x1b[31mb\n") == r"a\x1b[31mb\n"
