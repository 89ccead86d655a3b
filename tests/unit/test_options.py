"""Options of a run over the engine's configuration."""

from __future__ import annotations

from typing import Any, cast

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    RunOptions,
    SessionConfig,
)
from interpreter_tools._config.options import Resolved, resolve


def resolved(config: EngineConfig | None = None, **options: object) -> Resolved:
    """The options over a configuration."""
    return resolve(config or EngineConfig(), cast("RunOptions", options))


def test_nothing_asked_for() -> None:
    """Everything comes from the configuration; containers are used once, output is kept."""
    container = ContainerConfig(environment={"A": "1"})
    run = resolved(EngineConfig(container=container, timeout=7, output_limit="1k"))
    assert run.container is container
    assert run.environment == {"A": "1"}
    assert (run.timeout, run.output_limit) == (7.0, 1024)
    assert (run.stdin, run.files, run.strategy, run.capture) == (None, {}, "auto", True)


def test_same_changes_give_the_same_container() -> None:
    """A run like the one before has its container checked already; equal values of other types are other values."""
    config = EngineConfig()
    first = resolved(config, tenant="a", memory_limit="256m")
    assert resolved(config, tenant="a", memory_limit="256m").container is first.container
    other = EngineConfig(container=ContainerConfig(environment={"A": "1"}))
    assert resolved(other, tenant="a").environment == {"A": "1"}
    others = [resolved(config, tenant=f"t{number}").container.tenant for number in range(600)]
    assert others == [f"t{number}" for number in range(600)]
    assert resolved(config, pids_limit=9).container.pids_limit == 9
    with pytest.raises(ConfigurationError):
        resolved(config, pids_limit=9.0)
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            resolved(config, cpu_limit=["1"])


def test_limits_of_one_run() -> None:
    """They come first, and end with it."""
    config = EngineConfig(container=ContainerConfig(memory_limit="1g", pids_limit=9))
    run = resolved(config, memory_limit="256m", cpu_limit="0.5", network="bridge", image="mine", timeout=1)
    assert run.container.memory_bytes == 256 << 20
    assert (run.container.cpus, run.container.network, run.container.image) == (0.5, "bridge", "mine")
    assert (run.container.pids_limit, run.timeout) == (9, 1.0)
    assert config.container.memory_bytes == 1 << 30


def test_sizes_of_one_run() -> None:
    """The same; None is the part of the memory that is theirs by default."""
    config = EngineConfig(container=ContainerConfig(memory_limit="256m", workspace_size="8m"))
    run = resolved(config, pids_limit=30, workspace_size="16m", tmp_size=4 << 20)
    assert (run.container.pids_limit, run.container.workspace_bytes, run.container.tmp_bytes) == (30, 16 << 20, 4 << 20)
    assert resolved(config, workspace_size=None).container.workspace_bytes == 128 << 20
    assert config.container.workspace_bytes == 8 << 20


SMALL = ContainerConfig(memory_limit="128m", workspace_size="16m", tmp_size="4m", pids_limit=50)


@pytest.mark.parametrize(
    ("session", "name"),
    [
        (SessionConfig(container=SMALL, strategy=ContainerStrategy.PER_SESSION), "workspace_size"),
        (SessionConfig(container=SMALL, strategy=ContainerStrategy.PER_SESSION), "tmp_size"),
        (SessionConfig(container=SMALL, workspace_sharing="shared"), "workspace_size"),
    ],
)
def test_room_that_is_there_keeps_its_size(session: SessionConfig, name: str) -> None:
    """Docker cannot change a tmpfs; the size that it has may be asked for."""
    with pytest.raises(ConfigurationError, match="the session keeps one of") as caught:
        resolve(EngineConfig(), cast("RunOptions", {name: "8m"}), session=session)
    assert (caught.value.field, caught.value.value) == (name, "8m")
    assert f"container=ContainerConfig({name}=...)" in caught.value.hint
    same = cast("RunOptions", {name: getattr(SMALL, name), "pids_limit": 40})
    assert resolve(EngineConfig(), same, session=session).container.pids_limit == 40


@pytest.mark.parametrize("strategy", [ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL])
def test_room_of_a_fresh_container_can_change(strategy: ContainerStrategy) -> None:
    """Each run has its own."""
    options = RunOptions(workspace_size="8m", tmp_size="2m")
    run = resolve(EngineConfig(), options, session=SessionConfig(container=SMALL, strategy=strategy))
    assert (run.container.workspace_bytes, run.container.tmp_bytes) == (8 << 20, 2 << 20)


