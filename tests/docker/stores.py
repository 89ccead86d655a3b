"""Stores of packages, and images, that tests make and remove."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from interpreter_tools._dependencies.derived_image import STORE_LABEL
from interpreter_tools._docker.build import build_image
from interpreter_tools._exceptions import DockerApiError
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools._docker import DockerClient


@contextlib.asynccontextmanager
async def own_store(client: DockerClient) -> AsyncGenerator[str]:
    """Yield the name of a store that nobody else uses; at the end, remove it with its images."""
    name = f"interpreter-tools-test-{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        await remove_images(client, name)
        await remove_store(client, name)


async def remove_store(client: DockerClient, store: str) -> None:
    """Remove a volume that no test needs any more; containers that still end hold it for a moment."""

    async def attempt() -> bool:
        try:
            await client.remove_volume(store)
        except DockerApiError:
            return False
        return True

    await eventually(attempt, bool, within=30)


async def remove_image(client: DockerClient, tag: str) -> None:
    """Remove an image, as soon as the containers that use it are gone."""

    async def attempt() -> bool:
        try:
            await client.remove_image(tag)
        except DockerApiError as error:
            if error.status != 409:
                raise
            return False
        return True

    await eventually(attempt, bool, within=30)


@contextlib.asynccontextmanager
async def image_with(client: DockerClient, image: str, line: str) -> AsyncGenerator[str]:
    """Make an image with one more line in its recipe, for as long as the block runs."""
    tag = f"it-test-{uuid.uuid4().hex[:12]}:1"
    await build_image(client, f"FROM {image}\n{line}\n", tag=tag, files={}, arguments={}, on_line=lambda _: None)
    try:
        yield tag
    finally:
        await remove_image(client, tag)


async def remove_images(client: DockerClient, store: str) -> None:
    """Remove the images that belong to a store."""
    for image in await client.list_images({STORE_LABEL: store}):
        for tag in image.tags:
            await remove_image(client, tag)
