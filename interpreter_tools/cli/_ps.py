"""``interpreter-tools ps``: the containers of interpreter-tools on an engine, and their owners."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import anyio
import msgspec

from interpreter_tools._docker import DockerClient, survey
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._text import json_text, one_line
from interpreter_tools.cli._errors import tell
from interpreter_tools.cli._settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools._docker import Belonging, Owner

_SHORT = 12  # digits of an id, as `docker ps` shows them
_HEADING = ("CONTAINER", "IMAGE", "STATE", "AGE", "OWNER")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One container in the output of ``--json``.

    Attributes:
        id: its id.
        name: its name.
        image: the image that it was made from.
        state: ``"created"``, ``"running"``, ``"exited"`` and the like.
        age: seconds since it was made; None where the engine tells no time.
        pid: the process that owns it; None where its labels do not tell.
        host: that process's machine; None likewise.
        owner: whether that process is alive; ``"unknown"`` where that cannot be told from here, as on another machine.
    """

    id: str
    name: str
    image: str
    state: str
    age: float | None
    pid: int | None
    host: str | None
    owner: Literal["alive", "dead", "unknown"]


async def run_ps(*, as_json: bool, docker_host: str | None) -> int:
    """Print the containers and return the command's status."""
    try:
        docker_host = docker_host or (await anyio.to_thread.run_sync(load_settings, "ps")).docker_host
        async with await DockerClient.connect(docker_host, brief=True) as client:
            containers = [found for found in await survey_named(client) if found.kind == "container"]
    except InterpreterToolsError as error:
        return tell("ps", error, failed=1)
    if as_json:
        sys.stdout.write(json_text(msgspec.json.format(msgspec.json.encode(list(map(_listed, containers))))) + "\n")
    else:
        sys.stdout.write(table([_HEADING, *map(_row, containers)]))
    return 0


async def survey_named(client: DockerClient) -> list[Belonging]:
    """Return the containers and volumes, with the names of images in place of their digests."""
    found, images = await survey(client), await client.list_images({})
    names = {image.id: image.tags[0] for image in images if image.tags}
    return [msgspec.structs.replace(item, image=names.get(item.image, item.image)) for item in found]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text, in columns of the width that they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def tell_age(seconds: float | None) -> str:
    """Return an age in the largest unit that leaves a whole number: ``"5 min"``."""
    if seconds is None:
        return "?"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def tell_owner(owner: Owner | None, life: str) -> str:
    """Return the owner as text, with its state."""
    return "unknown" if owner is None else f"pid {owner.pid} on {one_line(owner.host)}, {life}"


def _row(container: Belonging) -> tuple[str, ...]:
    owner = tell_owner(container.owner, container.life)
    return container.id[:_SHORT], one_line(container.image), container.state, tell_age(container.age), owner


def _listed(container: Belonging) -> Listed:
    owner = container.owner
    return Listed(
        id=container.id,
        name=container.name,
        image=container.image,
        state=container.state,
        age=container.age,
        pid=None if owner is None else owner.pid,
        host=None if owner is None else owner.host,
        owner=container.life,
    )
