"""``interpreter-tools setup`` and ``doctor`` on a machine that is ready, and without their optional packages."""

from __future__ import annotations

import resource
import subprocess
import sys

import msgspec
import pytest

from interpreter_tools.setup import KNOWN_IMAGES, Check, KnownImage, SetupResult
from interpreter_tools.setup.images import choose_targets
from interpreter_tools.setup.recipes import RECIPES

from .command import ENVIRONMENT, call

WITHOUT = """
import sys
sys.modules["cyclopts"] = None
from interpreter_tools.cli import main
main()
"""


WITHOUT_EXTRAS = """
import sys
from importlib import metadata

from packaging.requirements import Requirement

kept, left = set(), ["interpreter-tools", "cyclopts", "rich"]
while left:
    name = left.pop()
    if name not in kept:
        kept.add(name)
        needed = map(Requirement, metadata.requires(name) or ())
        left += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
kept = {name.lower().replace("_", "-") for name in kept}
refused = {
    module
    for module, owners in metadata.packages_distributions().items()
    if not {owner.lower().replace("_", "-") for owner in owners} & kept
}


class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for module in [module for module in sys.modules if module.partition(".")[0] in refused]:
    del sys.modules[module]
sys.meta_path.insert(0, Refusal())
from interpreter_tools.cli import main
main()
"""


def used() -> float:
    """Return the seconds of processor time that ended children have taken: other than time, they know no neighbours."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.docker
def test_setup_of_a_ready_machine_does_nothing_quickly():
    """And says what to try next."""
    before = used()
    done = call("setup")
    assert done.returncode == 0
    assert used() - before < 3  # 0.4 s on an idle machine
    assert done.stdout.startswith(b"ready: interpreter-tools/python:1, ")
    assert b"interpreter-tools run -c" in done.stdout
    assert b"Install" not in done.stderr


@pytest.mark.docker
def test_setup_result_is_json_when_asked_for():
    """On stdout; how it goes is on stderr."""
    done = call("setup", "typescript", "--json")
    result = msgspec.json.decode(done.stdout, type=SetupResult)
    assert [(image.image, image.source) for image in result.images] == [("interpreter-tools/node:1", "present")]


def test_setup_lists_its_images():
    """All of them with their languages, as text and as JSON; no engine is needed for that."""
    nowhere = ("--docker-host", "tcp://127.0.0.1:1")
    lines = call("setup", "--list", *nowhere).stdout.decode().splitlines()
    known = msgspec.json.decode(call("setup", "--list", "--json", *nowhere).stdout, type=list[KnownImage])
    assert [line.split()[0] for line in lines] == [image.name for image in known] == [one.name for one in RECIPES]
    assert [image.name for image in known if image.default] == ["python", "node", "shell"]
    assert any(line.split()[:2] == ["gcc", "c,"] for line in lines)
    assert any("--image interpreter-tools/python-data:1" in line for line in lines)


def test_names_of_all_images_can_be_given():
    """Each is one target: no language, and no image of a registry, hides one of ours."""
    assert choose_targets([one.name for one in KNOWN_IMAGES]) == list(RECIPES)


def test_setup_of_all_images_takes_them_from_the_list():
    """It ends at the engine, which is not there."""
    done = call("setup", "--all", "--yes", "--docker-host", "tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert b"no Docker engine answers" in done.stderr


def test_setup_of_an_unknown_language_names_the_known():
    """Before anything is touched."""
    done = call("setup", "cobol")
    assert done.returncode == 2
    assert b"setup --list" in done.stderr
    assert b"unknown language 'cobol'; known: awk, bash, " in done.stderr


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
    assert {"run", "packages"} <= set(checks)
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
    command = [sys.executable, "-c", WITHOUT, "ps"]
    done = subprocess.run(command, capture_output=True, check=False, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        b"interpreter-tools: the command line needs packages that are not installed: "
        b'pip install "interpreter-tools[cli]"\n'
    )


@pytest.mark.parametrize(("command", "extras"), [("mcp", "cli,mcp"), ("serve", "cli,server"), ("shell", "shell")])
def test_commands_that_need_an_extra_name_it(command: str, extras: str):
    """With the command line's own packages alone, whichever of the others is looked for first."""
    call = [sys.executable, "-c", WITHOUT_EXTRAS, command]
    done = subprocess.run(call, capture_output=True, check=False, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith(f"interpreter-tools {command}: it needs ")
    assert said.endswith(f', which is not installed: pip install "interpreter-tools[{extras}]"\n')


def test_help_names_the_commands():
    """And the version."""
    text = call("--help").stdout.decode()
    assert all(word in text for word in ("setup", "doctor", "run", "--version"))
