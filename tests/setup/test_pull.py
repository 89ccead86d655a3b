"""Pulling, as far as it needs no registry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._docker import PullProgress
from interpreter_tools.setup.pull import REGISTRY_VARIABLE, LayerMeter, official_reference, write_dockerfile
from interpreter_tools.setup.recipes import NODE, PYTHON, SHELL

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
    """No shell is involved, settings of npm do not stay, and its own npm is left alone."""
    text = write_dockerfile(NODE, "node:22-slim", with_bundle=True, arguments=("NPM_CONFIG_REGISTRY",))
    lines = text.splitlines()
    assert lines[0] == "FROM node:22-slim"
    assert "COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt" in lines
    assert lines.index("ARG NPM_CONFIG_REGISTRY") < next(n for n, line in enumerate(lines) if line.startswith("RUN ["))
    assert "npm@" not in text
    assert '"typescript@' in text
    assert lines[-1] == "LABEL interpreter-tools.image=node"


def test_dockerfile_of_an_image_that_lacks_nothing_runs_nothing():
    """It only sets names, and localhost."""
    lines = write_dockerfile(SHELL, SHELL.official, with_bundle=False, arguments=("NPM_CONFIG_REGISTRY",)).splitlines()
    assert [line.split()[0] for line in lines] == ["FROM", "COPY", "ENV", "LABEL"]


def test_dockerfile_adds_pythons_installer():
    """With the host's index, which does not stay."""
    lines = write_dockerfile(PYTHON, PYTHON.official, with_bundle=False, arguments=("PIP_INDEX_URL",)).splitlines()
    (run,) = (line for line in lines if line.startswith("RUN "))
    assert run.endswith('"--", "uv>=0.5"]')
    assert lines.index("ARG PIP_INDEX_URL") < lines.index(run)
