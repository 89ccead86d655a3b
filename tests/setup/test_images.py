"""How images come to the engine."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import MachineError
from interpreter_tools.setup import Progress, SetupFailed, refuse
from interpreter_tools.setup import build as build_module
from interpreter_tools.setup import pull as pull_module
from interpreter_tools.setup.cache import BuildCache
from interpreter_tools.setup.images import ImageProvider
from interpreter_tools.setup.recipes import PYTHON, Recipe
from tests.watch import tag_image

from .conftest import free_port, publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools._docker import DockerClient

pytestmark = pytest.mark.docker

IMAGE = "interpreter-tools-test/pulled:1"
RECIPE = msgspec.structs.replace(PYTHON, image=IMAGE, official="tiny:1")


@pytest.fixture
async def provider(docker_client: DockerClient, tmp_path: Path) -> AsyncIterator[ImageProvider]:
    """A provider that may not install anything; the image is gone before and after."""
    await docker_client.remove_image(IMAGE)
    yield make_provider(docker_client, tmp_path, [])
    await docker_client.remove_image(IMAGE)


def make_provider(client: DockerClient, cache: Path, events: list[Progress], *, update: bool = False) -> ImageProvider:
    """A provider whose events are collected."""
    return ImageProvider(client, BuildCache(cache), consent=refuse, report=events.append, update=update)


async def test_image_is_pulled_where_a_registry_answers(
    docker_client: DockerClient, tmp_path: Path, registry: str, provider: ImageProvider, monkeypatch: pytest.MonkeyPatch
):
    """Under our name, with our variables; the second time nothing is done."""
    del provider
    reference = f"{registry}/library/tiny:1"
    await publish(docker_client, reference, {"bin/program": b"x" * 100_000})
    monkeypatch.setenv(pull_module.REGISTRY_VARIABLE, registry)
    events: list[Progress] = []
    ready = await make_provider(docker_client, tmp_path, events).provide([RECIPE])
    assert [(image.image, image.source) for image in ready] == [(IMAGE, "pulled")]
    assert [event.state for event in events][-1] == "done"
    fractions = [event.fraction for event in events if event.fraction is not None]
    assert fractions == sorted(fractions)
    found = await docker_client.inspect_image(IMAGE)
    assert found is not None
    assert "LANG=C.UTF-8" in found.environment
    again = await make_provider(docker_client, tmp_path, []).provide([RECIPE])
    assert again[0].source == "present"
    await docker_client.remove_image(reference)


async def test_update_pulls_again_and_removes_what_it_replaced(
    docker_client: DockerClient, tmp_path: Path, registry: str, provider: ImageProvider, monkeypatch: pytest.MonkeyPatch
):
    """An image that nothing uses does not stay behind without a name."""
    del provider
    reference = f"{registry}/library/tiny:1"
    monkeypatch.setenv(pull_module.REGISTRY_VARIABLE, registry)
    await publish(docker_client, reference, {"bin/program": b"old"})
    await make_provider(docker_client, tmp_path, []).provide([RECIPE])
    old = await docker_client.inspect_image(IMAGE)
    old_official = await docker_client.inspect_image(reference)
    assert old_official is not None
    await publish(docker_client, reference, {"bin/program": b"new"})
    await tag_image(docker_client, old_official.id, reference)  # as it is where another machine has published
    await make_provider(docker_client, tmp_path, [], update=True).provide([RECIPE])
    new = await docker_client.inspect_image(IMAGE)
    assert old is not None
    assert new is not None
    assert old.id != new.id
    assert await docker_client.inspect_image(old.id) is None
    assert await docker_client.inspect_image(old_official.id) is None
    await docker_client.remove_image(reference)


async def test_image_by_name_comes_from_its_registry(
    docker_client: DockerClient, registry: str, provider: ImageProvider
):
    """As it is: nothing is added to what the caller chose."""
    reference = f"{registry}/somebody/else:2"
    await publish(docker_client, reference, {"bin/program": b"x"})
    assert [image.source for image in await provider.provide([reference])] == ["pulled"]
    await docker_client.remove_image(reference)


async def test_image_that_its_registry_lacks_is_an_error(provider: ImageProvider, registry: str):
    """With the engine's own words."""
    with pytest.raises(MachineError, match="nothing:1"):
        await provider.provide([f"{registry}/nothing:1"])


async def test_failure_names_both_ways(provider: ImageProvider, monkeypatch: pytest.MonkeyPatch):
    """Neither pulled nor built: both reasons, and what to do."""
    monkeypatch.setenv(pull_module.REGISTRY_VARIABLE, f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(build_module, "is_root", lambda: False)
    with pytest.raises(SetupFailed, match=r"(?s)cannot be pulled .*refused.* cannot be built: only root can") as caught:
        await provider.provide([RECIPE])
    assert "sudo" in caught.value.hint


async def test_registry_that_says_nothing_is_given_up(
    docker_client: DockerClient, provider: ImageProvider, monkeypatch: pytest.MonkeyPatch
):
    """As where a network drops packets: an engine alone would try for minutes."""
    del provider
    monkeypatch.setattr(pull_module, "_FIRST_ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reference = f"127.0.0.1:{silent.getsockname()[1]}/library/tiny:1"
        with pytest.raises(SetupFailed, match="no registry answers within 1 s"):
            await pull_module.pull(docker_client, reference, tell=lambda _fraction, _text: None)


async def test_one_failure_does_not_keep_others_from_being_ready(
    docker_client: DockerClient, tmp_path: Path, registry: str, provider: ImageProvider
):
    """What could be made ready is, and the error is about the rest."""
    del provider
    reference = f"{registry}/somebody/other:1"
    await publish(docker_client, reference, {"bin/program": b"x"})
    targets: list[Recipe | str] = [f"{registry}/nothing:1", reference]
    with pytest.raises(MachineError, match="nothing:1"):
        await make_provider(docker_client, tmp_path, []).provide(targets)
    assert await docker_client.inspect_image(reference) is not None
    await docker_client.remove_image(reference)


async def test_image_that_may_be_left_out_is_no_failure(
    docker_client: DockerClient, tmp_path: Path, registry: str, provider: ImageProvider
):
    """The others are ready, and it is not among them."""
    del provider
    reference = f"{registry}/somebody/third:1"
    await publish(docker_client, reference, {"bin/program": b"x"})
    missing = f"{registry}/nothing:1"
    ready = await make_provider(docker_client, tmp_path, []).provide([missing, reference], optional={missing})
    assert [image.image for image in ready] == [reference]
    await docker_client.remove_image(reference)
