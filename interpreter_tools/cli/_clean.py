"""``interpreter-tools clean``: removes what dead clients and older versions have left; ``--all`` removes all of all."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import msgspec

from interpreter_tools._dependencies.derived_image import LABEL as DERIVED
from interpreter_tools._docker import DockerClient, remove
from interpreter_tools._docker.supervisor import LABEL as SUPERVISOR
from interpreter_tools._docker.supervisor import supervisor_digest
from interpreter_tools._exceptions import DockerApiError, InterpreterToolsError
from interpreter_tools._text import json_text, one_line
from interpreter_tools.cli._ask import ask_terminal
from interpreter_tools.cli._errors import tell
from interpreter_tools.cli._ps import survey_named, tell_age, tell_owner
from interpreter_tools.cli._settings import load_settings
from interpreter_tools.setup.recipes import IMAGE_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools._docker import Belonging, ImageSummary, VolumeSummary

_IN_USE = 409
_FRESH = 3600.0  # seconds
_SHORT = 12


class SharedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """The volume that brings the supervisor into every sandbox; the next engine makes it again."""

    name: str


class OwnImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is made again when it is needed: the supervisor's, or one with system packages."""

    name: str


Item: TypeAlias = "Belonging | SharedVolume | OwnImage"


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``--json``.

    Attributes:
        kind: the kind of the object.
        name: its id or name.
        removed: True when it is gone; False for a dry run, and for an object in use.
    """

    kind: Literal["container", "volume", "image"]
    name: str
    removed: bool


async def find(client: DockerClient, *, everything: bool) -> list[Item]:
    """Return the objects to remove, in the order in which they can be removed.

    Args:
        client: the engine.
        everything: True adds the objects of owners that are or may be alive, and those that all clients share. False
            leaves of the latter those that this version uses.
    """
    found = [item for item in await survey_named(client) if everything or item.abandoned]
    volumes = await client.list_volumes({SUPERVISOR: None})
    supervisors = await client.list_images({SUPERVISOR: None})
    if everything:
        images = [*supervisors, *await client.list_images({DERIVED: None})]
    else:
        made = await client.list_images({IMAGE_LABEL: None})
        current = await supervisor_digest(client)
        volumes, images = _outdated(volumes, supervisors, made, current=current, now=time.time())
    names = [name for image in images for name in image.tags or (image.id,)]
    return [
        *found,
        *(SharedVolume(name=volume.name) for volume in volumes),
        *(OwnImage(name=name) for name in names),
    ]


def _outdated(
    volumes: Sequence[VolumeSummary],
    supervisors: Sequence[ImageSummary],
    made: Sequence[ImageSummary],
    *,
    current: str,
    now: float,
) -> tuple[list[VolumeSummary], list[ImageSummary]]:
    """Return what other versions have left: supervisors, and images that lost their names to newer ones.

    What is younger than an hour stays: a client of another version may have made it just now.

    Args:
        volumes: volumes with supervisors.
        supervisors: images with supervisors.
        made: images that ``setup`` has made.
        current: the digest of the supervisor of this version.
        now: the time, in seconds since the epoch.
    """
    fresh = {image.labels.get(SUPERVISOR) for image in supervisors if now - image.created < _FRESH} | {current}
    old = [image for image in supervisors if image.labels.get(SUPERVISOR) not in fresh or not image.tags]
    unnamed = [image for image in (*old, *made) if now - image.created >= _FRESH and (image in old or not image.tags)]
    return [volume for volume in volumes if volume.labels.get(SUPERVISOR) not in fresh], unnamed


async def remove_item(client: DockerClient, item: Item) -> bool:
    """Remove an object; return False for a volume or image that is in use."""
    if not isinstance(item, (SharedVolume, OwnImage)):
        return await remove(client, item)
    try:
        await (client.remove_volume if isinstance(item, SharedVolume) else client.remove_image)(item.name)
    except DockerApiError as error:
        if error.status == _IN_USE:
            return False
        raise
    return True


async def run_clean(*, everything: bool, dry_run: bool, yes: bool, as_json: bool, docker_host: str | None) -> int:
    """Remove the objects, print them, and return the command's status."""
    try:
        docker_host = docker_host or (await anyio.to_thread.run_sync(load_settings, "clean")).docker_host
        async with await DockerClient.connect(docker_host, brief=True) as client:
            items = await find(client, everything=everything)
            agreed = not dry_run and bool(items) and (yes or await _ask(items))
            if items and not dry_run and not agreed:
                return 1
            removals = [await _settle(client, item, tell=not as_json, dry_run=dry_run) for item in items]
    except InterpreterToolsError as error:
        return tell("clean", error, failed=1)
    if as_json:
        sys.stdout.write(json_text(msgspec.json.format(msgspec.json.encode(removals))) + "\n")
    elif not items:
        sys.stdout.write("nothing to remove\n")
    return 0


async def _settle(client: DockerClient, item: Item, *, tell: bool, dry_run: bool) -> Removal:
    removed = not dry_run and await remove_item(client, item)
    if tell:
        word = "would remove" if dry_run else "removed" if removed else "still in use:"
        sys.stdout.write(f"{word} {describe(item)}\n")
    return Removal(kind=_kind(item), name=item.name if _kind(item) != "container" else _id(item), removed=removed)


def describe(item: Item) -> str:
    """Return an item in words: ``"container 0123456789ab (running, 5 min, pid 7 on box, alive)"``."""
    if isinstance(item, (SharedVolume, OwnImage)):
        return f"{_kind(item)} {one_line(item.name)}"
    owner = tell_owner(item.owner, item.life)
    if item.kind == "volume":
        return f"volume {one_line(item.name)} ({owner})"
    return f"container {item.id[:_SHORT]} {one_line(item.image)} ({item.state}, {tell_age(item.age)}, {owner})"


async def _ask(items: Sequence[Item]) -> bool:
    """Ask whether the items may be removed; return False when there is no terminal to ask on."""
    for item in items:
        sys.stderr.write(f"  {describe(item)}\n")
    living = sum(not isinstance(item, (SharedVolume, OwnImage)) and not item.abandoned for item in items)
    warning = f" ({living} of them belong to clients that are or may be alive, and their runs end)" if living else ""
    if await ask_terminal(f"remove these {len(items)}{warning}?"):
        return True
    sys.stderr.write("interpreter-tools clean: nothing was removed; --yes removes without asking\n")
    return False


def _kind(item: Item) -> Literal["container", "volume", "image"]:
    if isinstance(item, OwnImage):
        return "image"
    return "volume" if isinstance(item, SharedVolume) else item.kind


def _id(item: Item) -> str:
    return item.name if isinstance(item, (SharedVolume, OwnImage)) else item.id
