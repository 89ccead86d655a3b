"""Options of a run over the engine's configuration."""

from __future__ import annotations

from typing import Any, cast

import pytest

from interpreter_tools import ConfigurationError, ContainerConfig, ContainerStrategy, EngineConfig, RunOptions
from interpreter_tools._options import Resolved, resolve


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
    assert (run.stdin, run.files, run.strategy, run.capture) == (None, {}, ContainerStrategy.PER_EXECUTION, True)


def test_limits_of_one_run() -> None:
    """They come first, and end with it."""
    config = EngineConfig(container=ContainerConfig(memory_limit="1g", pids_limit=9))
    run = resolved(config, memory_limit="256m", cpu_limit="0.5", network="bridge", image="mine", timeout=1)
    assert run.container.memory_bytes == 256 << 20
    assert (run.container.cpus, run.container.network, run.container.image) == (0.5, "bridge", "mine")
    assert (run.container.pids_limit, run.timeout) == (9, 1.0)
    assert config.container.memory_bytes == 1 << 30


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
        ({"stdin": "text"}, "stdin", "encode the text"),
        ({"environment": {"": "1"}}, "environment.", "is not a name"),
        ({"environment": {"A": 1}}, "environment.A", "a text without NUL"),
        ({"strategy": "forever"}, "strategy", "per_execution"),
        ({"strategy": None}, "strategy", "per_execution"),
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
