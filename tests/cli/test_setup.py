"""``interpreter-tools setup`` and ``doctor`` on a machine that is ready, and without their optional packages."""

from __future__ import annotations

import subprocess
import sys
import time

import msgspec
import pytest

from interpreter_tools.setup import Check, SetupResult

from .command import ENVIRONMENT, call

WITHOUT = """
import sys
sys.modules["cyclopts"] = None
from interpreter_tools.cli import main
main()
"""


@pytest.mark.docker
def test_setup_of_a_ready_machine_does_nothing_quickly():
    """And says what to try next."""
    started = time.monotonic()
    done = call("setup")
    assert done.returncode == 0
    assert time.monotonic() - started < 3  # 0.5 s on an idle machine
    assert done.stdout.startswith(b"ready: interpreter-tools/python:1, ")
    assert b"interpreter-tools run -c" in done.stdout
    assert b"Install" not in done.stderr


@pytest.mark.docker
def test_setup_result_is_json_when_asked_for():
    """On stdout; how it goes is on stderr."""
    done = call("setup", "typescript", "--json")
    result = msgspec.json.decode(done.stdout, type=SetupResult)
    assert [(image.image, image.source) for image in result.images] == [("interpreter-tools/node:1", "present")]


def test_setup_of_an_unknown_language_names_the_known():
    """Before anything is touched."""
    done = call("setup", "cobol")
    assert done.returncode == 1
    assert b"unknown language 'cobol'; known: bash, javascript, python" in done.stderr


def test_setup_without_an_engine_elsewhere_fails():
    """It does not start one here instead."""
    done = call("setup", "--yes", "--docker-host", "tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert b"no Docker engine answers" in done.stderr


@pytest.mark.docker
def test_doctor_finds_a_ready_machine_well():
    """Down to a timed run."""
    done = call("doctor", "--json")
    checks = {check.name: check for check in msgspec.json.decode(done.stdout, type=list[Check])}
    assert done.returncode == 0
    assert next(iter(checks)) == "engine"
    assert list(checks)[-1] == "run"
    assert all(check.ok for check in checks.values() if check.needed)
    text = call("doctor").stdout.decode()
    assert "fresh warm container" in text


def test_doctor_without_an_engine_says_what_to_do():
    """And fails."""
    done = call("doctor", "--docker-host", "unix:///nonexistent.sock")
    assert done.returncode == 1
    assert done.stdout.startswith(b"missing engine")
    assert b"-> " in done.stdout


@pytest.mark.docker
def test_doctor_names_the_command_for_a_missing_image():
    """Which makes it."""
    done = call("doctor", environment={"INTERPRETER_TOOLS_IMAGE_PYTHON": "interpreter-tools-test/none:1"})
    assert done.returncode == 1
    assert b"-> run `interpreter-tools setup interpreter-tools-test/none:1`" in done.stdout
    assert b"missing run" not in done.stdout


def test_missing_packages_are_named():
    """The library works without them."""
    command = [sys.executable, "-c", WITHOUT, "--help"]
    done = subprocess.run(command, capture_output=True, check=False, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        b"interpreter-tools: the command line needs packages that are not installed: "
        b'pip install "interpreter-tools[cli]"\n'
    )


def test_help_names_the_commands():
    """And the version."""
    text = call("--help").stdout.decode()
    assert all(word in text for word in ("setup", "doctor", "run", "--version"))
