"""Takes official images from a registry, and makes ours of them."""

from __future__ import annotations

import json
import math
import os
import re
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._docker.build import build_image
from interpreter_tools._exceptions import DockerApiError
from interpreter_tools.setup.chroot import BUNDLE, LOCALHOST, MANUAL_DIRECTORIES
from interpreter_tools.setup.errors import SetupFailed
from interpreter_tools.setup.host import find_bundle
from interpreter_tools.setup.recipes import (
    ADD_LOCALES,
    APT_INSTALL,
    IMAGE_LABEL,
    RECIPE_LABEL,
    image_variables,
    npm_command,
    pip_command,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._docker import DockerClient, PullProgress
    from interpreter_tools.setup.recipes import Recipe

REGISTRY_VARIABLE = "INTERPRETER_TOOLS_REGISTRY"
"""Names the registry, ``host:port`` or ``host:port/path``, that official images come from instead of Docker Hub."""

_FIRST_ANSWER_SECONDS = 20.0
PULL_SHARE = 0.8
"""The share of the pull in making an image from an official one."""

_DOWNLOAD_SHARE = 0.7
_BUILD_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


class LayerMeter:
    """Adds up how far the layers of a pull are.

    A layer's size is known only once it is being fetched, so the sum may fall; it is never told so.
    """

    def __init__(self) -> None:
        self._layers: dict[str, float] = {}
        self._highest = 0.0

    def __repr__(self) -> str:
        return f"<LayerMeter {len(self._layers)} layers, {self._highest:.0%}>"

    def feed(self, progress: PullProgress) -> float:
        """Return the progress of the pull, 0 to 1."""
        part = progress.current / progress.total if progress.total else 0.0
        match progress.status:
            case "Pulling fs layer" | "Waiting":
                self._layers.setdefault(progress.layer, 0.0)
            case "Downloading":
                self._layers[progress.layer] = part * _DOWNLOAD_SHARE
            case "Verifying Checksum" | "Download complete":
                self._layers[progress.layer] = _DOWNLOAD_SHARE
            case "Extracting":
                self._layers[progress.layer] = _DOWNLOAD_SHARE + part * (1 - _DOWNLOAD_SHARE)
            case "Pull complete" | "Already exists":
                self._layers[progress.layer] = 1.0
            case _:
                pass
        if self._layers:
            self._highest = max(self._highest, sum(self._layers.values()) / len(self._layers))
        return self._highest


def official_reference(recipe: Recipe) -> str:
    """Return the reference of a recipe's official image, at Docker Hub or at the registry of the environment."""
    registry = (
        os.environ.get(REGISTRY_VARIABLE, "").strip().removeprefix("https://").removeprefix("http://").rstrip("/")
    )
    return f"{registry}/library/{recipe.official}" if registry else recipe.official


async def pull(client: DockerClient, reference: str, *, tell: Callable[[float, str], None]) -> None:
    """Have the engine fetch an image, from the mirrors that it is configured with or the image's own registry.

    Args:
        client: the engine.
        reference: the image.
        tell: is told how far it is and what happens.

    Raises:
        DockerApiError: the registry, or the engine, refused.
        SetupFailed: no registry answers.
    """
    meter = LayerMeter()
    async with client.pull_image(reference) as progress:
        # Engines retry for minutes when packets to a registry get lost, as on networks without internet access.
        with anyio.CancelScope(deadline=anyio.current_time() + _FIRST_ANSWER_SECONDS) as scope:
            async for step in progress:
                scope.deadline = math.inf
                tell(meter.feed(step), f"{step.status} {step.layer}".strip())
        if scope.cancelled_caught:
            raise SetupFailed(
                f"no registry answers within {_FIRST_ANSWER_SECONDS:g} s",
                hint="name a registry that answers with INTERPRETER_TOOLS_REGISTRY=host:port",
            )


async def derive(client: DockerClient, recipe: Recipe, reference: str, *, tell: Callable[[float, str], None]) -> None:
    """Make a recipe's image from the official one, adding what that lacks: packages of npm and pip, certificates.

    Raises:
        DockerApiError: a step failed.
    """
    path = await anyio.to_thread.run_sync(find_bundle)
    bundle = None if path is None else await anyio.Path(path).read_bytes()

    reached = PULL_SHARE

    def on_line(line: str) -> None:
        nonlocal reached
        step = _BUILD_STEP.match(line)
        if step is not None:  # a build that begins again does not go back
            reached = max(reached, PULL_SHARE + (1 - PULL_SHARE) * (int(step[1]) - 1) / int(step[2]))
            tell(reached, step[3])

    settings = {
        name: value
        for name, value in os.environ.items()
        if name.lower().startswith("npm_config_") or name in {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"}
    }
    proxies = {name: value for name, value in os.environ.items() if name.lower() in _PROXIES}

    async def build(*, plain: bool) -> None:
        await build_image(
            client,
            write_dockerfile(recipe, reference, with_bundle=bundle is not None, arguments=tuple(settings), plain=plain),
            tag=recipe.image,
            files={"hosts": LOCALHOST.encode(), **({} if bundle is None else {"ca-certificates.crt": bundle})},
            arguments={**settings, **proxies},
            on_line=on_line,
        )

    try:
        await build(plain=False)
    except DockerApiError as error:
        if not recipe.suffices:
            raise
        reason = (error.detail.strip().splitlines() or [error.message])[-1]
        tell(reached, f"nothing can be added to {reference} ({reason}); taking it as it is")
        await build(plain=True)


def write_dockerfile(
    recipe: Recipe, reference: str, *, with_bundle: bool, arguments: tuple[str, ...], plain: bool = False
) -> str:
    """Return the Dockerfile that makes a recipe's image from the official one.

    Args:
        recipe: what is to be made.
        reference: the official image.
        with_bundle: whether the host's certificate authorities are beside it, as ``ca-certificates.crt``.
        arguments: names of the build's arguments, which are variables while npm and pip run and are not kept.
        plain: nothing is added that has to be fetched.
    """
    lines = [f"FROM {reference}", "COPY hosts /etc/hosts"]
    if with_bundle:
        lines.append(f"COPY ca-certificates.crt {BUNDLE}")
    lines += [f"ENV {name}={value}" for name, value in image_variables(recipe, with_bundle=with_bundle).items()]

    def run(*words: str) -> None:
        lines.append(f"RUN {json.dumps(words)}")

    labels = [f"LABEL {IMAGE_LABEL}={recipe.name}", f"LABEL {RECIPE_LABEL}={recipe.digest}"]
    if plain:
        return "\n".join([*lines, *labels]) + "\n"
    lines += [f"ARG {name}" for name in arguments]
    run("mkdir", "-p", *MANUAL_DIRECTORIES)
    packages = (*recipe.packages, *recipe.tools) if recipe.is_debian else recipe.added
    steps = ["apt-get -q update", ADD_LOCALES]
    if packages:
        steps.append(f"{APT_INSTALL} {' '.join(packages)}")
    if recipe.is_debian:
        steps += recipe.commands
    steps += recipe.additions
    if recipe.is_debian and recipe.tools:
        steps.append(f"apt-get -yq purge --autoremove {' '.join(recipe.tools)}")
    steps.append("rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old")
    run("sh", "-ec", "\n".join(steps))
    if recipe.pip_packages:
        run(*pip_command(recipe))
    if recipe.npm_packages:
        run(*npm_command(recipe))
    return "\n".join([*lines, *labels]) + "\n"
