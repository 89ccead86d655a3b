"""A language whose packages are made, not fetched: what is tested is who installs, when, and what becomes of it."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from interpreter_tools import (
    DependencyPlan,
    EngineConfig,
    ExecutionEngine,
    LanguageConfig,
    LanguageRegistry,
    PoolConfig,
)
from interpreter_tools._dependencies.derived_image import STORE_LABEL
from interpreter_tools._docker.build import build_image
from interpreter_tools._exceptions import DockerApiError
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from interpreter_tools._docker import DockerClient

_INSTALL = """
target=$1; shift
for package; do
    echo "installing $package"
    case $package in
        slow*) sleep 3 ;;
        endless*) sleep 1000 ;;
        fail*) echo "there is no $package" >&2; exit 7 ;;
        deep*) cd "$target"; for i in $(seq 300); do mkdir d; cd d; done ;;
        loud*) head -c 3000000 /dev/zero | tr '\\0' x ;;
    esac
    printf '#!/bin/sh\\necho "tool %s"\\n' "$package" > "$target/$package"
    chmod 700 "$target/$package"
done
"""

TOY = LanguageConfig(
    language="toy",
    default_image="interpreter-tools/shell:1",
    code_filename="main.toy",
    run_command=("sh", "{file}"),
    dependencies=DependencyPlan(
        kind="words",
        install=(("no-such-installer", "{packages}"), ("sh", "-c", _INSTALL, "sh", "{target}", "{packages}")),
        paths={"PATH": "{target}", "TOYS": "{target}/"},
    ),
)


@contextlib.contextmanager
def registered() -> Generator[None]:
    """The language is known."""
    LanguageRegistry.register(TOY)
    try:
        yield
    finally:
        LanguageRegistry.unregister(TOY.language)


def make_engine(store: str, **options: object) -> ExecutionEngine:
    """An engine with a store of its own, whose installers have no network."""
    pool = PoolConfig(min_size=0, max_size=4, wait_timeout=120)
    values: dict[str, object] = {"dependency_network": "none", "pool": pool, **options}
    return ExecutionEngine(EngineConfig(prewarm=(), dependency_store=store, **values))  # pyright: ignore[reportArgumentType]


async def remove_store(client: DockerClient, store: str) -> None:
    """Removes a volume that no test needs any more; containers that still end hold it for a moment."""

    async def attempt() -> bool:
        try:
            await client.remove_volume(store)
        except DockerApiError:
            return False
        return True

    await eventually(attempt, bool, within=30)


async def remove_image(client: DockerClient, tag: str) -> None:
    """Removes an image, as soon as the containers that use it are gone."""

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
    """Removes the images that belong to a store."""
    for image in await client.list_images({STORE_LABEL: store}):
        for tag in image.tags:
            await remove_image(client, tag)
