"""What is remembered of a Docker host: the ways in which it lets containers have sandboxes inside."""

from __future__ import annotations

import errno
from typing import Literal

import msgspec
import pytest

from interpreter_tools import ContainerConfig
from interpreter_tools._container import boxes
from interpreter_tools._container.boxes import Boxes
from interpreter_tools._container.shape import Shape
from interpreter_tools._docker.spec import BoxWay, HostTraits
from interpreter_tools._exceptions import SandboxUnavailable

SHAPE = Shape(
    label="python",
    image="x",
    image_id="sha256:0",
    image_environment={},
    config=ContainerConfig(),
    boot_mode=None,
    boot_command=(),
    boot_environment={},
    image_volumes=(),
    identities=(),
    reused=True,
)
REFUSED = SandboxUnavailable("no user namespace can be made", step="user", errno=errno.EPERM)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with a host that nobody knows."""
    monkeypatch.setattr(boxes, "_refusals", {})


def on_host(isolation: Literal["auto", "sandbox", "container"] = "auto", *, engine: str = "unix:///one") -> Boxes:
    """What an engine knows of one host."""
    return Boxes(engine, HostTraits(), isolation)


def test_refused_ways_are_tried_once_for_all_engines_of_a_host() -> None:
    """The second way after the first, none after that; another host and another runtime have their own."""
    first = on_host()
    assert first.way(SHAPE, installs=False) is BoxWay.UNMASKED
    assert first.after(SHAPE, BoxWay.UNMASKED, REFUSED) is BoxWay.ADMIN
    assert first.after(SHAPE, BoxWay.ADMIN, REFUSED) is None
    assert on_host().way(SHAPE, installs=False) is None
    with pytest.raises(SandboxUnavailable) as caught:
        on_host("sandbox").way(SHAPE, installs=False)
    assert (caught.value.step, caught.value.errno) == ("user", errno.EPERM)
    assert on_host(engine="unix:///other").way(SHAPE, installs=False) is BoxWay.UNMASKED
    kata = msgspec.structs.replace(SHAPE, config=ContainerConfig(runtime="kata"))
    assert on_host().way(kata, installs=False) is BoxWay.UNMASKED


@pytest.mark.parametrize(
    "passing",
    [
        SandboxUnavailable("what is mounted has gone", step="mount", errno=errno.ENOENT),
        SandboxUnavailable("no memory", step="namespaces", errno=errno.ENOMEM),
        SandboxUnavailable("no process", step="supervisor", errno=errno.EAGAIN),
    ],
    ids=["mount", "memory", "processes"],
)
def test_what_is_no_fault_of_the_host_is_not_remembered(passing: SandboxUnavailable) -> None:
    """This one container does without; who insists gets the error."""
    assert on_host().after(SHAPE, BoxWay.UNMASKED, passing) is None
    assert on_host().way(SHAPE, installs=False) is BoxWay.UNMASKED
    with pytest.raises(SandboxUnavailable) as caught:
        on_host("sandbox").after(SHAPE, BoxWay.UNMASKED, passing)
    assert caught.value is passing


def test_some_containers_never_have_any() -> None:
    """Installers, those whose engine is told so, those with few processes or a network to reset, and Podman's."""
    few = msgspec.structs.replace(SHAPE, config=ContainerConfig(pids_limit=8))
    assert on_host().way(few, installs=False) is None
    networked = msgspec.structs.replace(SHAPE, config=ContainerConfig(network="bridge"))
    assert on_host().way(SHAPE, installs=True) is None
    assert on_host("container").way(SHAPE, installs=False) is None
    assert on_host().way(networked, installs=False) is None
    with pytest.raises(SandboxUnavailable, match="network"):
        on_host("sandbox").way(networked, installs=False)
    once = msgspec.structs.replace(networked, reused=False)
    assert on_host().way(once, installs=False) is BoxWay.UNMASKED
    assert on_host().way(msgspec.structs.replace(networked, only_boxed=True), installs=False) is BoxWay.UNMASKED
    podman = Boxes("unix:///podman", HostTraits(podman=True), "auto")
    assert podman.way(SHAPE, installs=False) is None