def test_own_container_is_found_without_the_limits_of_a_run() -> None:
    """Whatever of them a run changes, the session has one container."""
    session = SessionConfig(container=SMALL, strategy=ContainerStrategy.PER_SESSION)
    options = RunOptions(memory_limit="64m", cpu_limit=1, pids_limit=9)
    run = resolve(EngineConfig(), options, session=session)
    assert (run.container.memory_limit, run.container.cpu_limit, run.container.pids_limit) == ("64m", 1, 9)
    assert run.without_limits_of_run(SMALL).container == SMALL


def test_none_lifts_a_limit() -> None:
    """Given, it is not the same as left out."""
    config = EngineConfig(timeout=5, output_limit=5, container=ContainerConfig(cpu_limit=1))
    run = resolved(config, timeout=None, output_limit=None, cpu_limit=None)
    assert (run.timeout, run.output_limit, run.container.cpus) == (None, None, None)


def test_variables_are_added() -> None:
    """Those of the run win; the configuration's stay as they are."""
    config = EngineConfig(container=ContainerConfig(environment={"A": "1", "B": "1"}))
    assert resolved(config, environment={"B": "2", "C": "2"}).environment == {"A": "1", "B": "2", "C": "2"}
    assert config.container.environment == {"A": "1", "B": "1"}


@pytest.mark.parametrize("stdin", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_stdin_is_kept_as_bytes(stdin: bytes | bytearray | memoryview) -> None:
    """What the caller changes later does not reach the program."""
    assert resolved(stdin=stdin).stdin == b"abc"
    assert type(resolved(stdin=stdin).stdin) is bytes


@pytest.mark.parametrize("strategy", [ContainerStrategy.POOL, "pool"])
def test_strategy(strategy: object) -> None:
    """By name too, as it comes out of a file."""
    assert resolved(strategy=strategy).strategy is ContainerStrategy.POOL


@pytest.mark.parametrize(
    ("options", "field", "way_out"),
    [
        ({"memory": "1g"}, "memory", "memory_limit"),
        ({"timeout": 0}, "timeout", "None for no limit"),
        ({"timeout": "5"}, "timeout", "seconds above 0"),
        ({"memory_limit": "some"}, "container.memory_limit", "'512m'"),
        ({"memory_limit": "16m"}, "container.memory_limit", "the least is"),
        ({"memory_limit": None}, "container.memory_limit", "'512m'"),
        ({"cpu_limit": "all"}, "container.cpu_limit", "0.5"),
        ({"network": "host"}, "container.network", "open the host"),
        ({"image": ""}, "container.image", "name of an image"),
        ({"output_limit": 0}, "output_limit", "'512m'"),
        ({"stdin": 1}, "stdin", "neither text nor bytes"),
        ({"stdin": "\ud800"}, "stdin", "lone surrogate"),
        ({"environment": {"": "1"}}, "environment.", "is not a name"),
        ({"environment": None}, "environment", "leave it out"),
        ({"environment": ["A=1"]}, "environment", "is not a dictionary"),
        ({"files": None}, "files", "leave it out"),
        ({"files": ["a"]}, "files", "is not a dictionary"),
        ({"mounts": None}, "container.mounts", "tuple[Mount, ...]"),
        ({"image": 5}, "container.image", "str or None"),
        ({"working_dir": None}, "container.working_dir", "str"),
        ({"pids_limit": "many"}, "container.pids_limit", "at least 8"),
        ({"pids_limit": None}, "container.pids_limit", "at least 8"),
        ({"workspace_size": "1k"}, "container.workspace_size", "the least is 1048576 bytes"),
        ({"tmp_size": "600m"}, "container.memory_limit", "lower workspace_size, tmp_size"),
        ({"environment": {"A": 1}}, "environment.A", "a text without NUL"),
        ({"args": "--name x"}, "args", "give a list"),
        ({"args": ["a", 1]}, "args[1]", "str(value)"),
        ({"args": ["a\0b"]}, "args[0]", "NUL"),
        ({"args": ["\ud800"]}, "args[0]", "lone surrogate"),
        ({"compile_timeout": 0}, "compile_timeout", "above 0"),
        ({"compile_timeout": None}, "compile_timeout", "always has a limit"),
        ({"strategy": "forever"}, "strategy", "per_execution"),
        ({"strategy": None}, "strategy", "per_execution"),
        ({"workspace_sharing": None}, "workspace_sharing", "'isolated', 'shared'"),
    ],
)
def test_wrong_option(options: dict[str, Any], field: str, way_out: str) -> None:
    """The error names the option, its value and a way out."""
    with pytest.raises(ConfigurationError) as caught:
        resolved(**options)
    assert caught.value.field == field
    assert way_out in str(caught.value)


def test_every_option_is_known() -> None:
    """A misspelt one is answered with all of them."""
    with pytest.raises(ConfigurationError, match="is not an option of a run") as caught:
        resolved(tiemout=3)
    assert caught.value.hint == f"known: {', '.join(sorted(RunOptions.__annotations__))}"
