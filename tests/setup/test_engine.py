"""Bringing an engine to life, on machines where it is dead in different ways."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net"]
ROOT = Path(__file__).parents[2]
START = "Start the Docker engine (`dockerd`)?"


class Played(msgspec.Struct):
    """How a scenario went."""

    outcome: str
    questions: list[str]
    texts: list[str]


def play(scenario: str) -> Played:
    """Play a scenario on a machine of its own."""
    done = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.setup.bare_machine", scenario],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Played)


def test_engine_is_started_once_and_outlives_us():
    """Only the first time a question is asked."""
    played = play("fresh")
    assert played.outcome == "ok"
    assert played.questions == [START]


def test_nothing_is_started_without_consent():
    """The error says how to give it."""
    played = play("denied")
    assert played.questions == [START]
    assert "setup --yes" in played.outcome


def test_stale_pid_files_do_not_keep_an_engine_from_starting():
    """Neither dockerd's nor containerd's, even where another program has their numbers now."""
    played = play("killed")
    assert played.outcome == "ok"
    assert "removed /run/docker.pid, which a dead engine left" in played.texts


def test_socket_of_a_dead_containerd_does_not_either():
    """Docker 20.10 waits for one whose socket is there."""
    assert play("dead_containerd").outcome == "ok"


def test_engine_that_is_starting_is_waited_for():
    """It is not mistaken for a hung one, and no second is started."""
    played = play("starting")
    assert (played.outcome, played.questions) == ("ok", [])


def test_hung_engine_is_replaced_after_asking():
    """It is of no use to anybody else either."""
    played = play("hung")
    assert played.outcome == "ok"
    assert [question.partition(" ")[0] for question in played.questions] == ["Start", "dockerd"]
    assert played.questions[1].endswith("hangs. End it and start another?")


def test_engine_that_ends_at_once_says_why():
    """In its own words."""
    played = play("broken")
    assert played.outcome.startswith("SetupFailed: dockerd ended:")
    assert "nonsense" in played.outcome


def test_engine_that_listens_elsewhere_is_left_alone():
    """It may be at work for somebody else."""
    played = play("elsewhere")
    assert "does not listen at its usual address" in played.outcome
    assert "DOCKER_HOST" in played.outcome
    assert played.questions == []


def test_engine_of_another_machine_is_not_replaced_by_one_here():
    """The address was asked for."""
    played = play("remote")
    assert played.outcome.startswith("DockerUnavailable: ")
    assert played.questions == []
