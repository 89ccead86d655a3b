"""``interpreter-tools deps``: installed ahead, listed, removed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import ConfigurationError, EngineConfig, ExecutionEngine, StoreEntry
from interpreter_tools.cli._deps import parse_duration, read_requirements
from tests.docker.stores import own_store, remove_image, remove_store
from tests.watch import tag_image

from .command import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from interpreter_tools._docker import DockerClient


@pytest.fixture
async def store(docker_client: DockerClient) -> AsyncIterator[str]:
    """A store that nobody else uses."""
    async with own_store(docker_client) as name:
        yield name


def listed(store: str) -> list[StoreEntry]:
    """The sets of packages that the command lists; all stores of a host share images."""
    done = call("deps", "list", "--json", "--store", store)
    assert done.returncode == 0, done.stderr
    return [
        entry
        for entry in msgspec.json.decode(done.stdout, type=list[StoreEntry])
        if not entry.system and not entry.is_cache
    ]


@pytest.mark.docker
def test_packages_are_installed_ahead_listed_and_removed(store: str, tmp_path: Path):
    """The whole life of an entry."""
    (tmp_path / "requirements.txt").write_text("# what we need\nSix  # a comment\n\n", "utf-16")
    assert listed(store) == []
    warmed = call("deps", "warm", "-r", str(tmp_path / "requirements.txt"), "--store", store)
    assert warmed.returncode == 0, warmed.stderr
    assert b"six" in warmed.stdout + warmed.stderr
    again = call("deps", "warm", "six", "--store", store)
    assert (again.stdout, again.stderr, again.returncode) == (b"ready already\n", b"", 0)
    (entry,) = listed(store)
    assert (entry.language, entry.packages, entry.whole) == ("python", ("six",), True)
    assert entry.size > 10_000
    assert 0 <= entry.age < 300
    table = call("deps", "list", "--store", store).stdout.decode()
    assert entry.name[:12] in table
    assert "python    six" in table
    kept = call("deps", "prune", "--older-than", "1d", "--max-size", "1g", "--dry-run", "--store", store)
    assert entry.name[:12] not in kept.stdout.decode()
    would = call("deps", "prune", "--older-than", "0s", "--dry-run", "--store", store)
    assert f"would remove {entry.name[:12]} python six" in would.stdout.decode()
    assert len(listed(store)) == 1
    gone = call("deps", "prune", "--older-than", "0s", "--store", store)
    assert f"removed {entry.name[:12]} python six" in gone.stdout.decode()
    assert listed(store) == []


@pytest.mark.docker
def test_packages_of_another_language_are_installed_ahead(store: str):
    """By its own installer, and for both languages of the image."""
    environment = {"INTERPRETER_TOOLS_DEPENDENCY_STORE": store}
    warmed = call("deps", "warm", "is-odd@^3", "-l", "javascript", environment=environment)
    assert warmed.returncode == 0, warmed.stderr
    assert b"added" in warmed.stdout
    again = call("deps", "warm", "is-odd@^3", "-l", "ts", environment=environment)
    assert (again.stdout, again.stderr, again.returncode) == (b"ready already\n", b"", 0)
    (entry,) = listed(store)
    assert (entry.language, entry.packages) == ("javascript", ("is-odd@^3",))
    code = "console.log(require('is-odd')(7))"
    done = call("run", "-l", "javascript", "-c", code, "--dep", "is-odd@^3", environment=environment)
    assert (done.stdout, done.stderr) == (b"true\n", b"")


@pytest.mark.docker
async def test_configuration_is_that_of_runs(store: str, tmp_path: Path, docker_client: DockerClient):
    """An engine configured alike finds what was installed ahead; a variable and an option go before the file."""
    file, image = tmp_path / "settings.toml", f"it-test-{uuid.uuid4().hex[:12]}:1"
    await tag_image(docker_client, "interpreter-tools/python:1", image)
    file.write_text(f"dependency_store = {store!r}\nimages = {{python = {image!r}}}\n")
    named = {"INTERPRETER_TOOLS_CONFIG": str(file)}
    try:
        warmed = call("deps", "warm", "six", environment=named)
        assert warmed.returncode == 0, warmed.stderr
        (entry,) = listed(store)
        assert (entry.packages, entry.image) == (("six",), image)
        async with ExecutionEngine(EngineConfig.load(file, environ={})) as engine:
            assert (await engine.run("python", "import six", dependencies=["six"])).check().dependency_time == 0
    finally:
        await remove_image(docker_client, image)
    elsewhere = {**named, "INTERPRETER_TOOLS_DEPENDENCY_STORE": f"{store}-2"}
    assert b"\n0 entries" in b"\n" + call("deps", "list", environment=elsewhere).stdout
    await remove_store(docker_client, f"{store}-2")
    assert b"six" in call("deps", "list", "--store", store, environment=elsewhere).stdout
    assert f"removed {entry.name[:12]}" in call("deps", "prune", "--all", environment=named).stdout.decode()
    assert listed(store) == []


@pytest.mark.parametrize("command", [("list",), ("prune", "--all"), ("warm", "six")], ids=lambda words: words[0])
def test_setting_that_is_unknown_is_refused(command: tuple[str, ...]):
    """As with runs: a misspelt store must not become the usual one."""
    done = call("deps", *command, environment={"INTERPRETER_TOOLS_DEPENDENCY_STOER": "x"})
    assert done.returncode == 2
    assert "did you mean 'dependency_store'?" in done.stderr.decode()


@pytest.mark.docker
def test_failed_installation_is_the_commands_failure(store: str):
    """With the installer's own words and status."""
    name = f"no-such-package-{uuid.uuid4().hex}"
    done = call("deps", "warm", name, "--store", store)
    assert done.returncode not in {0, 125}
    assert name in done.stderr.decode()


@pytest.mark.docker
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deps", "warm"), "give packages"),
        (("deps", "warm", "git+https://example.org/x"), "is not a requirement"),
        (("deps", "warm", "-r", "/no/such/file"), "/no/such/file: No such file"),
        (("deps", "warm", "six", "-l", "cobol"), "unknown language"),
        (("deps", "prune"), "say what to remove"),
        (("deps", "prune", "--older-than", "soon"), "is not a time"),
        (("deps", "prune", "--max-size", "big"), "--max-size: 'big' is not a size"),
    ],
)
def test_misuse_is_told_in_a_line(arguments: tuple[str, ...], said: str):
    """No trace of the program's inside, and a status that is not 0."""
    done = call(*arguments)
    assert done.returncode != 0
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2592000), ("1.5h", 5400), ("90 m", 5400), ("0s", 0), ("2W", 1209600)]
)
def test_durations(text: str, seconds: float):
    """As people write them."""
    assert parse_duration(text) == seconds


def test_requirements_files():
    """Comments, continued lines and markers."""
    text = "a==1  # why\n# none\n\nb[x]>=2,<3 ; python_version > '3.8'\nc \\\n  ==4\n"
    assert read_requirements(text) == ["a==1", "b[x]>=2,<3 ; python_version > '3.8'", "c    ==4"]


@pytest.mark.parametrize("line", ["-r other.txt", "--index-url https://example.org", "a==1 --hash=sha256:0", "-e ."])
def test_options_in_requirements_files_are_refused(line: str):
    """They would be dropped else."""
    with pytest.raises(ConfigurationError, match="line 2"):
        read_requirements(f"a\n{line}\n")
